//! The limit of reading: statements on bare sockets, each packet looked at for its length and forgotten. Without a driver
//! and without encryption; the account has no password.

use std::error::Error;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

type Drained<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs statements on so many connections, each the next one when it is done; gives how many rows came.
pub(crate) fn statements(port: u16, connections: usize, statements: &[String]) -> Result<u64, Box<dyn Error>> {
    let (next, found) = (AtomicUsize::new(0), AtomicU64::new(0));
    let connection = || -> Drained<()> {
        let mut socket = Socket::connect(port)?;
        while let Some(sql) = statements.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.fetch_add(socket.drain(sql)?, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..connections).map(|_| scope.spawn(connection)).collect();
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| "a reader panicked")?)
    })
    .map_err(|error: Box<dyn Error + Send + Sync>| error as Box<dyn Error>)?;
    Ok(found.into_inner())
}

struct Socket {
    from: BufReader<TcpStream>,
    to: TcpStream,
    packet: Vec<u8>,
}

impl Socket {
    fn connect(port: u16) -> Drained<Self> {
        let to = TcpStream::connect(("127.0.0.1", port))?;
        to.set_nodelay(true)?;
        let mut socket = Self { from: BufReader::with_capacity(256 << 10, to.try_clone()?), to, packet: Vec::new() };
        socket.receive()?;
        // Protocol 4.1, secure connection, plugin authentication, transactions, long passwords.
        let capabilities = 0x1_u32 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
        let mut answer = capabilities.to_le_bytes().to_vec();
        answer.extend((1_u32 << 24).to_le_bytes());
        answer.push(45);
        answer.extend([0; 23]);
        answer.extend(b"root\0\0caching_sha2_password\0");
        socket.send(1, &answer)?;
        loop {
            socket.receive()?;
            match socket.packet.first() {
                Some(0) => return Ok(socket),
                Some(0xfe) => socket.send(3, &[])?,
                Some(1) => {}
                _ => return Err(String::from_utf8_lossy(&socket.packet).into_owned().into()),
            }
        }
    }

    fn send(&mut self, number: u8, payload: &[u8]) -> Drained<()> {
        let [a, b, c, _] = u32::try_from(payload.len())?.to_le_bytes();
        self.to.write_all(&[&[a, b, c, number], payload].concat())?;
        Ok(())
    }

    fn receive(&mut self) -> Drained<()> {
        let mut header = [0; 4];
        self.from.read_exact(&mut header)?;
        let [a, b, c, _] = header;
        self.packet.resize(u32::from_le_bytes([a, b, c, 0]) as usize, 0);
        self.from.read_exact(&mut self.packet)?;
        if self.packet.first() == Some(&0xff) {
            return Err(String::from_utf8_lossy(&self.packet).into_owned().into());
        }
        Ok(())
    }

    /// Runs a prepared statement; returns how many rows came.
    fn drain(&mut self, sql: &str) -> Drained<u64> {
        self.send(0, &[&[0x16], sql.as_bytes()].concat())?;
        self.receive()?;
        let statement = self.packet.get(1..5).ok_or("no statement")?.to_vec();
        let columns = self.packet.get(5).copied().ok_or("no columns")?;
        (0..=columns).try_for_each(|_| self.receive())?;
        self.send(0, &[&[0x17][..], &statement, &[0, 1, 0, 0, 0]].concat())?;
        self.receive()?;
        (0..=columns).try_for_each(|_| self.receive())?;
        let mut rows = 0;
        loop {
            self.receive()?;
            if self.packet.first() == Some(&0xfe) {
                break;
            }
            rows += 1;
        }
        self.send(0, &[&[0x19][..], &statement].concat())?;
        Ok(rows)
    }
}
