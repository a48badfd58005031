"""Writes addresses.tsv: both sides of each edge of each range, as Python's ipaddress and STRICTER judge them."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

def table(text):
    lines = (line.split(" ", 1) for line in text.strip().splitlines())
    return [(ip_network(network), words) for network, words in lines]


# The IANA special-purpose registries of IPv4 and IPv6, multicast, and the ranges of our own tables
# (src/outbound/address.rs).
RANGES = table("""
0.0.0.0/8 this network
0.0.0.0/32 this host
10.0.0.0/8 private use
100.64.0.0/10 shared address space
127.0.0.0/8 loopback
169.254.0.0/16 link local
172.16.0.0/12 private use
192.0.0.0/24 protocol assignments
192.0.0.0/29 service continuity
192.0.0.8/32 dummy
192.0.0.9/32 PCP anycast
192.0.0.10/32 TURN anycast
192.0.0.170/31 NAT64 discovery
192.0.2.0/24 documentation
192.31.196.0/24 AS112
192.52.193.0/24 AMT
192.88.99.0/24 6to4 relay
192.88.99.2/32 6a44 relay
192.168.0.0/16 private use
192.175.48.0/24 AS112
198.18.0.0/15 benchmarking
198.51.100.0/24 documentation
203.0.113.0/24 documentation
224.0.0.0/4 multicast
240.0.0.0/4 reserved
255.255.255.255/32 broadcast
::/128 unspecified
::1/128 loopback
::/96 IPv4-compatible
::ffff:0:0/96 IPv4-mapped
::ffff:0:0:0/96 IPv4-translated
64:ff9b::/96 NAT64
64:ff9b:1::/48 local NAT64
100::/64 discard
100:0:0:1::/64 dummy
2000::/3 global unicast
2001::/23 protocol assignments
2001::/32 Teredo
2001:1::1/128 PCP anycast
2001:1::2/128 TURN anycast
2001:1::3/128 DNS-SD anycast
2001:2::/48 benchmarking
2001:3::/32 AMT
2001:4:112::/48 AS112
2001:10::/28 ORCHID
2001:20::/28 ORCHIDv2
2001:30::/28 drone remote id
2001:db8::/32 documentation
2002::/16 6to4
2620:4f:8000::/48 AS112
3fff::/20 documentation
5f00::/16 segment routing
fc00::/7 unique local
fe80::/10 link local
fec0::/10 site local
ff00::/8 multicast
""")

# Ranges that Python calls global and we refuse, each with its reason. The first range that fits gives the reason.
STRICTER = table("""
192.0.0.0/24 no receiver lives among protocol assignments, and a cloud's metadata does (192.0.0.192)
192.88.99.0/24 a relay leads into a tunnel, to an address that is not judged
224.0.0.0/4 multicast reaches whoever listens
2001::/23 Teredo and the like carry another address
2001:db8::/32 documentation
2002::/16 6to4 carries an IPv4 address, perhaps a private one
3fff::/20 documentation
::/3 outside 2000::/3, the one range in public use
4000::/2 outside 2000::/3, the one range in public use
8000::/1 outside 2000::/3, the one range in public use
""")

# Forms of an IPv6 address that contain an IPv4 address, to which a gateway on the way may send the traffic.
EMBEDDED = {
    "IPv4-mapped": lambda ip: IPv6Address(0xFFFF << 32 | int(ip)),
    "IPv4-compatible": lambda ip: IPv6Address(int(ip)),
    "IPv4-translated": lambda ip: IPv6Address(0xFFFF << 48 | int(ip)),
    "NAT64": lambda ip: IPv6Address(0x64FF9B << 96 | int(ip)),
    "6to4": lambda ip: IPv6Address(0x2002 << 112 | int(ip) << 80),
    "Teredo": lambda ip: IPv6Address(0x2001 << 112 | (int(ip) ^ 0xFFFFFFFF)),
}

OTHERS = """
8.8.8.8 1.1.1.1 127.0.0.1 169.254.169.254 169.254.170.2 169.254.100.1 169.254.79.129 100.100.100.200 192.0.0.192
2606:4700::1111 2a00:1450::8a 2003::1 2001:ffff:ffff:ffff:: 3fff:ffff:: ::7f00:1 ::ffff:0:7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 100::1 1fff:ffff:: 2001::4136:e378 2001:10::1 2001:20::1 2002:a9fe:a9fe:: 5f00::1 fd00:ec2::254 fdff::1
fe80::1 fec0::1 ff02::1
"""


def edges(network):
    first, last = int(network[0]), int(network[-1])
    top = 2**network.max_prefixlen - 1
    kind = IPv4Address if network.version == 4 else IPv6Address
    for place, number in ("before", first - 1), ("first of", first), ("last of", last), ("after", last + 1):
        if 0 <= number <= top:
            yield place, kind(number)


def behind_nat64(ip):
    """Returns the IPv4 address that a NAT64 gateway with the well-known prefix reaches (RFC 6052)."""
    if ip in ip_network("64:ff9b::/96"):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def verdict(ip):
    """Returns the verdict, and the reason if we refuse what Python may call global."""
    judged = getattr(ip, "ipv4_mapped", None) or behind_nat64(ip) or ip
    for network, reason in STRICTER:
        if judged.version == network.version and judged in network:
            return "refused", f"; {reason}"
    return ("public" if judged.is_global else "refused"), ""


def spelled(ip):
    """Returns the text of an address; versions of Python differ in how they write an IPv4-mapped one."""
    mapped = getattr(ip, "ipv4_mapped", None)
    return f"::ffff:{mapped}" if mapped else str(ip)


def cases():
    for network, words in RANGES:
        for place, ip in edges(network):
            yield ip, f"{place} {spelled(network[0])}/{network.prefixlen} ({words})"
    for network, words in RANGES:
        for place, ip in edges(network):
            if network.version == 4:
                for name, embed in EMBEDDED.items():
                    yield embed(ip), f"{name} {ip}"
    for ip in OTHERS.split():
        yield ip_address(ip), "a resolver, a cloud's prize, or inside a range"


def main():
    print("# Written by addresses.py.")
    seen = set()
    for ip, why in cases():
        if ip not in seen:
            seen.add(ip)
            judgement, reason = verdict(ip)
            print(f"{spelled(ip)}\t{judgement}\t{why}{reason}")


main()
