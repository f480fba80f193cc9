//! Which addresses a webhook may have: public ones, and others only where the settings say so.
//!
//! A name is checked each time it is resolved, so that it cannot point inside later; an address in the settings is checked
//! when they are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::settings::Reach;

/// Why an address may not be called; nothing when it may.
pub(crate) fn refusal(address: IpAddr, reach: Reach) -> Option<&'static str> {
    let address = address.to_canonical();
    match kind(address) {
        Kind::Public => None,
        Kind::Loopback if reach.loopback => None,
        Kind::Loopback => Some("is an address of this machine; say allow_loopback = true if that is meant"),
        Kind::Private if reach.private => None,
        Kind::Private => {
            Some("is an address of a private network; say allow_private = true if that is meant")
        }
        Kind::Never => Some("is an address that no webhook has"),
    }
}

enum Kind {
    Public,
    Private,
    Loopback,
    /// Link-local (metadata services live there), multicast, unspecified, documentation, reserved.
    Never,
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_never = address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || first == 0
        || first >= 240
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (second == 18 || second == 19));
    match address {
        _ if is_never => Kind::Never,
        _ if address.is_loopback() => Kind::Loopback,
        _ if address.is_private() || is_shared => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let [first, second, ..] = address.segments();
    // 64:ff9b::/96 and 2002::/16 carry an IPv4 address: what they reach cannot be told from here.
    let is_translated = (first == 0x64 && second == 0xff9b) || first == 0x2002;
    let is_unique_local = first & 0xfe00 == 0xfc00;
    // Global unicast is 2000::/3; 2001:db8::/32 is for documents.
    let is_global = first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8);
    match address {
        _ if address.is_loopback() => Kind::Loopback,
        _ if is_translated => Kind::Never,
        _ if is_unique_local => Kind::Private,
        _ if is_global => Kind::Public,
        _ => Kind::Never,
    }
}

/// Resolves names to addresses that may be called.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) reach: Reach,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| refusal(address.ip(), reach).is_none()).collect();
            if let (true, Some(first)) = (allowed.is_empty(), found.first()) {
                let why = refusal(first.ip(), reach).unwrap_or_default();
                return Err(format!("{} of {} {why}", first.ip(), name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn only_public_addresses_are_called_unless_more_is_allowed() {
        let check = |address: &str, closed: bool, private: bool, loopback: bool| {
            let address: IpAddr = address.parse().unwrap();
            let may = |private, loopback| refusal(address, Reach { private, loopback }).is_none();
            assert_eq!(
                (may(false, false), may(true, false), may(false, true)),
                (closed, private, loopback),
                "{address}"
            );
        };
        for public in ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"] {
            check(public, true, true, true);
        }
        for private in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            check(private, false, true, false);
        }
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            check(loopback, false, false, true);
        }
        for never in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "fe80::1",
            "ff02::1",
            "::",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ] {
            check(never, false, false, false);
        }
    }
}
