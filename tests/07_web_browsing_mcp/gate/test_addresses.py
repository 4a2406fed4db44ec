"""Which addresses are public, held against IANA's registries row by row and Python's own table."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web_browsing.gate.addresses import METADATA, is_metadata, is_public
from web_browsing.gate.resolving import OwnAddresses

V4_ROWS = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.88.99.2/32",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "224.0.0.0/4",
]
V6_ROWS = [
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "200::/7",
]
"""The registries' rows but for 64:ff9b::/96, which stands for an IPv4 address; and beside them
multicast, and what was special once (site-local, IPv4-compatible, NSAP)."""


@pytest.mark.parametrize("row", [*V4_ROWS, *V6_ROWS])
def test_no_address_of_a_special_row_is_public(row: str) -> None:
    network = ip_network(row)
    middle = network[network.num_addresses // 2]
    for address in (network[0], middle, network[-1]):
        assert not is_public(address), address


@pytest.mark.parametrize("row", ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "198.18.0.0/15"])
def test_the_neighbours_of_a_special_row_are_public(row: str) -> None:
    network = ip_network(row)
    assert is_public(network[0] - 1)
    assert is_public(network[-1] + 1)


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::200e", "2620::1"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_not_public_and_known_as_such_however_wrapped(address: str) -> None:
    plain = ip_address(address)
    assert not is_public(plain)
    assert is_metadata(plain)
    if isinstance(plain, IPv4Address):
        for prefix in ("::ffff:", "64:ff9b::"):
            wrapped = IPv6Address(f"{prefix}{plain}")
            assert not is_public(wrapped)
            assert is_metadata(wrapped)


def test_an_address_that_was_translated_is_as_public_as_what_it_stands_for() -> None:
    assert is_public(IPv6Address("64:ff9b::8.8.8.8"))
    for inside in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "224.0.0.1"):
        assert not is_public(IPv6Address(f"64:ff9b::{inside}"))
        assert not is_public(IPv6Address(f"::ffff:{inside}"))
        assert not is_public(IPv6Address(f"::{inside}"))
        number = int(IPv4Address(inside))
        assert not is_public(IPv6Address((0x2002 << 112) | (number << 80)))
        assert not is_public(IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)))


def test_no_link_of_this_machine_is_public() -> None:
    assert not is_public(IPv6Address("2606:4700::1111%eth0"))


_NEAR = st.sampled_from([ip_network(row) for row in [*V4_ROWS, *V6_ROWS]]).flatmap(
    lambda network: st.integers(
        max(int(network[0]) - 2, 0), min(int(network[-1]) + 2, 2**network.max_prefixlen - 1)
    ).map(IPv4Address if isinstance(network, IPv4Network) else IPv6Address)
)


@given(st.one_of(st.ip_addresses(), _NEAR))
def test_nothing_outside_public_unicast_is_ever_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not is_public(address):
        return
    judged = address
    if isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96"):
        judged = IPv4Address(int(address) & 0xFFFFFFFF)
    assert judged.is_global
    assert not judged.is_multicast
    assert not judged.is_reserved
    rows = V4_ROWS if judged.version == 4 else V6_ROWS
    assert not any(judged in ip_network(row) for row in rows)


def test_this_machines_own_addresses_are_known_and_no_others() -> None:
    is_ours = OwnAddresses()
    assert is_ours(ip_address("127.0.0.1"))
    assert is_ours(ip_address("127.9.9.9"))
    assert is_ours(ip_address("::1"))
    for other in ("93.184.216.34", "192.0.2.1", "2606:4700::1111"):
        assert not is_ours(ip_address(other))
