"""Host keys: none is taken that the owner has not pinned, and no key but ours is shown."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flotilla import FlotillaError, Misconfigured, Spoke
from tests.backends.sshd_server import Sshd, make_key, running

from .conftest import Site, calls_of

pytestmark = pytest.mark.anyio

Operate = Callable[..., Awaitable[dict[str, Any]]]


def owner_of(spoke: Spoke) -> Operate:
    """Does an operation as the hub would for the owner, and returns JSON or the error's code."""
    by_name = {one.name: one for one in spoke.operations}

    async def operate(name: str, **body: Any) -> dict[str, Any]:
        operation = by_name[name]
        assert operation.role == "owner"
        try:
            done = await operation.run(operation.takes.model_validate(body))
        except FlotillaError as error:
            return {"error": error.code, "message": error.message, **error.details}
        return done.model_dump(mode="json", by_alias=True)

    return operate


async def test_an_unknown_key_is_refused_until_the_owner_pins_it(site: Site, target: Sshd) -> None:
    site.add("there", target, trusted=False)
    spoke = site.build()
    owner, call = owner_of(spoke), calls_of(spoke)
    async with spoke.lifespan():
        refused = await call("getSystemInfo", host="there")
        assert refused["error"] == "not_allowed"
        assert refused["details"]["reason"] == "host_key_unknown"
        assert refused["details"]["fingerprint"] == target.fingerprint
        assert "flotilla hosts trust there" in refused["details"]["hint"]
        seen = await owner("hosts.scan", host="there")
        assert (seen["fingerprint"], seen["standing"]) == (target.fingerprint, "new")
        other = "SHA256:" + "A" * 43
        wrong = await owner("hosts.trust", host="there", fingerprint=other)
        assert (wrong["error"], wrong["reason"]) == ("conflict", "host_key_differs")
        assert (await call("getSystemInfo", host="there"))["error"] == "not_allowed"
        done = await owner("hosts.trust", host="there", fingerprint=seen["fingerprint"])
        assert done["standing"] == "trusted"
        # At once, though it was refused a moment ago.
        assert (await call("getSystemInfo", host="there"))["hostname"]
        assert site.pins_file.stat().st_mode & 0o777 == 0o600
        listed = await owner("hosts.list")
        assert listed["hosts"][0]["fingerprint"] == target.fingerprint
        assert listed["hosts"][0]["connected"]
        assert (await owner("hosts.forget", host="there"))["fingerprint"] is None
        assert (await call("getSystemInfo", host="there"))["error"] == "not_allowed"
        assert (await owner("hosts.forget", host="there"))["error"] == "not_found"
        assert (await owner("hosts.scan", host="elsewhere"))["error"] == "not_found"


async def test_a_changed_key_is_refused_loudly_and_replaced_only_on_purpose(
    site: Site, own_target: Sshd
) -> None:
    own_target.start()
    site.add("there", own_target)
    old = own_target.fingerprint
    spoke = site.build()
    owner, call = owner_of(spoke), calls_of(spoke)
    async with spoke.lifespan():
        assert (await call("getSystemInfo", host="there"))["hostname"]
        own_target.stop()
        own_target.change_host_key()
        own_target.start()
        refused = await call("runCommand", command="touch /tmp/never", host="there")
        while refused["error"] == "unavailable":
            refused = await call("runCommand", command="touch /tmp/never", host="there")
        assert refused["error"] == "not_allowed" and "HAS CHANGED" in refused["message"]
        assert refused["details"]["reason"] == "host_key_changed"
        assert refused["details"]["pinned"] == old
        # Nothing of ours was shown to whoever it is.
        assert "Accepted publickey" not in own_target.log.rpartition("Server listening")[2]
        seen = await owner("hosts.scan", host="there")
        assert (seen["standing"], seen["pinned"]) == ("changed", old)
        new = {"host": "there", "fingerprint": own_target.fingerprint}
        assert (await owner("hosts.trust", **new))["reason"] == "host_key_changed"
        assert (await owner("hosts.trust", **new, replace=True))["standing"] == "trusted"
        assert (await call("getSystemInfo", host="there"))["hostname"]


