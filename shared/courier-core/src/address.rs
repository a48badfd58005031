//! Which addresses the outbound guard lets us call. It judges addresses only; names and URLs are judged elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 special-purpose ranges (IANA registry, RFC 6890), with multicast and the reserved rest.
const DENIED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The one IPv6 range in public use (RFC 4291 §2.4); whatever lies outside it is refused.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);

/// Inside it: protocol assignments with Teredo, documentation, 6to4, documentation.
const DENIED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),
    v6([0x2001, 0xdb8], 32),
    v6([0x2002, 0], 16),
    v6([0x3fff, 0], 20),
];

/// Whether the address is an ordinary one of the public internet. An IPv4-mapped address counts as the IPv4 address.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !DENIED_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !DENIED_V6.iter().any(|network| network.contains(&ip))
        }
    }
}

/// What may be called: the public internet and `allow_networks` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    pub networks: Vec<IpNet>,
}

impl Allowed {
    pub fn permits(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.networks.iter().any(|network| network.contains(&ip))
    }
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// First and last address of each denied range are refused, alone and mapped; the neighbours are as stated.
    #[test]
    fn every_denied_ipv4_range_is_refused_to_its_edges() {
        for (before, first, last, after) in [
            (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
            (
                Some("9.255.255.255"),
                "10.0.0.0",
                "10.255.255.255",
                Some("11.0.0.0"),
            ),
            (
                Some("100.63.255.255"),
                "100.64.0.0",
                "100.127.255.255",
                Some("100.128.0.0"),
            ),
            (
                Some("126.255.255.255"),
                "127.0.0.0",
                "127.255.255.255",
                Some("128.0.0.0"),
            ),
            (
                Some("169.253.255.255"),
                "169.254.0.0",
                "169.254.255.255",
                Some("169.255.0.0"),
            ),
            (
                Some("172.15.255.255"),
                "172.16.0.0",
                "172.31.255.255",
                Some("172.32.0.0"),
            ),
            (
                Some("191.255.255.255"),
                "192.0.0.0",
                "192.0.0.255",
                Some("192.0.1.0"),
            ),
            (
                Some("192.0.1.255"),
                "192.0.2.0",
                "192.0.2.255",
                Some("192.0.3.0"),
            ),
            (
                Some("192.88.98.255"),
                "192.88.99.0",
                "192.88.99.255",
                Some("192.88.100.0"),
            ),
            (
                Some("192.167.255.255"),
                "192.168.0.0",
                "192.168.255.255",
                Some("192.169.0.0"),
            ),
            (
                Some("198.17.255.255"),
                "198.18.0.0",
                "198.19.255.255",
                Some("198.20.0.0"),
            ),
            (
                Some("198.51.99.255"),
                "198.51.100.0",
                "198.51.100.255",
                Some("198.51.101.0"),
            ),
            (
                Some("203.0.112.255"),
                "203.0.113.0",
                "203.0.113.255",
                Some("203.0.114.0"),
            ),
            (
                Some("223.255.255.255"),
                "224.0.0.0",
                "239.255.255.255",
                None,
            ),
            (None, "240.0.0.0", "255.255.255.255", None),
        ] {
            let mapped = |text: &str| ip(&format!("::ffff:{text}"));
            for edge in [first, last] {
                assert!(!is_public(ip(edge)) && !is_public(mapped(edge)), "{edge}");
            }
            for neighbour in [before, after].into_iter().flatten() {
                assert!(
                    is_public(ip(neighbour)) && is_public(mapped(neighbour)),
                    "{neighbour}"
                );
            }
        }
    }

    #[test]
    fn only_global_ipv6_is_public() {
        for public in [
            "2000::",
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff::",
            "2003::",
            "2606:4700::1111",
            "2a00:1450::8a",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "3fff:ffff::",
        ] {
            assert!(is_public(ip(public)), "{public}");
        }
        for special in [
            "::",
            "::1",
            "::7f00:1",
            "::ffff:0:7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "1fff:ffff::",
            "2001::",
            "2001::4136:e378",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002::",
            "2002:a9fe:a9fe::",
            "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "5f00::1",
            "fc00::",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert!(!is_public(ip(special)), "{special}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_only() {
        let allowed = Allowed {
            networks: vec![
                "10.20.0.0/16".parse().unwrap(),
                "fd00:1::/32".parse().unwrap(),
            ],
        };
        for open in [
            "10.20.0.0",
            "10.20.255.255",
            "::ffff:10.20.3.4",
            "fd00:1::5",
            "8.8.8.8",
            "2606:4700::1111",
        ] {
            assert!(allowed.permits(ip(open)), "{open}");
        }
        for closed in [
            "10.19.255.255",
            "10.21.0.0",
            "::ffff:10.21.0.0",
            "::10.20.0.1",
            "fd00:2::5",
            "127.0.0.1",
            "::1",
            "169.254.169.254",
        ] {
            assert!(!allowed.permits(ip(closed)), "{closed}");
        }
        assert!(!Allowed::default().permits(ip("10.20.0.1")));
    }

    /// What a function in the cloud must never be aimed at (cloud-facts.md §4.3 item 7).
    #[test]
    fn the_prizes_of_a_cloud_function_are_out_of_reach() {
        for prize in [
            "127.0.0.1",
            "169.254.100.1",
            "169.254.79.129",
            "169.254.169.254",
            "169.254.170.2",
            "192.0.0.192",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(!Allowed::default().permits(ip(prize)), "{prize}");
        }
    }
}
