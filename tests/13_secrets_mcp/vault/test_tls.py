"""Vault's token is told to nobody who cannot prove that he is Vault."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from flotilla.certificates import make_certificates
from tests.backends.vault_server import VaultServer

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Speaking

pytestmark = pytest.mark.anyio


def certified(root: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """What a server of that name shows, and the authority that vouches for it."""
    make_certificates(root, "master", ["vault"], names=[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(root / "vault/certificate.pem", root / "vault/key.pem")
    return context, root / "master/trusted.pem"


async def test_only_a_server_that_the_authority_vouches_for_is_spoken_to(
    speaking: Speaking, tmp_path: Path
) -> None:
    context, authority = certified(tmp_path / "right", "127.0.0.1")
    _, foreign = certified(tmp_path / "foreign", "127.0.0.1")
    async with VaultServer().running(context) as vault:
        token = tmp_path / "own"
        token.write_text(vault.root)
        more = {"url": vault.url, "token_file": token}
        async with speaking(**more, ca_file=authority) as ours:
            await ours.put("a", "x")
            assert await ours.value("a") == "x"
        asked = len(vault.asked)
        for trusted in ({}, {"ca_file": foreign}):
            async with speaking(**more, **trusted) as ours:
                for error in (await ours.no_value(), await ours.no_put()):
                    assert (error.code, error.details) == ("unavailable", {"reason": "vault_tls"})
                assert "not to be trusted" in (await ours.backend.ready() or "")
        assert len(vault.asked) == asked


async def test_a_server_of_another_name_is_not_vault(speaking: Speaking, tmp_path: Path) -> None:
    context, authority = certified(tmp_path / "other", "vault.example.org")
    async with VaultServer().running(context) as vault:
        token = tmp_path / "own"
        token.write_text(vault.root)
        async with speaking(url=vault.url, token_file=token, ca_file=authority) as ours:
            assert (await ours.no_value()).details == {"reason": "vault_tls"}
        assert vault.asked == []
