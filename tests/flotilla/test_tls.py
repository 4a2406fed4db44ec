"""Hub and services prove to each other who they are, where the operator wants that."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flotilla import CommonSettings, Misconfigured, Model, Spoke, reads
from flotilla.certificates import RENEWED_DAYS, make_certificates
from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from flotilla.serving.spokes import spoke_service
from flotilla.tls import client_context, server_context
from master import build
from master.settings import Settings
from tests.conftest import UNHURRIED, InProcessFleet, find_free_port

pytestmark = pytest.mark.anyio


class Said(Model):
    word: str


async def hello() -> Said:
    """Say hello."""
    return Said(word="hello")


SHOP = Spoke(
    name="shop",
    version="1",
    instructions="",
    namespaces=("data.shop",),
    tools=(reads("data.shop.hello", hello),),
)


def fleet_with_tls(folder: Path) -> InProcessFleet:
    """A hub whose one spoke, `shop`, is reached by TLS."""
    port = find_free_port()
    entries = {
        HUB: ServiceEntry(number=0, port=find_free_port(), namespaces=("master",), **UNHURRIED),
        "shop": ServiceEntry(
            number=1,
            port=port,
            namespaces=SHOP.namespaces,
            url=f"https://127.0.0.1:{port}",
            **UNHURRIED,
        ),
    }
    common = CommonSettings(data_dir=folder / "data", shutdown_grace_s=5)
    return InProcessFleet(FleetConfig(entries, {}), common)


def showing(fleet: InProcessFleet, folder: Path) -> CommonSettings:
    return fleet.common.model_copy(update={"tls_dir": folder})


async def test_a_call_goes_through_a_hub_and_a_spoke_that_speak_tls(tmp_path: Path) -> None:
    fleet, papers = fleet_with_tls(tmp_path), tmp_path / "papers"
    assert make_certificates(papers, HUB, ["shop"], names=["127.0.0.1"])
    await fleet.start(HUB, lambda: build(Settings(), showing(fleet, papers / HUB), fleet.fleet))
    common = showing(fleet, papers / "shop")
    await fleet.start("shop", lambda: spoke_service(SHOP, common, fleet.fleet))
    try:
        await fleet.ready()
        async with fleet.client() as client:
            told = await client.call_tool("data_shop_hello", {})
            assert told.structured_content == {"word": "hello"}
        await _refused_without_a_certificate_of_the_hub(fleet.fleet.url("shop"), papers, tmp_path)
    finally:
        for name in ("shop", HUB):
            await fleet.stop(name)


async def _refused_without_a_certificate_of_the_hub(url: str, papers: Path, folder: Path) -> None:
    known = ssl.create_default_context(cafile=papers / HUB / "trusted.pem")
    known.load_cert_chain(papers / HUB / "certificate.pem", papers / HUB / "key.pem")
    async with httpx2.AsyncClient(verify=known) as hub:
        assert (await hub.get(f"{url}/health")).status_code == 200
    trusting = ssl.create_default_context(cafile=papers / HUB / "trusted.pem")
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient(verify=trusting) as nobody:
            await nobody.get(f"{url}/health")
    # What a service is given opens no other service: another authority vouched for it.
    trusting.load_cert_chain(papers / "shop/certificate.pem", papers / "shop/key.pem")
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient(verify=trusting) as service:
            await service.get(f"{url}/health")
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient() as plain:
            await plain.get(f"{url.replace('https', 'http')}/health")
    # Another fleet's hub is none of ours.
    make_certificates(folder / "other", HUB, ["shop"], names=["127.0.0.1"])
    stranger = client_context(folder / "other" / HUB)
    stranger.load_verify_locations(papers / HUB / "trusted.pem")
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient(verify=stranger) as other:
            await other.get(f"{url}/health")


async def test_the_hub_sends_nothing_to_a_spoke_of_another_name(tmp_path: Path) -> None:
    papers, seen = tmp_path / "papers", []
    make_certificates(papers, HUB, ["shop", "bank"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(papers / "bank"))
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context(papers / HUB), server_hostname="shop"
            )
    assert seen in ([], [b""])


def test_certificates_are_made_once_and_anew_before_they_end(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert make_certificates(tmp_path, HUB, ["shop"], days=365)
    assert not make_certificates(tmp_path, HUB, ["shop"])
    later = now + timedelta(days=365 - RENEWED_DAYS + 1)
    before = (tmp_path / "shop/certificate.pem").read_bytes()
    assert make_certificates(tmp_path, HUB, ["shop"], now=later)
    assert (tmp_path / "shop/certificate.pem").read_bytes() != before
    # A service that is new asks for another hub's folder too: both authorities are new.
    assert make_certificates(tmp_path, HUB, ["shop", "bank"])
    for file in tmp_path.rglob("*.pem"):
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "key.pem").unlink(),
        lambda folder: (folder / "key.pem").write_text("nothing"),
        lambda folder: (folder / "trusted.pem").write_text("nothing"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_the_start(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    make_certificates(tmp_path, HUB, ["shop"])
    spoil(tmp_path / "shop")
    with pytest.raises(Misconfigured, match="FLOTILLA_TLS_DIR"):
        server_context(tmp_path / "shop")
