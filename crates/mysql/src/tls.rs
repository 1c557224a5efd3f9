//! Why a handshake failed: what the server would agree to, asked of it without an account, beside what we have.
//!
//! The question is one hello of TLS 1.2 with every suite that servers of the last fifteen years knew. The answer names the
//! version and the suite that the server takes; nothing else is sent.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access::Access;
use crate::bytes::{Bytes, Short};

/// What this binary has, as the TLS library's provider lists it.
pub(crate) const OURS: &str =
    "TLS 1.3, and TLS 1.2 with ECDHE and AES-GCM or CHACHA20-POLY1305 (no DHE, no RSA key exchange, no CBC)";

const PATIENCE: Duration = Duration::from_secs(5);

/// Suites by number, under the names that MySQL shows; ours first.
const SUITES: [(u16, &str); 28] = [
    (0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
    (0x009d, "AES256-GCM-SHA384"),
    (0x009c, "AES128-GCM-SHA256"),
    (0xc024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xc023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xc028, "ECDHE-RSA-AES256-SHA384"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0x006b, "DHE-RSA-AES256-SHA256"),
    (0x0067, "DHE-RSA-AES128-SHA256"),
    (0x0039, "DHE-RSA-AES256-SHA"),
    (0x0033, "DHE-RSA-AES128-SHA"),
    (0x003d, "AES256-SHA256"),
    (0x003c, "AES128-SHA256"),
    (0x0035, "AES256-SHA"),
    (0x002f, "AES128-SHA"),
    (0x0016, "DHE-RSA-DES-CBC3-SHA"),
    (0x000a, "DES-CBC3-SHA"),
    (0x0005, "RC4-SHA"),
];

/// How many of [`SUITES`] are ours.
const OUR_SUITES: usize = 6;

/// What the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This version and suite, in words, and whether we have both.
    Takes(String, bool),
    /// None of them: the number of its alert.
    Refuses(u8),
}

/// The server's version, and its answer.
pub(crate) async fn ask(access: &Access) -> Option<(String, Answer)> {
    tokio::time::timeout(PATIENCE, exchange(access)).await.ok()?.ok()
}

/// Both sides, for an error; `None` where the server does not answer, or has what we have.
pub(crate) async fn both_sides(access: &Access) -> Option<String> {
    match ask(access).await? {
        (_, Answer::Takes(_, true)) => None,
        (version, Answer::Takes(what, false)) => {
            Some(format!("the server ({version}) takes {what}; Headwater has {OURS}"))
        }
        (version, Answer::Refuses(alert)) => {
            Some(format!("the server ({version}) takes no version up to TLS 1.2 (alert {alert}); Headwater has {OURS}"))
        }
    }
}

fn damaged(_: Short) -> std::io::Error {
    std::io::ErrorKind::InvalidData.into()
}

async fn exchange(access: &Access) -> std::io::Result<(String, Answer)> {
    let mut stream = TcpStream::connect((access.host.as_str(), access.port)).await?;
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = usize::from(header[0]) | usize::from(header[1]) << 8;
    let mut greeting = vec![0; length];
    stream.read_exact(&mut greeting).await?;
    let version = greeting.get(1..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    let version = String::from_utf8_lossy(version).into_owned();
    // The request for TLS: protocol 4.1, TLS, secure passwords; 16 MB; utf8mb4.
    let mut request = vec![32, 0, 0, 1, 0x00, 0x8a, 0x00, 0x00, 0xff, 0xff, 0xff, 0x00, 45];
    request.resize(36, 0);
    request.extend(hello());
    stream.write_all(&request).await?;
    let mut record = [0; 5];
    stream.read_exact(&mut record).await?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    stream.read_exact(&mut body).await?;
    Ok((version, answer(record[0], &body).map_err(damaged)?))
}

/// A ClientHello of TLS 1.2.
fn hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend(length(2 * SUITES.len()));
    body.extend(SUITES.iter().flat_map(|(number, _)| number.to_be_bytes()));
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    for (kind, data) in [
        // Curves: X25519, P-256, P-384, P-521. Point format: plain. Signatures: RSA, ECDSA and PSS over SHA-1 and SHA-2.
        (10_u16, &[0, 8, 0, 29, 0, 23, 0, 24, 0, 25][..]),
        (11, &[1, 0]),
        (13, &[0, 20, 4, 1, 5, 1, 6, 1, 2, 1, 4, 3, 5, 3, 6, 3, 2, 3, 8, 4, 8, 5]),
    ] {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(length(data.len()));
        extensions.extend(data);
    }
    body.extend(length(extensions.len()));
    body.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend(length(body.len() + 4));
    record.extend([1, 0]);
    record.extend(length(body.len()));
    record.extend(body);
    record
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// Reads a record: an alert, or a ServerHello.
fn answer(kind: u8, body: &[u8]) -> Result<Answer, Short> {
    let mut bytes = Bytes::new(body);
    if kind == 21 {
        bytes.byte()?;
        return bytes.byte().map(Answer::Refuses);
    }
    let first = bytes.byte()?;
    if (kind, first) != (22, 2) {
        return Err(Short);
    }
    bytes.take(3)?;
    let version = bytes.big(2)?;
    bytes.take(32)?;
    let session = usize::from(bytes.byte()?);
    bytes.take(session)?;
    let suite = bytes.big(2)?;
    let index = SUITES.iter().position(|(number, _)| u64::from(*number) == suite);
    let name =
        index.and_then(|index| SUITES.get(index)).map_or_else(|| format!("suite {suite:#06x}"), |s| s.1.to_owned());
    let ours = version == 0x0303 && index.is_some_and(|index| index < OUR_SUITES);
    let version = match version {
        0x0303 => "TLS 1.2",
        0x0302 => "TLS 1.1",
        0x0301 => "TLS 1.0",
        _ => "SSL 3.0",
    };
    Ok(Answer::Takes(format!("{version} with {name}"), ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let mut hello = vec![2, 0, 0, 70, 3, 2];
        hello.extend([7; 32]);
        hello.extend([2, 9, 9, 0x00, 0x39, 0]);
        assert_eq!(answer(22, &hello), Ok(Answer::Takes("TLS 1.1 with DHE-RSA-AES256-SHA".into(), false)));
        hello[5] = 3;
        hello.splice(41..43, [0xc0, 0x2f]);
        assert_eq!(answer(22, &hello), Ok(Answer::Takes("TLS 1.2 with ECDHE-RSA-AES128-GCM-SHA256".into(), true)));
        assert_eq!(answer(21, &[2, 40]), Ok(Answer::Refuses(40)));
        assert_eq!(answer(22, &hello[..20]), Err(Short));
        assert_eq!(answer(23, &hello), Err(Short));
    }
}
