//! Decides which IP addresses the outbound guard permits. Names and URLs are checked elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The special-purpose ranges of IPv4 (IANA registry, RFC 6890), with multicast and the reserved rest.
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

/// The only IPv6 range in public use (RFC 4291 §2.4); every address outside it is refused.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);

/// Refused ranges inside [`GLOBAL_V6`]: protocol assignments with Teredo, documentation, 6to4, documentation.
const DENIED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),
    v6([0x2001, 0xdb8], 32),
    v6([0x2002, 0], 16),
    v6([0x3fff, 0], 20),
];

/// The prefix before an IPv4 address that is reached through a NAT64 gateway (RFC 6052 §2.1). DNS64 makes such addresses
/// for every host without IPv6, so in a network of IPv6 alone they are the ordinary ones.
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);

/// Returns the IPv4 address that is reached by an IPv6 address: mapped in it, or behind a NAT64 gateway.
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if NAT64.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    }
}

/// Reports whether an address is an ordinary one of the public internet.
///
/// An IPv4-mapped address, and one behind the well-known prefix of NAT64, counts as the IPv4 address.
pub fn is_public(ip: IpAddr) -> bool {
    match reached(ip) {
        IpAddr::V4(ip) => !DENIED_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => {
            GLOBAL_V6.contains(&ip) && !DENIED_V6.iter().any(|network| network.contains(&ip))
        }
    }
}

/// The addresses that may be called: the public internet and `allow_networks` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    pub networks: Vec<IpNet>,
}

impl Allowed {
    pub fn permits(&self, ip: IpAddr) -> bool {
        let spellings = [ip.to_canonical(), reached(ip)];
        let is_listed = |network: &IpNet| spellings.iter().any(|ip| network.contains(ip));
        is_public(ip) || self.networks.iter().any(is_listed)
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

    #[test]
    fn allowed_network_permits_its_own_addresses_only() {
        let allowed = Allowed {
            networks: vec![
                "10.20.0.0/16".parse().unwrap(),
                "fd00:1::/32".parse().unwrap(),
            ],
        };
        for permitted in [
            "10.20.0.0",
            "10.20.255.255",
            "::ffff:10.20.3.4",
            "64:ff9b::10.20.3.4",
            "fd00:1::5",
            "8.8.8.8",
            "2606:4700::1111",
        ] {
            assert!(allowed.permits(ip(permitted)), "{permitted}");
        }
        for refused in [
            "10.19.255.255",
            "10.21.0.0",
            "::ffff:10.21.0.0",
            "64:ff9b::10.21.0.0",
            "64:ff9b:1::10.20.3.4",
            "::10.20.0.1",
            "fd00:2::5",
            "127.0.0.1",
            "::1",
            "169.254.169.254",
        ] {
            assert!(!allowed.permits(ip(refused)), "{refused}");
        }
        assert!(!Allowed::default().permits(ip("10.20.0.1")));
    }

    /// The addresses at which a function in the cloud finds credentials or its own runtime.
    #[test]
    fn loopback_and_cloud_metadata_addresses_are_refused() {
        for target in [
            "127.0.0.1",
            "169.254.100.1",
            "169.254.79.129",
            "169.254.169.254",
            "169.254.170.2",
            "192.0.0.192",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(!Allowed::default().permits(ip(target)), "{target}");
        }
    }
}
