"""Hosts: one spelling of each is taken, and what others read as an address is refused."""

import re
import socket
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from web_browsing.gate.addresses import is_public
from web_browsing.gate.refusing import Refused
from web_browsing.gate.rules import Rules, refuse_inside
from web_browsing.gate.spelling import Misspelled, read_authority, read_host

ONLY_ATTACKERS = [
    "2130706433",
    "0x7f000001",
    "017700000001",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.00.0.1",
    "127.0.0.0x1",
    "1.0x7f000001",
    "0",
    "0x",
    "0.",
    "127.0.0.1.1",
    "256.0.0.1",
    "127.0.0.256",
    "127.0.0.1..",
    "4294967296",
    "1.2.3.0x",
    "a.1",
    "a.0xf",
    "foo.127",
    "::1",
    "0:0:0:0:0:0:0:1",
    "[::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1",
    "::1]",
    "[]",
    "[1.2.3.4]",
    "[::ffff:127.0.0.1.]",
    "[:::1]",
    "[12345::]",
    "a..b",
    ".a",
    "..",
    ".",
    "a%2eb",
    "127%2e0%2e0%2e1",
    "a@b",
    "a\\b",
    "a/b",
    "a?b",
    "a#b",
    "a:b",
    "münchen.de",
    "１２７.0.0.1",
    "localhost。",
    "ⓛocalhost",
    "a,b",
    "a;b",
    "*.a",
    "(a)",
    "a!b",
    "a=b",
]


@pytest.mark.parametrize(
    "host", [*ONLY_ATTACKERS, "", " ", "a b", "a\n.b", "a\tb.c", "a\0.b", f"{'a' * 64}.b"]
)
def test_a_spelling_that_is_not_the_one_is_refused(host: str) -> None:
    with pytest.raises(Misspelled):
        read_host(host)
    with pytest.raises(Misspelled):
        read_host(f"{'a.' * 127}b")


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("_dmarc.a-b.c", "_dmarc.a-b.c"),
        ("a.b1", "a.b1"),
        ("0xg.com", "0xg.com"),
        ("93.184.216.34", "93.184.216.34"),
        ("93.184.216.34.", "93.184.216.34"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("[2606:4700:0:0::1111]", "2606:4700::1111"),
        ("[::FFFF:7F00:1]", "::ffff:7f00:1"),
    ],
)
def test_a_host_is_read_in_its_canonical_spelling(spelled: str, name: str) -> None:
    read = read_host(spelled)
    assert ip_address(read.name) == ip_address(name) if read.address else read.name == name
    assert read_host(str(read)) == read


@pytest.mark.parametrize(
    "authority",
    [
        "a.b",
        "a.b:",
        "a.b:0",
        "a.b:65536",
        "a.b:-1",
        "a.b:+80",
        "a.b:８０",
        "a.b: 80",
        "u@a.b:80",
        "u:p@a.b:80",
        "a.b:80:80",
        "[::1]",
        "[::1]80",
        "a.b:080000",
        ":80",
        "a.b:80@c.d:80",
    ],
)
def test_an_authority_is_a_host_and_a_port_and_nothing_else(authority: str) -> None:
    with pytest.raises(Misspelled):
        read_authority(authority)


def test_an_authority_of_a_url_may_do_without_its_port() -> None:
    assert read_authority("a.b", 80) == (read_host("a.b"), 80)
    assert read_authority("[2606::1]", 443) == (read_host("[2606::1]"), 443)
    assert read_authority("[2606::1]:8443", 443) == (read_host("[2606::1]"), 8443)


_PART = st.one_of(
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**33).map(lambda number: f"0{number:o}"),
    st.sampled_from(["", "00", "0x", "0X7F", "127", "010"]),
)


@given(st.lists(_PART, min_size=1, max_size=5).map(".".join), st.sampled_from(["", ".", ".."]))
@example("2130706433", "")
@example("0x7f.1", ".")
def test_what_the_c_library_reads_as_an_address_inside_is_never_let_through(
    spelled: str, dots: str
) -> None:
    try:
        packed = socket.inet_aton(spelled)
    except OSError:
        packed = None
    try:
        place = Rules().place("http", read_host(spelled + dots), 80)
    except (Misspelled, Refused):
        return
    assert place.host.address is not None
    assert is_public(place.host.address)
    assert packed is None or place.host.address.packed == packed


@given(st.text(max_size=40))
@example("::1")
@example("[::1]")
def test_whatever_is_read_as_a_host_is_a_name_of_the_dns_or_an_address(text: str) -> None:
    try:
        host = read_host(text)
    except Misspelled:
        return
    if host.address is None:
        assert re.fullmatch(r"[a-z0-9_.-]+", host.name)
        with pytest.raises(OSError, match=r"."):
            socket.inet_aton(host.name)
    else:
        assert host.name == str(host.address)


@given(st.ip_addresses())
def test_an_address_that_is_written_as_it_should_be_is_judged_as_what_it_is(
    address: object,
) -> None:
    judged = ip_address(str(address))
    spelled = f"[{judged}]" if judged.version == 6 else str(judged)
    try:
        place = Rules().place("https", read_host(spelled), 443)
        refuse_inside(place, judged, ours=False)
    except Refused:
        assert not is_public(judged)
    else:
        assert is_public(judged)
