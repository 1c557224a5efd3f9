//! The client side of MySQL's protocol, as far as reading whole tables needs it: packets are looked at where they lie in the
//! buffer of the socket, and their values go from there into Arrow builders. A driver that makes a row of each of them first
//! costs more than everything that is done with them afterwards.
//!
//! * `packet`: packets of a stream; `secure`: the stream, with or without TLS
//! * `login`: the handshake; `conn`: statements and their results
//! * `value`: values of the binary protocol
//!
//! Source: the protocol's documentation by MySQL and by MariaDB. Everything else speaks by the driver (`client`).

mod conn;
mod login;
mod packet;
mod secure;
#[cfg(test)]
mod tests;
pub(crate) mod value;

pub(crate) use conn::{Conn, Stopper};
