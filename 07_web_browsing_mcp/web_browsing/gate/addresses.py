"""Which addresses are public: those that a web server on the internet may have. Pure.

The tables are IANA's registries of special-purpose addresses, with all their rows, even those that
are globally reachable: anycast relays and sinks are no web servers. Sources: RFC 6890, RFC 8190,
iana-ipv4-special-registry and iana-ipv6-special-registry (rows up to 2025), RFC 5771 (multicast).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

SPECIAL_V4: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by the customers of a carrier
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112, direct delegation
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
GLOBAL_UNICAST_V6: Final = IPv6Network("2000::/3")
"""What lies outside was never given to anybody, or is special: loopback, mapped and compatible
IPv4, discard-only, SRv6 SIDs, unique local, link-local, site-local, multicast."""
SPECIAL_V6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHIDv2, DETs
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, deprecated: holds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")
"""Stands for the IPv4 address in its last 32 bits, where there is no IPv4. Source: RFC 6052."""
METADATA: Final[frozenset[Address]] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",  # ECS
            "169.254.170.23",  # EKS
            "169.254.0.23",  # Tencent
            "192.0.0.192",  # Oracle
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure's host, a public address by the registries
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where clouds tell a machine its secrets; not even the exception of a name opens them."""


def is_public(address: Address) -> bool:
    """Whether it can be somebody's web server on the internet."""
    if address in METADATA:
        return False
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    meant = translated(address)
    if isinstance(meant, IPv4Address):
        return meant not in METADATA and not any(meant in network for network in SPECIAL_V4)
    return address in GLOBAL_UNICAST_V6 and not any(address in each for each in SPECIAL_V6)


def translated(address: Address) -> Address:
    """The IPv4 address that a NAT64 gateway makes of it; any other is what it is."""
    if isinstance(address, IPv6Address) and address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_metadata(address: Address) -> bool:
    """One of a cloud's metadata service, however it is wrapped into IPv6."""
    meant = translated(address)
    mapped = meant.ipv4_mapped if isinstance(meant, IPv6Address) else None
    return (mapped or meant) in METADATA
