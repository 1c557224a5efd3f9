//! Payloads that only workers can read: encrypted before the INSERT, decrypted before the handler.
//!
//! An encrypted payload is JSON that any language can make and read:
//!
//! ```json
//! {"$encrypted": {"key": "k1", "nonce": "<base64>", "data": "<base64>"}}
//! ```
//!
//! * `data` is AES-256-GCM of the payload's JSON text (UTF-8), with the tag of 16 bytes at its end;
//! * `nonce` is 12 random bytes, new for each payload: change the key before 2³² payloads were encrypted with it;
//! * the job type (UTF-8) is the associated data, so a payload cannot be moved to a job of another type;
//! * `key` names one of the keys in the configuration of the workers; base64 is the standard one with padding.
//!
//! Only an object whose single member is `$encrypted` is encrypted; every other payload is taken as it is, so encrypted
//! and plain jobs may stand in one table, and a key is changed by adding the new one and keeping the old one until its
//! jobs are done.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_change::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// The one member of an encrypted payload.
const MEMBER: &str = "$encrypted";

/// Keys by name, one of which encrypts. Cheap to clone.
#[derive(Clone)]
pub struct Cipher {
    keys: Arc<BTreeMap<String, LessSafeKey>>,
    current: String,
}

impl fmt::Debug for Cipher {
    /// The names of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({} of {:?})", self.current, self.keys.keys().collect::<Vec<_>>())
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "$encrypted")]
    sealed: Sealed<'a>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl Cipher {
    /// Keys by name, each base64 of 32 bytes; `current` encrypts, all decrypt.
    ///
    /// # Errors
    /// `jobs.key`: a key is not such a text, or there is none with the name `current`. Keys are not repeated.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>, current: &str) -> Result<Self> {
        let mut read = BTreeMap::new();
        for (name, text) in keys {
            let key = STANDARD.decode(text.trim()).ok().and_then(|bytes| UnboundKey::new(&AES_256_GCM, &bytes).ok());
            let key = key.ok_or_else(|| {
                Error::usage("jobs.key", format!("the key '{name}' is not base64 of 32 bytes"))
                    .hint("make one with `openssl rand -base64 32`")
            })?;
            read.insert(name.to_owned(), LessSafeKey::new(key));
        }
        if !read.contains_key(current) {
            return Err(Error::usage("jobs.key", format!("there is no key '{current}' to encrypt with"))
                .hint("name one of the keys in `use`"));
        }
        Ok(Self { keys: Arc::new(read), current: current.to_owned() })
    }

    /// The payload (JSON text) of a job of this type, encrypted: JSON text again.
    ///
    /// # Errors
    /// `jobs.encrypt`: the system has no random numbers.
    pub fn encrypt(&self, job_type: &str, payload: &str) -> Result<String> {
        let failed = || Error::remote("jobs.encrypt", "the payload cannot be encrypted");
        let key = self.keys.get(&self.current).ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| failed().detail("the system gives no random numbers"))?;
        let mut data = payload.as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(job_type.as_bytes()), &mut data)
            .map_err(|_| failed())?;
        let sealed = Sealed {
            key: self.current.as_str().into(),
            nonce: STANDARD.encode(nonce).into(),
            data: STANDARD.encode(data).into(),
        };
        serde_json::to_string(&Envelope { sealed }).map_err(|error| failed().caused_by(error))
    }

    /// The payload of a job of this type as it was before; one that is not encrypted as it is.
    ///
    /// # Errors
    /// `jobs.decrypt` (of the kind `Data`, which no retry mends): no such key, or the payload was damaged, made for
    /// another job type, or encrypted with another key of that name.
    pub fn decrypt<'a>(&self, job_type: &str, payload: &'a str) -> Result<Cow<'a, str>> {
        if !is_encrypted(payload) {
            return Ok(Cow::Borrowed(payload));
        }
        let damaged = |what: &str| Error::data("jobs.decrypt", "the payload cannot be decrypted").detail(what);
        let envelope: Envelope<'_> =
            serde_json::from_str(payload).map_err(|_| damaged("it has no key, nonce and data"))?;
        let sealed = envelope.sealed;
        let key = self.keys.get(sealed.key.as_ref()).ok_or_else(|| {
            damaged(&format!("there is no key '{}'", sealed.key)).hint("add it to keys under [encryption]")
        })?;
        let nonce = STANDARD.decode(sealed.nonce.as_ref()).ok();
        let nonce = nonce.and_then(|bytes| Nonce::try_assume_unique_for_key(&bytes).ok());
        let nonce = nonce.ok_or_else(|| damaged("its nonce is not base64 of 12 bytes"))?;
        let mut data = STANDARD.decode(sealed.data.as_ref()).map_err(|_| damaged("its data is not base64"))?;
        let length = key
            .open_in_place(nonce, Aad::from(job_type.as_bytes()), &mut data)
            .map_err(|_| damaged("it was changed, made for another job type, or with another key of that name"))?
            .len();
        data.truncate(length);
        String::from_utf8(data).map(Cow::Owned).map_err(|_| damaged("what was encrypted is not UTF-8"))
    }
}

