"""Both sides of a tunnel that is looked into: whom we trust, and who trusts us."""

import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from web_browsing.gate.looking import LASTS, MAX_CONTEXTS, Looking
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.gate.spelling import read_host
from web_browsing.gate.visitor import PASS, Outgoing, Ruling

from .conftest import SITE, Authority, Connection, Gated, Names, answering, unverified

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def judge(outgoing: Outgoing) -> Ruling:
    del outgoing
    return PASS


@pytest.mark.parametrize(
    ("names", "faults", "told"),
    [
        ([SITE], {"expired": True}, b"expired"),
        ([SITE], {"self_signed": True}, b"self-signed"),
        (["other.test"], {}, b"site.test"),
        (["127.0.0.1"], {}, b"site.test"),
    ],
)
async def test_a_certificate_that_is_not_trusted_is_told_with_the_reason(
    gated: Gated, names: list[str], faults: dict[str, bool], told: bytes
) -> None:
    tls = gated.authority.context(*names, **faults)
    async with gated.site(answering, tls=tls) as site, gated.gate(site, judge=judge) as entrance:
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        status, headers, body = await caller.ask(GET)
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
        assert b"The certificate of" in body
        assert told in body
        assert entrance.reasons() == ["unreachable"]


async def test_an_authority_that_is_not_ours_vouches_for_nobody(
    gated: Gated, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tls = Authority(tmp_path_factory.mktemp("other")).context(SITE)
    async with gated.site(answering, tls=tls) as site, gated.gate(site, judge=judge) as entrance:
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        assert (await caller.ask(GET))[1]["x-flotilla-refused"] == "unreachable"


async def test_a_server_without_tls_or_too_old_is_unreachable(gated: Gated) -> None:
    async def junk(connection: Connection) -> None:
        connection.writer.write(b"SSH-2.0-OpenSSH\r\n")

    async with gated.site(junk) as site, gated.gate(site, judge=judge) as entrance:
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        status, headers, body = await caller.ask(GET)
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
        assert b"TLS" in body


async def test_a_server_is_verified_by_its_address_where_it_has_no_name(gated: Gated) -> None:
    for names, status in ((["127.0.0.1"], 200), ([SITE], 502)):
        tls = gated.authority.context(*names)
        async with gated.site(answering, tls=tls) as site:
            exempt = f"127.0.0.1:{site.port}"
            async with gated.gate(judge=judge, exempt=[exempt]) as entrance:
                caller = await entrance.call_into(exempt)
                assert (await caller.ask(GET))[0] == status


async def test_the_browser_sees_the_key_whose_hash_it_was_started_with(gated: Gated) -> None:
    async with gated.gate(judge=judge, names=Names({})) as entrance:
        keys = list[bytes]()
        for authority in ("a.test:443", "[2606::1]:443", f"{'a' * 60}.{'b' * 60}.test:8443"):
            caller = await entrance.call_into(authority)
            tls: ssl.SSLObject = caller.writer.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == "http/1.1"
            der = tls.getpeercert(binary_form=True)
            assert der is not None
            certificate = x509.load_der_x509_certificate(der)
            (alternative,) = certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value
            host = read_host(authority.rpartition(":")[0])
            assert str(alternative.value) == host.name
            keys.append(
                certificate.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        assert len(set(keys)) == 1
        digest = base64.b64encode(hashlib.sha256(keys[0]).digest()).decode()
        assert entrance.proxy.spki_hash == digest
        assert Proxy(Rules()).spki_hash != digest


def test_contexts_are_kept_for_as_long_as_their_certificates_are_good() -> None:
    now = datetime.now(UTC)
    looking = Looking(lambda: now)
    first = looking.context(read_host("a.test"))
    assert looking.context(read_host("A.test.")) is first
    now += LASTS
    assert looking.context(read_host("a.test")) is not first
    kept = looking.context(read_host("a.test"))
    for index in range(MAX_CONTEXTS - 1):
        looking.context(read_host(f"{index}.test"))
        looking.context(read_host("a.test"))
    assert looking.context(read_host("a.test")) is kept
    now += timedelta(seconds=1)
    assert unverified().verify_mode is ssl.CERT_NONE
