//! The handshake: what both sides can, TLS, and who asks.

use std::net::TcpStream;
use std::sync::Arc;

use mysql_async::{DriverError, Error, ServerError};
use mysql_common::crypto::encrypt;
use mysql_common::scramble::{scramble_native, scramble_sha256};
use rustls::ClientConfig;

use super::packet::Packets;
use super::secure::Stream;
use crate::access::Access;
use crate::bytes::{Bytes, Short};

// Capabilities, by their names in the protocol.
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// utf8mb4_general_ci, until the session says what it is.
const CHARSET: u8 = 45;

/// The largest packet that is taken.
const PACKET_MAX: u32 = 1 << 30;

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";

/// What the server says of itself.
struct Greeting {
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

pub(super) fn damaged(_: Short) -> Error {
    Error::from(std::io::Error::new(std::io::ErrorKind::InvalidData, "the server's packet is damaged"))
}

/// An error that the server tells: its number, and its text behind `#` and five letters of state.
pub(super) fn server_error(payload: &[u8]) -> Error {
    let code = u16::from_le_bytes([payload.get(1).copied().unwrap_or(0), payload.get(2).copied().unwrap_or(0)]);
    let text = payload.get(3..).unwrap_or_default();
    let (state, text) = match text.split_first() {
        Some((b'#', rest)) => rest.split_at_checked(5).unwrap_or((b"", rest)),
        _ => (&b"HY000"[..], text),
    };
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Error::Server(ServerError { code, message: read(text), state: read(state) })
}

fn until_zero<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8], Short> {
    let length = bytes.rest().iter().position(|byte| *byte == 0).ok_or(Short)?;
    let text = bytes.take(length)?;
    bytes.byte()?;
    Ok(text)
}

fn greeting(payload: &[u8]) -> Result<Greeting, Error> {
    if payload.first() == Some(&0xff) {
        return Err(server_error(payload));
    }
    let read = || -> Result<Greeting, Short> {
        let mut bytes = Bytes::new(payload);
        if bytes.byte()? != 10 {
            return Err(Short);
        }
        until_zero(&mut bytes)?;
        bytes.take(4)?;
        let mut nonce = bytes.take(8)?.to_vec();
        bytes.take(1)?;
        let low = bytes.little(2)?;
        bytes.take(3)?;
        let high = bytes.little(2)?;
        let length = usize::from(bytes.byte()?);
        bytes.take(10)?;
        nonce.extend_from_slice(bytes.take(length.saturating_sub(8).max(13))?);
        // Twenty bytes, and a zero behind them.
        nonce.truncate(20);
        let plugin = until_zero(&mut bytes).unwrap_or(bytes.rest());
        let plugin = if plugin.is_empty() { NATIVE.to_owned() } else { String::from_utf8_lossy(plugin).into_owned() };
        let capabilities = u32::try_from(low | high << 16).unwrap_or(u32::MAX);
        Ok(Greeting { capabilities, nonce, plugin })
    };
    read().map_err(damaged)
}

/// Logs in over a socket; with a `tls` the connection is encrypted first, if the server can.
pub(super) fn login(
    socket: TcpStream,
    access: &Access,
    password: &str,
    tls: Option<Arc<ClientConfig>>,
    tls_required: bool,
) -> Result<Packets<Stream>, Error> {
    let mut packets = Packets::new(Stream::Plain(socket));
    let greeting = greeting(packets.next()?)?;
    let mut capabilities = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
    if access.database.is_some() {
        capabilities |= CONNECT_WITH_DB;
    }
    let offers_tls = greeting.capabilities & SSL != 0;
    if tls_required && !offers_tls {
        return Err(Error::Driver(DriverError::NoClientSslFlagFromServer));
    }
    let tls = tls.filter(|_| offers_tls);
    if tls.is_some() {
        capabilities |= SSL;
    }
    let mut head = Vec::with_capacity(32);
    head.extend(capabilities.to_le_bytes());
    head.extend(PACKET_MAX.to_le_bytes());
    head.push(CHARSET);
    head.resize(32, 0);
    let encrypted = tls.is_some();
    if let Some(config) = tls {
        packets.send(&head)?;
        packets = encrypt_packets(packets, config, &access.host)?;
    }
    let mut answer = head;
    answer.extend(access.user.as_bytes());
    answer.push(0);
    let proof = proof(&greeting.plugin, &greeting.nonce, password).unwrap_or_default();
    answer.push(u8::try_from(proof.len()).unwrap_or(0));
    answer.extend(proof);
    if let Some(database) = &access.database {
        answer.extend(database.as_bytes());
        answer.push(0);
    }
    answer.extend(greeting.plugin.as_bytes());
    answer.push(0);
    packets.send(&answer)?;
    prove(&mut packets, greeting, password, encrypted)?;
    Ok(packets)
}

fn encrypt_packets(packets: Packets<Stream>, config: Arc<ClientConfig>, host: &str) -> Result<Packets<Stream>, Error> {
    // Errors of TLS are told as such: they say how the server failed to prove itself.
    let mut failed = None;
    let changed = packets.over(|stream| match stream {
        Stream::Plain(socket) => Stream::encrypted(socket, config, host).map_err(|error| {
            failed = Some(error);
            std::io::ErrorKind::Other.into()
        }),
        tls @ Stream::Tls(_) => Ok(tls),
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(changed?),
    }
}

/// What proves the password by a plugin; `None` for one that is not known.
fn proof(plugin: &str, nonce: &[u8], password: &str) -> Option<Vec<u8>> {
    match plugin {
        _ if password.is_empty() => Some(Vec::new()),
        NATIVE => scramble_native(nonce, password.as_bytes()).map(|proof| proof.to_vec()),
        SHA2 => scramble_sha256(nonce, password.as_bytes()).map(|proof| proof.to_vec()),
        _ => None,
    }
}

/// Answers what the server asks until it says yes or no.
fn prove(packets: &mut Packets<Stream>, greeting: Greeting, password: &str, encrypted: bool) -> Result<(), Error> {
    let Greeting { mut nonce, mut plugin, .. } = greeting;
    loop {
        let payload = packets.next()?.to_vec();
        match payload.split_first() {
            Some((0, _)) => return Ok(()),
            Some((0xff, _)) => return Err(server_error(&payload)),
            // Another plugin, and what it is asked with.
            Some((0xfe, rest)) => {
                let mut bytes = Bytes::new(rest);
                plugin = String::from_utf8_lossy(until_zero(&mut bytes).map_err(damaged)?).into_owned();
                nonce = bytes.rest().to_vec();
                nonce.truncate(20);
                let unknown = || Error::Driver(DriverError::UnknownAuthPlugin { name: plugin.clone() });
                packets.send(&proof(&plugin, &nonce, password).ok_or_else(unknown)?)?;
            }
            Some((1, [3])) if plugin == SHA2 => {}
            // The server has not seen the password lately and wants it whole.
            Some((1, [4])) if plugin == SHA2 => {
                let plain = [password.as_bytes(), &[0]].concat();
                if encrypted {
                    packets.send(&plain)?;
                    continue;
                }
                packets.send(&[2])?;
                let key = packets.next()?.get(1..).unwrap_or_default().to_vec();
                let hidden: Vec<u8> = plain.iter().zip(nonce.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
                packets.send(&encrypt(&hidden, &key))?;
            }
            _ => return Err(Error::Driver(DriverError::UnexpectedPacket { payload })),
        }
    }
}