/// Whether the payload is an object whose only member is `$encrypted`.
fn is_encrypted(payload: &str) -> bool {
    // Most payloads are not, and are not read for it.
    payload.contains(MEMBER)
        && serde_json::from_str::<BTreeMap<Cow<'_, str>, serde::de::IgnoredAny>>(payload)
            .is_ok_and(|members| members.len() == 1 && members.contains_key(MEMBER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const K1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const K2: &str = "//////////////////////////////////////////8=";

    fn cipher(keys: &[(&'static str, &'static str)], current: &str) -> Cipher {
        Cipher::new(keys.iter().copied(), current).expect("keys")
    }

    #[test]
    fn what_is_encrypted_is_read_again_with_old_keys_too() {
        let old = cipher(&[("k1", K1)], "k1");
        let both = cipher(&[("k1", K1), ("k2", K2)], "k2");
        for payload in ["{\"user\": 7}", "null", "\"ä\\n\"", ""] {
            let (one, two) = (old.encrypt("MAIL", payload).expect("text"), old.encrypt("MAIL", payload).expect("text"));
            assert_ne!(one, two, "each has a nonce of its own");
            assert!(payload.is_empty() || !one.contains(payload));
            assert!(one.starts_with("{\"$encrypted\":{\"key\":\"k1\","), "{one}");
            for cipher in [&old, &both] {
                assert_eq!(cipher.decrypt("MAIL", &one).expect("readable"), payload);
            }
            let new = both.encrypt("MAIL", payload).expect("text");
            assert_eq!(old.decrypt("MAIL", &new).expect_err("no such key").code(), "jobs.decrypt");
        }
    }

    #[test]
    fn the_format_is_the_documented_one() {
        // Made with Python: AESGCM(bytes(range(32))).encrypt(bytes(12), b'{"user": 7}', b'MAIL').
        let foreign = r#"{"$encrypted": {"data": "dZ7ArdBeoYcon9T8N4T1iVfrDTcv+iDJN4gL", "key": "k1", "nonce": "AAAAAAAAAAAAAAAA"}}"#;
        assert_eq!(cipher(&[("k1", K1)], "k1").decrypt("MAIL", foreign).expect("readable"), "{\"user\": 7}");
    }

    #[test]
    fn what_was_changed_is_not_read() {
        let cipher = cipher(&[("k1", K1)], "k1");
        let sealed = cipher.encrypt("MAIL", "{\"user\": 7}").expect("text");
        let error = cipher.decrypt("GRANT", &sealed).expect_err("another type");
        assert_eq!((error.code(), error.kind()), ("jobs.decrypt", headwater_change::ErrorKind::Data));
        let start = sealed.find("\"data\":\"").expect("data") + 8;
        for at in start..sealed.len() - 3 {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("text");
            assert!(cipher.decrypt("MAIL", &changed).is_err(), "{changed}");
        }
        for broken in [r#"{"$encrypted": 1}"#, r#"{"$encrypted": {"key": "k1", "nonce": "AA==", "data": ""}}"#] {
            assert_eq!(cipher.decrypt("MAIL", broken).expect_err(broken).code(), "jobs.decrypt");
        }
    }

    #[test]
    fn plain_payloads_stay_as_they_are() {
        let cipher = cipher(&[("k1", K1)], "k1");
        for plain in ["{\"user\": 7}", "[\"$encrypted\"]", "{\"$encrypted\": {}, \"more\": 1}", "no JSON $encrypted"] {
            assert_eq!(cipher.decrypt("MAIL", plain).expect("as it is"), plain);
        }
    }

    #[test]
    fn bad_keys_are_not_repeated() {
        for (text, current) in [("c2hvcnQ=", "k1"), ("not base64!", "k1"), (K1, "k9")] {
            let error = Cipher::new([("k1", text)], current).expect_err(text);
            assert_eq!((error.code(), error.hint_text().is_some()), ("jobs.key", true));
            assert!(!format!("{error:?}").contains(text));
        }
        assert_eq!(format!("{:?}", cipher(&[("k1", K1)], "k1")), "Cipher(k1 of [\"k1\"])");
    }
}
