//! Parts and encoding of URLs, as `java.net.URL`, `URLEncoder` and `URLDecoder` see them.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::common::Result as Planned;
use headwater_change::Result;

use crate::functions::arguments::{Takes, called, taken};
use crate::functions::kernel::Call;
use crate::functions::{Bind, rows};
use crate::typed::{Context, Typed};
use crate::types::STRING;

pub(super) const ALL: &[(&str, Bind)] =
    &[("parse_url", parse_url), ("url_encode", url_encode), ("url_decode", url_decode)];

fn parse_url(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "PARSE_URL", args, &[Takes::Text, Takes::Text, Takes::Text], 2)?;
    called(context, "PARSE_URL", args, STRING, true, run_parse)
}

/// The parts of a URL that Java takes apart without looking at them closely.
#[derive(Debug, Default, PartialEq)]
struct Url<'a> {
    protocol: &'a str,
    authority: Option<&'a str>,
    /// Path and query.
    file: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

/// The protocols that Java has a handler for; other URLs are malformed.
const PROTOCOLS: &[&str] = &["http", "https", "ftp", "file", "jar", "mailto"];

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches(|found| found <= ' ');
        let text = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("url:") => text.get(4..)?,
            _ => text,
        };
        let (protocol, rest) = text.split_once(':')?;
        let protocol = PROTOCOLS.iter().find(|known| known.eq_ignore_ascii_case(protocol))?;
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (authority, file) = match rest.strip_prefix("//") {
            Some(rest) if *protocol != "mailto" => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(rest.get(..end)?), rest.get(end..)?)
            }
            _ => (None, rest),
        };
        let (path, query) = match file.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (file, None),
        };
        let url = Self { protocol, authority, file, path, query, reference };
        url.port_is_valid().then_some(url)
    }

    fn host_and_port(&self) -> &'a str {
        let authority = self.authority.unwrap_or("");
        match authority.split_once('@') {
            // Two of them leave no host.
            Some((_, host)) if host.contains('@') => "",
            Some((_, host)) => host,
            None => authority,
        }
    }

    fn host(&self) -> &'a str {
        let host = self.host_and_port();
        match host.find(']') {
            // An address of IPv6 keeps its brackets.
            Some(end) if host.starts_with('[') => host.get(..=end).unwrap_or(host),
            _ => host.split_once(':').map_or(host, |(host, _)| host),
        }
    }

    fn port_is_valid(&self) -> bool {
        let port = self.host_and_port().get(self.host().len()..).unwrap_or("");
        match port.strip_prefix(':') {
            Some(port) => port.is_empty() || port.parse::<i32>().is_ok_and(|port| port >= -1),
            None => port.is_empty(),
        }
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        match name {
            "PROTOCOL" => Some(self.protocol),
            "HOST" => Some(self.host()),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "FILE" => Some(self.file),
            "AUTHORITY" => self.authority,
            "USERINFO" => self
                .authority
                .and_then(|authority| authority.split_once('@'))
                .filter(|(_, host)| !host.contains('@'))
                .map(|(user, _)| user),
            _ => None,
        }
    }
}

/// NULL for what is no URL, for parts that it does not have and for unknown names of parts.
fn run_parse(call: &Call<'_>) -> Planned<ArrayRef> {
    let (text, part) = (call.array(0)?, call.array(1)?);
    let (text, part) = (text.as_string::<i32>(), part.as_string::<i32>());
    let key = if call.len() > 2 { Some(call.array(2)?) } else { None };
    let key = key.as_ref().map(|key| key.as_string::<i32>());
    let mut columns: Vec<&dyn Array> = vec![text, part];
    columns.extend(key.map(|key| key as &dyn Array));
    rows::text(call.rows, &columns, |row, out| {
        let name = part.value(row);
        let part = Url::parse(text.value(row)).and_then(|url| url.part(name));
        let found = match key {
            Some(key) if name == "QUERY" => part.and_then(|query| parameter(query, key.value(row))),
            Some(_) => None,
            None => part,
        };
        out.push_str(found.unwrap_or(""));
        Ok(found.is_some())
    })
}

fn parameter<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn url_encode(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "URL_ENCODE", args, &[Takes::TextOrNull], 1)?;
    called(context, "URL_ENCODE", args, STRING, true, |call| {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        rows::text(call.rows, &[text], |row, out| {
            for byte in text.value(row).bytes() {
                match byte {
                    b' ' => out.push('+'),
                    b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
                    _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                    _ => {
                        out.push('%');
                        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                        out.push(char::from(DIGITS[usize::from(byte & 15)]));
                    }
                }
            }
            Ok(true)
        })
    })
}

/// NULL where a `%` is not followed by two hexadecimal digits; what is no UTF-8 becomes U+FFFD.
fn url_decode(context: Context<'_>, args: Vec<Typed>) -> Result<Typed> {
    let args = taken(context, "URL_DECODE", args, &[Takes::TextOrNull], 1)?;
    called(context, "URL_DECODE", args, STRING, true, |call| {
        let text = call.array(0)?;
        let text = text.as_string::<i32>();
        let mut bytes = Vec::new();
        rows::text(call.rows, &[text], |row, out| {
            bytes.clear();
            let mut rest = text.value(row).bytes();
            let digit = |rest: &mut std::str::Bytes<'_>| rest.next().and_then(|byte| char::from(byte).to_digit(16));
            while let Some(byte) = rest.next() {
                match byte {
                    b'+' => bytes.push(b' '),
                    b'%' => match (digit(&mut rest), digit(&mut rest)) {
                        (Some(high), Some(low)) => bytes.push(u8::try_from(high << 4 | low).unwrap_or(b'?')),
                        _ => return Ok(false),
                    },
                    byte => bytes.push(byte),
                }
            }
            out.push_str(&String::from_utf8_lossy(&bytes));
            Ok(true)
        })
    })
}