@pytest.mark.real
async def test_a_host_with_keys_of_another_kind_alone_is_a_changed_host(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    rsa = make_key(tmp_path / "rsa", kind="rsa")
    own_target.start(f"HostKey {rsa}", "HostKeyAlgorithms rsa-sha2-512")
    site.add("there", own_target)
    async with site.open() as call:
        refused = await call("getSystemInfo", host="there")
        assert refused["details"]["reason"] == "host_key_changed"
        assert refused["details"]["algorithm"] == "ssh-rsa"


@pytest.mark.real
async def test_a_key_that_the_configuration_names_is_trusted_and_nothing_else(
    site: Site, target: Sshd
) -> None:
    site.add("right", target, trusted=False, host_key=target.fingerprint)
    site.add("wrong", target, trusted=True, host_key="SHA256:" + "A" * 43)
    spoke = site.build()
    owner, call = owner_of(spoke), calls_of(spoke)
    async with spoke.lifespan():
        assert (await call("getSystemInfo", host="right"))["hostname"]
        changed = await call("getSystemInfo", host="wrong")
        assert changed["details"]["reason"] == "host_key_changed"
        fingerprint = target.fingerprint
        told = await owner("hosts.trust", host="right", fingerprint=fingerprint)
        assert told["error"] == "conflict"


@pytest.mark.real
async def test_old_algorithms_are_refused(site: Site, own_target: Sshd) -> None:
    own_target.start("Ciphers aes128-cbc", "KexAlgorithms diffie-hellman-group14-sha1")
    site.add("there", own_target)
    async with site.open() as call:
        refused = await call("getSystemInfo", host="there")
        # Either side may be the first to see that they have nothing in common.
        assert refused["details"]["reason"] in ("no_common_algorithm", "host_away")
    assert "Accepted publickey" not in own_target.log


async def test_nothing_of_the_users_own_set_up_is_read(
    site: Site,
    own_target: Sshd,
    client_key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_target.start()
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    # A key that would do, a known host that would do, a configuration that leads astray.
    (home / ".ssh" / "id_ed25519").write_bytes(client_key.read_bytes())
    (home / ".ssh" / "id_ed25519").chmod(0o600)
    public = own_target.host_key.with_suffix(".pub").read_text()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{own_target.port} {public}")
    (home / ".ssh" / "config").write_text("Host *\n  Port 1\n  StrictHostKeyChecking no\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    stranger = make_key(tmp_path / "stranger")
    site.add("unknown", own_target, trusted=False)
    site.add("refused", own_target, key=str(stranger))
    async with site.open() as call:
        unknown = await call("getSystemInfo", host="unknown")
        assert unknown["details"]["reason"] == "host_key_unknown"
        refused = await call("getSystemInfo", host="refused")
        assert (refused["error"], refused["details"]["reason"]) == (
            "upstream_error",
            "key_refused",
        )
    assert "Accepted publickey" not in own_target.log


async def test_a_damaged_list_of_pins_stops_the_start(site: Site, target: Sshd) -> None:
    site.add("there", target)
    site.pins_file.write_text("{}x")
    with pytest.raises(Misconfigured, match="trusted host keys"):
        site.build()


@pytest.mark.real
async def test_a_scan_goes_through_the_jump_host_and_shows_it_no_key_of_the_target(
    site: Site, target: Sshd, sshd_at: str, client_key: Path, tmp_path: Path
) -> None:
    with running(Sshd(sshd_at, tmp_path / "bastion", client_key)) as bastion:
        site.add("edge", bastion)
        site.add("inner", target, trusted=False, jump="edge")
        spoke = site.build()
        async with spoke.lifespan():
            seen = await owner_of(spoke)("hosts.scan", host="inner")
        assert seen["fingerprint"] == target.fingerprint
        assert f"target 127.0.0.1 port {target.port}" in bastion.log


async def test_a_key_file_that_others_may_read_is_not_used(
    site: Site, target: Sshd, client_key: Path, tmp_path: Path
) -> None:
    loose = tmp_path / "loose"
    loose.write_bytes(client_key.read_bytes())
    loose.chmod(0o644)
    site.add("there", target, key=str(loose))
    site.add("broken", target, key="/etc/hostname" if os.getuid() else str(client_key) + ".pub")
    async with site.open() as call:
        refused = await call("getSystemInfo", host="there")
        assert refused["error"] == "not_configured" and "0644" in refused["message"]
        assert (await call("getSystemInfo", host="broken"))["error"] == "not_configured"
        # And no tool here shows it.
        loose.chmod(0o600)
        shown = await call("readFile", path=str(loose))
        assert shown["error"] == "not_allowed"
