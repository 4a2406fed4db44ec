"""What may be reached at all, before anything is looked up."""

from ipaddress import ip_address

import pytest

from web_browsing.gate.refusing import Refused
from web_browsing.gate.rules import Rules, refuse_inside
from web_browsing.gate.spelling import read_host


def reason(rules: Rules, host: str, port: int = 443, scheme: str = "https") -> str | None:
    try:
        rules.place(scheme, read_host(host), port)
    except Refused as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "x.internal",
        "wiki",
        "metadata",
        "nas.home.arpa",
        "git.corp",
        "nas.lan",
        "a.intranet",
        "metadata.packet.net",
        "localhost.localdomain",
    ],
)
def test_names_of_the_inside_are_refused_by_name(name: str) -> None:
    assert reason(Rules(), name) == "private_address"


@pytest.mark.parametrize("name", ["notlocalhost.com", "mylocal.net", "internal.example.com"])
def test_names_that_only_look_like_them_pass(name: str) -> None:
    assert reason(Rules(), name) is None


def test_only_the_named_ports_and_the_two_schemes_pass() -> None:
    rules = Rules.of([443, 8443], [])
    assert reason(rules, "a.com", 443) is None
    assert reason(rules, "a.com", 80) == "bad_port"
    assert reason(rules, "a.com", 22) == "bad_port"
    for scheme in ("file", "ftp", "view-source", "ws", "gopher", "chrome", "data", ""):
        assert reason(rules, "a.com", 443, scheme) == "bad_scheme"


def test_an_exception_is_for_exactly_its_host_and_port() -> None:
    rules = Rules.of([443], ["wiki.internal:8080", "127.0.0.1:9000", "[::1]:9000", "NAS.lan.:5000"])
    for host, port in [("wiki.internal", 8080), ("127.0.0.1", 9000), ("[::1]", 9000)]:
        assert reason(rules, host, port) is None
    assert reason(rules, "nas.lan", 5000) is None
    assert reason(rules, "wiki.internal", 443) == "private_address"
    assert reason(rules, "a.wiki.internal", 8080) == "bad_port"
    assert reason(rules, "127.0.0.1", 9001) == "bad_port"
    assert reason(rules, "127.0.0.2", 9000) == "bad_port"
    assert reason(rules, "[::ffff:127.0.0.1]", 9000) == "bad_port"
    assert reason(rules, "localhost", 9000) == "bad_port"
    assert reason(rules, "file", 9000, "file") == "bad_scheme"


def test_the_exception_of_a_name_leads_inside_but_never_to_metadata() -> None:
    rules = Rules.of([443], ["wiki.internal:8080", "169.254.169.254:80"])
    wiki = rules.place("http", read_host("wiki.internal"), 8080)
    refuse_inside(wiki, ip_address("10.0.0.7"), ours=False)
    refuse_inside(wiki, ip_address("127.0.0.1"), ours=True)
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16"):
        with pytest.raises(Refused, match="metadata"):
            refuse_inside(wiki, ip_address(address), ours=False)
    named = rules.place("http", read_host("169.254.169.254"), 80)
    refuse_inside(named, ip_address("169.254.169.254"), ours=False)


def test_a_public_address_of_this_machine_is_refused() -> None:
    place = Rules().place("https", read_host("a.com"), 443)
    with pytest.raises(Refused, match="this machine itself"):
        refuse_inside(place, ip_address("93.184.216.34"), ours=True)


@pytest.mark.parametrize(
    "wrong",
    [
        "wiki",
        "wiki:",
        "wiki:http",
        "http://wiki:80",
        "wiki:0",
        "wiki:99999",
        "*:80",
        "10.0.0.0/8:80",
        "::1:80",
        "0x7f.1:80",
        "a@b:80",
        "",
    ],
)
def test_an_exception_that_is_none_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="allow_hosts: '"):
        Rules.of([443], [wrong])


def test_a_port_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="ports: 70000"):
        Rules.of([70000], [])
