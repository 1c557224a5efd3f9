//! [`Content`]: what is in a file, as bytes of lines: read where they lie, decompressed, or as they come out of a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{Error, Place, Result};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::discover::unreadable;

/// How a file is compressed; its name's ending says it, as in Flink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Bzip2,
}

impl Compression {
    /// By the ending of a path. Fails for endings that mean a compression which is not read.
    pub(super) fn of(path: &Path) -> Result<Option<Self>> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "gz" | "gzip" => Ok(Some(Self::Gzip)),
            "zst" | "zstd" => Ok(Some(Self::Zstd)),
            "bz2" => Ok(Some(Self::Bzip2)),
            "xz" | "deflate" | "lz4" | "snappy" | "zip" => {
                Err(Error::usage("filesystem.compression", format!("files that end in '.{ending}' are not read"))
                    .hint(
                        "decompress it, or write it as .gz, .zst or .bz2; 'source.path.regex-pattern' leaves files out",
                    )
                    .at(Place::File { path: path.display().to_string(), line: 0 }))
            }
            _ => Ok(None),
        }
    }

    fn decoder(self, file: Shared) -> io::Result<Box<dyn Read + Send>> {
        let file = BufReader::with_capacity(128 << 10, file);
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        })
    }
}

/// Whether it is a pipe or a device: something that gives each byte once.
pub(super) fn is_pipe(metadata: &std::fs::Metadata) -> bool {
    metadata.file_type().is_fifo() || metadata.file_type().is_char_device()
}

/// Opens a pipe without waiting for somebody to write into it.
pub(super) fn open_pipe(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Why a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is room for no more.
    Full,
    /// The end, for now or for ever.
    End,
    /// Nothing is there now, more will come.
    Waiting,
    /// The end of a compressed file that is not whole yet.
    CutOff,
}

/// Reads a file from its beginning, whoever else reads it.
pub(super) struct Shared {
    file: Arc<File>,
    at: u64,
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The bytes of an open file.
pub(super) enum Content {
    /// As they lie on disk.
    Plain,
    /// Bytes that come once and in order.
    Stream(Stream),
}

/// Bytes that come once and in order.
pub(super) struct Stream {
    from: Box<dyn Read + Send>,
    pipe: bool,
    /// Whether anything came out of the pipe.
    begun: bool,
    /// Read already, and not delivered.
    pub(super) rest: Vec<u8>,
    /// Lines that were delivered.
    pub(super) lines: u64,
}

impl Content {
    /// Whether nothing that was read waits to be delivered.
    pub(super) fn is_spent(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Stream(stream) => stream.rest.is_empty(),
        }
    }

    pub(super) fn compressed(file: &Arc<File>, compression: Compression) -> io::Result<Self> {
        let from = compression.decoder(Shared { file: Arc::clone(file), at: 0 })?;
        Ok(Self::Stream(Stream { from, pipe: false, begun: false, rest: Vec::new(), lines: 0 }))
    }

    pub(super) fn pipe(file: &File) -> io::Result<Self> {
        let from = Box::new(file.try_clone()?);
        Ok(Self::Stream(Stream { from, pipe: true, begun: false, rest: Vec::new(), lines: 0 }))
    }

    /// Reads on until `bytes`, which stand at `offset`, are `wanted` long.
    pub(super) fn fill(&mut self, file: &File, offset: u64, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<Filled> {
        let mut end = bytes.len();
        if end >= wanted {
            return Ok(Filled::Full);
        }
        bytes.resize(wanted, 0);
        let mut filled = Filled::Full;
        while let Some(room) = bytes.get_mut(end..).filter(|room| !room.is_empty()) {
            let read = match self {
                Self::Plain => file.read_at(room, offset + end as u64),
                Self::Stream(stream) => stream.from.read(room),
            };
            match (read, &mut *self) {
                (Ok(0), Self::Stream(stream)) if stream.pipe && !stream.begun && !hung_up(file)? => {
                    filled = Filled::Waiting;
                    break;
                }
                (Ok(0), _) => {
                    filled = Filled::End;
                    break;
                }
                (Ok(count), content) => {
                    end += count;
                    if let Self::Stream(stream) = content {
                        stream.begun = true;
                    }
                }
                (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => {}
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
                    filled = Filled::Waiting;
                    break;
                }
                (Err(error), Self::Stream(stream)) if !stream.pipe && error.kind() == io::ErrorKind::UnexpectedEof => {
                    filled = Filled::CutOff;
                    break;
                }
                (Err(error), _) => return Err(error),
            }
        }
        bytes.truncate(end);
        Ok(filled)
    }
}

/// The error for a compressed file whose bytes are not what its name says.
pub(super) fn broken(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            Error::data("filesystem.decompress", "a compressed file cannot be decompressed")
                .detail(error.to_string())
                .hint("is it damaged, or named wrongly? 'source.path.regex-pattern' leaves files out")
                .at(Place::File { path: path.display().to_string(), line: 0 })
                .caused_by(error)
        }
        _ => unreadable(path, error),
    }
}

/// Whether whoever wrote into a pipe has closed it; one that nobody has opened yet is not.
fn hung_up(file: &File) -> io::Result<bool> {
    Ok(events(file, Duration::ZERO)?.intersects(PollFlags::POLLHUP | PollFlags::POLLIN | PollFlags::POLLERR))
}

/// Waits until a pipe has something to say.
pub(super) fn wait_for(file: &File, wait: Duration) -> io::Result<()> {
    events(file, wait).map(|_| ())
}

fn events(file: &File, wait: Duration) -> io::Result<PollFlags> {
    let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut asked, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(asked.first().and_then(PollFd::revents).unwrap_or(PollFlags::empty()))
}
