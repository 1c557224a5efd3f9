//! Which addresses a call may reach. The URL of a job type is trusted, what its name resolves to is not: only what
//! public addresses name is reached, and what the configuration lists. The check is on the resolved address that is then
//! connected to, so a name that changes its mind in between gains nothing.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use headwater_change::{Error, Result};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What may be reached beside public addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    allowed: Arc<Allowed>,
}

#[derive(Debug, Default)]
struct Allowed {
    networks: Vec<IpNet>,
    /// Lower-case.
    hosts: Vec<String>,
}

/// A host that has no address that may be reached.
#[derive(Debug)]
pub(super) struct Refused {
    host: String,
    address: IpAddr,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, which is not a public address", self.host, self.address)
    }
}

impl StdError for Refused {}

impl Guard {
    /// From addresses, networks (`10.0.0.0/8`) and host names.
    ///
    /// # Errors
    /// `jobs.http`: an entry is none of them.
    pub(super) fn new(entries: &[String]) -> Result<Self> {
        let mut allowed = Allowed::default();
        for entry in entries {
            if let Ok(network) = entry.parse::<IpNet>() {
                allowed.networks.push(network);
            } else if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
                allowed.networks.push(IpNet::from(address));
            } else if !entry.is_empty() && entry.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')) {
                allowed.hosts.push(entry.to_ascii_lowercase());
            } else {
                return Err(Error::usage("jobs.http", format!("'{entry}' is no address, network or host name"))
                    .hint("write allow-private = [\"127.0.0.1\", \"10.0.0.0/8\", \"hooks.internal\"]"));
            }
        }
        Ok(Self { allowed: Arc::new(allowed) })
    }

    /// Whether this address may be reached.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let inner = embedded(address);
        is_public(inner) && is_public(address)
            || self.allowed.networks.iter().any(|network| network.contains(&address) || network.contains(&inner))
    }

    /// A host of a URL that is an address itself never asks the resolver.
    pub(super) fn check_literal(&self, host: &str) -> Result<(), Refused> {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !self.admits(address) => Err(Refused { host: host.to_owned(), address }),
            _ => Ok(()),
        }
    }

    /// Of the addresses of a host those that may be reached.
    fn choose(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.allowed.hosts.contains(&host) {
            return Ok(found);
        }
        let first = found.first().map(SocketAddr::ip);
        let chosen: Vec<SocketAddr> = found.into_iter().filter(|address| self.admits(address.ip())).collect();
        match first {
            Some(address) if chosen.is_empty() => Err(Refused { host, address }),
            _ => Ok(chosen),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let chosen = guard.choose(name.as_str(), found)?;
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 and 6to4. Others are themselves.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x2002, ..] => v4(b, c),
        _ => address,
    }
}

/// Whether everybody may have this address: not private, not of this machine or link, not for many, not reserved
/// (the special-purpose registries of RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !match a {
        // This network; private; loopback; multicast, reserved and broadcast.
        0 | 10 | 127 | 224..=255 => true,
        // Carrier-grade NAT.
        100 => b & 0b1100_0000 == 64,
        // Link-local, where clouds keep their metadata.
        169 => b == 254,
        172 => b & 0b1111_0000 == 16,
        // Protocol assignments, documentation, 6to4 relays, private.
        192 => (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99) || b == 168,
        // Benchmarks, documentation.
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    !match a {
        // Unspecified, loopback, mapped and compatible; discard-only. Mapped ones are judged by `embedded` as well.
        0 => address.to_ipv4_mapped().is_none(),
        0x100 => true,
        // NAT64 for local use.
        0x64 => b == 0xff9b && c == 1,
        // Teredo, benchmarks, ORCHID; documentation.
        0x2001 => b < 0x200 || b == 0xdb8,
        0x3fff => b < 0x1000,
        _ => {
            // Unique local, link-local, site-local, multicast.
            a & 0xfe00 == 0xfc00 || a & 0xffc0 == 0xfe80 || a & 0xffc0 == 0xfec0 || a & 0xff00 == 0xff00
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(guard: &Guard, address: &str) -> bool {
        guard.admits(address.parse().expect(address))
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let none = Guard::default();
        let refused = "0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 \
                       172.31.255.255 192.0.0.8 192.0.2.1 192.168.0.1 198.18.0.1 198.51.100.7 203.0.113.1 224.0.0.1 \
                       239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 \
                       ::ffff:169.254.169.254 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: \
                       fc00::1 fd12:3456::1 fe80::1 febf::1 fec0::1 ff02::1";
        for address in refused.split_whitespace() {
            assert!(!admitted(&none, address), "{address}");
        }
        let public = "1.1.1.1 8.8.8.8 100.63.0.1 100.128.0.1 169.253.0.1 172.15.0.1 172.32.0.1 192.0.1.1 192.167.1.1 \
                      198.17.0.1 198.20.0.1 223.255.255.255 2606:4700:4700::1111 2a00::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 \
                      2002:808:808::1";
        for address in public.split_whitespace() {
            assert!(admitted(&none, address), "{address}");
        }
    }

    #[test]
    fn what_is_listed_is_reached_and_nothing_beside_it() {
        let list = ["127.0.0.1", "10.0.0.0/8", "[::1]", "Hooks.Internal"].map(str::to_owned);
        let guard = Guard::new(&list).expect("a list");
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "::1"] {
            assert!(admitted(&guard, address), "{address}");
        }
        for address in ["127.0.0.2", "192.168.0.1", "::2", "fd00::1"] {
            assert!(!admitted(&guard, address), "{address}");
        }
        let private: SocketAddr = "192.168.0.1:0".parse().expect("an address");
        let public: SocketAddr = "1.1.1.1:0".parse().expect("an address");
        assert_eq!(guard.choose("hooks.internal.", vec![private]).expect("listed"), [private]);
        assert_eq!(guard.choose("example.com", vec![private, public]).expect("one is public"), [public]);
        assert_eq!(
            guard.choose("evil.example.com", vec![private]).expect_err("none is public").to_string(),
            "evil.example.com is 192.168.0.1, which is not a public address"
        );
        assert_eq!(Guard::new(&["10.0.0.0/99".to_owned()]).expect_err("no network").code(), "jobs.http");
    }
}
