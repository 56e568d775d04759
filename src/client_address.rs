//! The address of the client that sent a request, also behind proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR};
use log::warn;

use crate::config::Network;

/// Proxies in one chain at most; what is claimed beyond is not looked at.
const HOPS_MAX: usize = 32;

/// At most one warning of a peer that is not believed in this time.
const WARN_EVERY: Duration = Duration::from_secs(3_600);

/// When the last warning of a peer that is not believed was logged.
static WARNED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// The address of the client that sent a request with these headers over a connection of `peer`. A
/// peer that says for whom it asks and is not believed is warned of, once an hour: more often than
/// not it is a proxy that is missing in `server.trusted_proxies`.
pub fn client_of(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.map_or(NO_ADDRESS, |peer| peer.ip().to_canonical());
    if !headers.contains_key(X_FORWARDED_FOR) {
        return peer;
    }
    if !is_trusted(peer, trusted) {
        warn_of(peer);
        return peer;
    }
    // A value that is not a text ends the search, as an odd hop does.
    let values: Vec<&str> = headers
        .get_all(X_FORWARDED_FOR)
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    client_address(peer, values.into_iter(), trusted)
}

/// Whether a peer is a proxy whose `X-Forwarded-For` is believed.
pub fn is_trusted(peer: IpAddr, trusted: &[Network]) -> bool {
    trusted
        .iter()
        .any(|range| range.contains(peer.to_canonical()))
}

fn warn_of(peer: IpAddr) {
    let mut warned_at = WARNED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
        *warned_at = Some(Instant::now());
        warn!(
            "x-forwarded-for ignored: peer={peer} is not in server.trusted_proxies, so all whom it forwards \
             share the limits of one address"
        );
    }
}

/// The address of the client: the peer, or, if the peer is a trusted proxy, the last hop that
/// `X-Forwarded-For` names and that is none.
///
/// Read from the right, because each proxy appends the peer it saw: everything left of the first
/// untrusted hop is the client's own claim. `forwarded_for` are the header's values in order.
fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let mut client = peer.to_canonical();
    let hops = forwarded_for.rev().flat_map(|value| value.rsplit(','));
    for hop in hops.take(HOPS_MAX) {
        if !is_trusted(client, trusted) {
            break;
        }
        match parse_hop(hop.trim()) {
            Some(address) => client = address.to_canonical(),
            // A trusted proxy wrote something odd: it is the last we know of.
            None => break,
        }
    }
    client
}

/// Some proxies add the port: `192.0.2.1:5000`, `[2001:db8::1]:5000`.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    bare.parse()
        .ok()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The addresses that one client is likely to own, as a key for limits: an IPv4 address, or the /64
/// of an IPv6 address, of which everyone has more than can be counted.
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// Limits of a [`site_key`] are so many times those of a [`limit_key`]: a provider may have put
/// many customers into one site.
pub const SITE_FACTOR: u32 = 16;

/// The /48 of an IPv6 address, which is as much as one customer is given: a second key for limits,
/// since it holds 65,536 of the first. `None` in IPv4, where nobody has many addresses at no cost.
pub fn site_key(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & (u128::MAX << 80),
        ))),
    }
}

/// The address of peers that have none, such as those of a Unix socket: they share one limit.
pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded_for: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<Network> = trusted
            .iter()
            .map(|range| Network::parse(range).unwrap())
            .collect();
        client_address(
            peer.parse().unwrap(),
            forwarded_for.iter().copied(),
            &trusted,
        )
        .to_string()
    }

    #[test]
    fn header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(
            client("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn last_untrusted_hop_is_the_client() {
        let trusted = ["127.0.0.1", "10.0.0.0/8"];
        assert_eq!(
            client("127.0.0.1", &["198.51.100.1"], &trusted),
            "198.51.100.1"
        );
        assert_eq!(
            client("127.0.0.1", &["1.1.1.1, 198.51.100.1, 10.2.3.4"], &trusted),
            "198.51.100.1"
        );
        assert_eq!(
            client(
                "127.0.0.1",
                &["1.1.1.1", "198.51.100.1", "10.2.3.4"],
                &trusted
            ),
            "198.51.100.1"
        );
    }

    #[test]
    fn chain_of_trusted_hops_ends_at_its_first() {
        assert_eq!(
            client(
                "127.0.0.1",
                &["10.1.1.1, 10.2.2.2"],
                &["127.0.0.1", "10.0.0.0/8"]
            ),
            "10.1.1.1"
        );
        assert_eq!(client("127.0.0.1", &[], &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn odd_hops_end_the_search() {
        assert_eq!(
            client(
                "127.0.0.1",
                &["1.1.1.1, unknown, 10.2.2.2"],
                &["127.0.0.1", "10.0.0.0/8"]
            ),
            "10.2.2.2"
        );
        assert_eq!(client("127.0.0.1", &[""], &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        assert_eq!(
            client("::ffff:127.0.0.1", &["192.0.2.1:5000"], &["127.0.0.1"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("::1", &["[2001:db8::1]:5000"], &["::1"]),
            "2001:db8::1"
        );
        assert_eq!(client("::1", &["[2001:db8::1]"], &["::1"]), "2001:db8::1");
    }

    #[test]
    fn ranges_end_where_they_say() {
        let range = Network::parse;
        assert!(
            range("0.0.0.0/0")
                .unwrap()
                .contains("203.0.113.9".parse().unwrap())
        );
        assert!(
            range("2001:db8::/32")
                .unwrap()
                .contains("2001:db8:1::1".parse().unwrap())
        );
        assert!(
            !range("10.0.0.0/9")
                .unwrap()
                .contains("10.128.0.0".parse().unwrap())
        );
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/x",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn a_request_comes_from_whom_a_trusted_peer_names() {
        use actix_web::http::header::HeaderValue;
        let mut headers = HeaderMap::new();
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let client = |peer: &str, headers: &HeaderMap| {
            client_of(Some(peer.parse().unwrap()), headers, &trusted).to_string()
        };
        assert_eq!(client("[::ffff:10.0.0.1]:80", &headers), "10.0.0.1");
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        assert_eq!(client("10.0.0.1:80", &headers), "198.51.100.1");
        assert_eq!(client("203.0.113.9:80", &headers), "203.0.113.9");
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(
            client("10.0.0.1:80", &headers),
            "10.0.0.1",
            "odd words end the search"
        );
        assert_eq!(client_of(None, &headers, &trusted), NO_ADDRESS);
    }

    #[test]
    fn one_ipv6_client_is_one_limit() {
        let key = |text: &str| limit_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        let site = |text: &str| site_key(text.parse().unwrap());
        assert_eq!(site("2001:db8:0:1::1"), site("2001:db8:0:ffff::2"));
        assert_ne!(site("2001:db8:0:1::1"), site("2001:db8:1:1::1"));
        assert_eq!(
            site_key(limit_key("2001:db8:0:1::1".parse().unwrap())),
            site("2001:db8::")
        );
        assert_eq!([site("192.0.2.1"), site("::ffff:192.0.2.1")], [None, None]);
    }
}
