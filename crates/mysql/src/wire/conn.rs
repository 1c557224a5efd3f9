//! A connection: statements and their results.

use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use headwater_change::Result;
use mysql_async::{DriverError, Error};

use super::login::{damaged, login, server_error};
use super::packet::Packets;
use super::secure::{self, Stream};
use super::value::Layout;
use crate::access::{Access, SslMode};
use crate::bytes::Bytes;
use crate::check;
use crate::client::{self, KEEP_ALIVE, SESSION};

const QUERY: u8 = 3;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;

type Answered<T> = std::result::Result<T, Error>;

/// A connection. Dropped, it is closed.
pub(crate) struct Conn {
    packets: Packets<Stream>,
    stopper: Stopper,
}

/// Closes a connection from another thread: who waits for the server there gets an error.
pub(crate) struct Stopper(TcpStream);

impl Stopper {
    pub(crate) fn stop(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Conn {
    /// Connects as [`client::connect`] does, which must have succeeded before: it finds out whether TLS can be had.
    pub(crate) fn open(access: &Access) -> Result<Self> {
        Self::attempt(access).map_err(|error| client::connect_error(access, error))
    }

    fn attempt(access: &Access) -> Answered<Self> {
        let password = access.password().map_err(|error| Error::Other(Box::new(error)))?;
        let socket = dial(access)?;
        let stopper = Stopper(socket.try_clone()?);
        let tls = match access.ssl {
            SslMode::Disabled => None,
            SslMode::Preferred if client::goes_without_tls(access) => None,
            _ => Some(secure::config(access)?),
        };
        let required = !matches!(access.ssl, SslMode::Disabled | SslMode::Preferred);
        // A server that says nothing is not waited for; reading rows may take as long as it takes.
        socket.set_read_timeout(Some(access.connect_timeout))?;
        let packets = login(socket, access, &password, tls, required)?;
        stopper.0.set_read_timeout(None)?;
        let mut conn = Self { packets, stopper };
        conn.run(SESSION)?;
        Ok(conn)
    }

    /// A handle that ends what this connection waits for.
    pub(crate) fn stopper(&self) -> Answered<Stopper> {
        Ok(Stopper(self.stopper.0.try_clone()?))
    }

    /// Runs a statement whose rows, if any, are of no interest.
    pub(crate) fn run(&mut self, sql: &str) -> Answered<()> {
        self.rows(sql).map(drop)
    }

    /// All rows of a statement as texts.
    pub(crate) fn rows(&mut self, sql: &str) -> Answered<Vec<Vec<Option<String>>>> {
        self.packets.command(QUERY, sql.as_bytes())?;
        let Some(columns) = self.columns()? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        loop {
            let payload = self.packets.next()?;
            if ends(payload)? {
                return Ok(rows);
            }
            let mut bytes = Bytes::new(payload);
            let mut row = Vec::with_capacity(columns.width());
            for _ in 0..columns.width() {
                row.push(match bytes.rest().first() {
                    Some(0xfb) => bytes.byte().map(|_| None),
                    _ => bytes.length().and_then(|length| bytes.take(length)).map(Some),
                });
            }
            let text = |value: Option<&[u8]>| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let row: std::result::Result<Vec<_>, _> = row.into_iter().map(|value| value.map(text)).collect();
            rows.push(row.map_err(damaged)?);
        }
    }

    /// The account as the server knows it, quoted for a GRANT.
    pub(crate) fn account(&mut self, access: &Access) -> Result<String> {
        let rows = self.rows("SELECT CURRENT_USER()").map_err(|error| client::query_error("name the user", error))?;
        Ok(check::quoted_account(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()), access))
    }

    /// Prepares and runs a statement without parameters; its rows come by [`Conn::next_row`].
    pub(crate) fn execute(&mut self, sql: &str) -> Answered<Layout> {
        self.packets.command(PREPARE, sql.as_bytes())?;
        let payload = self.packets.next()?;
        if payload.first() == Some(&0xff) {
            return Err(server_error(payload));
        }
        let read = |payload: &[u8]| -> std::result::Result<([u8; 4], u64), crate::bytes::Short> {
            let mut bytes = Bytes::new(payload);
            bytes.byte()?;
            let mut id = [0; 4];
            id.copy_from_slice(bytes.take(4)?);
            Ok((id, bytes.little(2)?))
        };
        let (id, columns) = read(payload).map_err(damaged)?;
        for _ in 0..columns + u64::from(columns > 0) {
            self.packets.next()?;
        }
        // No cursor, once, no parameters.
        let body = [&id[..], &[0, 1, 0, 0, 0]].concat();
        self.packets.command(EXECUTE, &body)?;
        match self.columns() {
            Ok(Some(mut layout)) => {
                layout.statement = id;
                Ok(layout)
            }
            Ok(None) => Err(Error::Driver(DriverError::UnexpectedPacket { payload: Vec::new() })),
            Err(error) => {
                self.packets.command(CLOSE, &id)?;
                Err(error)
            }
        }
    }

    /// The next row of what was executed; none behind the last.
    #[inline]
    pub(crate) fn next_row(&mut self, layout: &Layout) -> Answered<Option<&[u8]>> {
        // Rows begin with a zero, the end with 0xfe, an error with 0xff.
        self.packets.advance()?;
        if self.packets.payload().first() == Some(&0) {
            return Ok(Some(self.packets.payload()));
        }
        let over = ends(self.packets.payload());
        self.packets.command(CLOSE, &layout.statement)?;
        match over {
            Ok(true) => Ok(None),
            Ok(false) => Err(Error::Driver(DriverError::UnexpectedPacket { payload: Vec::new() })),
            Err(error) => Err(error),
        }
    }

    /// The columns of a result; none where there is none.
    fn columns(&mut self) -> Answered<Option<Layout>> {
        let payload = self.packets.next()?;
        let columns = match payload.first() {
            Some(0) => return Ok(None),
            Some(0xff) => return Err(server_error(payload)),
            Some(0xfb) => return Err(Error::Driver(DriverError::UnexpectedPacket { payload: payload.to_vec() })),
            _ => Bytes::new(payload).length().map_err(damaged)?,
        };
        let mut layout = Layout::default();
        for _ in 0..columns {
            layout.add(self.packets.next()?).map_err(damaged)?;
        }
        self.packets.next()?;
        Ok(Some(layout))
    }
}

/// Whether a packet is the end of rows, which may be an error.
fn ends(payload: &[u8]) -> Answered<bool> {
    match payload.first() {
        Some(0xff) => Err(server_error(payload)),
        Some(0xfe) => Ok(payload.len() < 9),
        _ => Ok(false),
    }
}

/// A socket to the server, at whichever of its addresses answers first.
fn dial(access: &Access) -> Answered<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in (access.host.as_str(), access.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, access.connect_timeout.max(Duration::from_millis(1))) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                let keep = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
                socket2::SockRef::from(&socket).set_tcp_keepalive(&keep)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last.into())
}
