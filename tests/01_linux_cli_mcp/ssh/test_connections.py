"""The pooled connections: one to each host, shared, found broken, made anew."""

import re
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from flotilla import Spoke
from tests.backends.sshd_server import Sshd, make_key, running
from tests.conftest import until

from .conftest import Call, Site, calls_of, lives

pytestmark = pytest.mark.anyio


def accepted(server: Sshd) -> int:
    """How many connections it has let in."""
    return len(re.findall(r"Accepted publickey", server.log))


async def all_of(call: Call, times: int, **arguments: Any) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []

    async def one() -> None:
        answers.append(await call(**arguments))

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(one)
    return answers


@pytest.mark.real
async def test_fifty_calls_at_once_share_one_connection(site: Site, own_target: Sshd) -> None:
    own_target.start()
    site.add("there", own_target)
    site.settings |= {"max_processes": 50}
    async with site.open() as call:
        started = monotonic()

        async def run(**arguments: Any) -> dict[str, Any]:
            return await call("runCommand", **arguments)

        answers = await all_of(run, 50, command="echo $((6*7))", host="there")
        assert [one.get("stdout") for one in answers] == ["42\n"] * 50
        assert monotonic() - started < 15
    assert accepted(own_target) == 1


@pytest.mark.real
async def test_a_host_that_opens_fewer_sessions_lets_calls_wait_and_says_so(
    site: Site, own_target: Sshd
) -> None:
    own_target.start("MaxSessions 1")
    site.add("there", own_target)
    async with site.open() as call:

        async def run(**arguments: Any) -> dict[str, Any]:
            return await call("runCommand", **arguments)

        answers = await all_of(run, 3, command="sleep 0.3; echo yes", host="there")
        assert [one["stdout"] for one in answers] == ["yes\n"] * 3
        with anyio.fail_after(15):
            late = await all_of(run, 2, command="sleep 4", host="there")
        assert sorted(one.get("error", "ok") for one in late) == ["ok", "rate_limited"]


async def test_a_connection_that_broke_is_made_anew(site: Site, own_target: Sshd) -> None:
    own_target.start()
    site.add("there", own_target)
    async with site.open() as call:
        assert (await call("readFile", path="/etc/hostname", host="there"))["content"]
        own_target.drop()
        with anyio.fail_after(10):
            while "error" in await call("readFile", path="/etc/hostname", host="there"):
                await anyio.sleep(0.05)
    assert accepted(own_target) == 2


async def test_a_host_that_is_away_is_told_fast_and_disturbs_no_other(
    site: Site, own_target: Sshd, target: Sshd
) -> None:
    site.add("away", own_target)
    site.add("there", target)
    async with site.open() as call:
        assert (await call("getSystemInfo", host="there"))["hostname"]
        started = monotonic()
        gone = await call("getSystemInfo", host="away")
        assert gone["error"] == "unavailable" and gone["details"]["reason"] == "host_away"
        for _ in range(20):
            assert (await call("getSystemInfo", host="away"))["error"] == "unavailable"
        assert monotonic() - started < 2
        assert (await call("getSystemInfo", host="there"))["hostname"]
        own_target.start()
        with anyio.fail_after(20):
            while "error" in await call("getSystemInfo", host="away"):
                await anyio.sleep(0.05)


@pytest.mark.real
async def test_a_host_whose_name_is_unknown_and_one_that_never_answers(site: Site) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as deaf:
        key = str(site.key)
        port = deaf.extra(anyio.abc.SocketAttribute.local_port)
        site.hosts["nameless"] = {"address": "no-such-host.invalid", "user": "me", "key": key}
        site.hosts["deaf"] = {"address": "127.0.0.1", "port": port, "user": "me", "key": key}
        site.settings["ssh_connect_s"] = 0.5
        async with site.open() as call:
            nameless = await call("getSystemInfo", host="nameless")
            assert nameless["error"] == "unavailable" and "name" in nameless["message"]
            started = monotonic()
            assert (await call("getSystemInfo", host="deaf"))["error"] == "unavailable"
            assert monotonic() - started < 3


async def test_the_server_killed_in_the_middle_of_a_command(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    own_target.start()
    site.add("there", own_target)
    pid_file = tmp_path / "pid"
    answers: list[dict[str, Any]] = []
    command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 300"
    async with site.open() as call, anyio.create_task_group() as group:

        async def run() -> None:
            answers.append(await call("runCommand", command=command, host="there"))

        group.start_soon(run)
        await until(pid_file.exists)
        own_target.stop()
        await until(lambda: answers)
        assert answers[0]["error"] == "unavailable"
        assert answers[0]["details"]["reason"] == "connection_lost"
        # The host itself ends what nobody waits for any more.
        await until(lambda: not lives(pid_file.read_text().strip()))


async def test_a_network_that_hangs_holds_no_call_beyond_its_time(
    site: Site, own_target: Sshd
) -> None:
    own_target.start()
    site.add("there", own_target)
    async with site.open() as call:
        assert (await call("readFile", path="/etc/hostname", host="there"))["content"]
        with own_target.paused():
            started = monotonic()
            late = await call("readFile", 0.7, path="/etc/hostname", host="there")
            assert late["error"] == "timeout" and monotonic() - started < 5
        assert (await call("readFile", path="/etc/hostname", host="there"))["content"]


@pytest.mark.real
async def test_a_program_on_a_host_that_hangs_ends_there_once_it_answers(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    own_target.start()
    site.add("there", own_target)
    pid_file = tmp_path / "pid"
    command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 300"
    answers: list[dict[str, Any]] = []
    async with site.open() as call, anyio.create_task_group() as group:

        async def run() -> None:
            answers.append(await call("runCommand", 2, command=command, host="there"))

        group.start_soon(run)
        await until(pid_file.exists)
        with own_target.paused():
            started = monotonic()
            await until(lambda: answers, within_s=15)
            assert answers[0]["error"] in ("timeout", "unavailable")
            assert monotonic() - started < 12
        await until(lambda: not lives(pid_file.read_text().strip()))
        assert (await call("runCommand", command="echo on", host="there"))["stdout"] == "on\n"


@pytest.mark.real
async def test_a_dead_peer_is_noticed_by_keep_alives(site: Site, own_target: Sshd) -> None:
    own_target.start()
    site.add("there", own_target, keepalive_s=1)
    async with site.open() as call:
        listed = await call("os.ssh.listHosts")
        assert not listed["items"][1]["connected"]
        assert (await call("getSystemInfo", host="there"))["hostname"]
        with own_target.paused():

            async def given_up() -> bool:
                return not (await call("os.ssh.listHosts"))["items"][1]["connected"]

            await until(given_up, within_s=15)


async def test_a_jump_host_carries_the_connection(
    site: Site, target: Sshd, sshd_at: str, client_key: Path, tmp_path: Path
) -> None:
    with running(Sshd(sshd_at, tmp_path / "bastion", client_key)) as bastion:
        site.add("edge", bastion)
        site.add("inner", target, jump="edge")
        async with site.open() as call:
            assert (await call("getSystemInfo", host="inner"))["hostname"]
            assert (await call("readFile", path="/etc/hostname", host="inner"))["content"]
            assert f"target 127.0.0.1 port {target.port}" in bastion.log
            assert accepted(bastion) == 1
            # No session on the way, and so no agent, no X11 and no program of ours.
            assert "session_new" not in bastion.log and "auth-agent-req" not in bastion.log
            bastion.drop()
            with anyio.fail_after(10):
                while "error" in await call("getSystemInfo", host="inner"):
                    await anyio.sleep(0.05)


@pytest.mark.real
async def test_a_jump_host_that_may_not_reach_the_target_is_told(
    site: Site, target: Sshd, sshd_at: str, client_key: Path, tmp_path: Path
) -> None:
    with running(Sshd(sshd_at, tmp_path / "bastion", client_key), "PermitOpen none") as bastion:
        site.add("edge", bastion)
        site.add("inner", target, jump="edge")
        async with site.open() as call:
            refused = await call("getSystemInfo", host="inner")
            assert refused["error"] == "unavailable" and "jump" in refused["message"]
            assert (await call("getSystemInfo", host="edge"))["hostname"]


def give(spoke: Spoke, **values: str) -> None:
    assert spoke.credentials is not None
    spoke.credentials.give({name.replace("_", "/"): value for name, value in values.items()})


async def test_a_key_comes_from_a_stored_secret_and_a_rotated_one_is_taken_at_once(
    site: Site, own_target: Sshd, client_key: Path, tmp_path: Path
) -> None:
    phrase = "a phrase that is long"
    locked = make_key(tmp_path / "locked", kind="ecdsa", form="PKCS8", passphrase=phrase)
    authorized = own_target.folder / "authorized_keys"
    own_target.start()
    site.add("there", own_target, key="secret:ssh/key", passphrase="secret:ssh/phrase")
    spoke = site.build()
    call = calls_of(spoke)
    assert spoke.credentials is not None
    assert set(spoke.credentials.needs) == {"ssh/key", "ssh/phrase"}
    async with spoke.lifespan():
        missing = await call("getSystemInfo", host="there")
        assert missing["error"] == "not_configured" and "ssh/phrase" in missing["message"]
        give(spoke, ssh_key=locked.read_text(), ssh_phrase="wrong")
        wrong = await call("getSystemInfo", host="there")
        assert wrong["error"] == "not_configured"
        assert "PRIVATE KEY" not in str(wrong) and "wrong" not in wrong["message"]
        give(spoke, ssh_phrase=phrase)
        assert (await call("getSystemInfo", host="there"))["details"]["reason"] == "key_refused"
        authorized.write_text(locked.with_suffix(".pub").read_text())
        # Another value, and so another try: the same key, in a file of its own making.
        give(spoke, ssh_key=locked.read_text() + "\n")
        assert (await call("getSystemInfo", host="there"))["hostname"]
        assert accepted(own_target) == 1
        authorized.write_text(client_key.with_suffix(".pub").read_text())
        assert (await call("getSystemInfo", host="there"))["hostname"]
        assert accepted(own_target) == 1
        give(spoke, ssh_key=client_key.read_text())
        assert (await call("getSystemInfo", host="there"))["hostname"]
        assert accepted(own_target) == 2
        assert "phrase" not in repr(spoke)


@pytest.mark.real
async def test_a_user_without_a_shell_is_told(site: Site, own_target: Sshd) -> None:
    own_target.start("ForceCommand echo This account is not available; exit 1")
    site.add("there", own_target)
    async with site.open() as call:
        refused = await call("runCommand", command="id", host="there")
        assert refused["error"] == "upstream_error"
        assert "This account is not available" in refused["message"]


@pytest.mark.real
async def test_a_host_without_file_sessions_still_runs_programs(
    site: Site, own_target: Sshd
) -> None:
    own_target.start("Subsystem sftp /nonexistent")
    site.add("there", own_target)
    async with site.open() as call:
        assert (await call("getSystemInfo", host="there"))["hostname"]
        refused = await call("readFile", path="/etc/hostname", host="there")
        assert refused["error"] == "not_configured" and "SFTP" in refused["message"]


@pytest.mark.real
async def test_noise_of_a_login_shell_is_no_output(
    site: Site, own_target: Sshd, tmp_path: Path
) -> None:
    shell = tmp_path / "noisy"
    shell.write_text('#!/bin/sh\nhead -c 200000 /dev/zero; echo noise >&2; exec /bin/sh -c "$*"\n')
    shell.chmod(0o755)
    own_target.start(f'ForceCommand exec {shell} "$SSH_ORIGINAL_COMMAND"')
    site.add("there", own_target)
    async with site.open() as call:
        said = await call("runCommand", command="echo out; echo err >&2", host="there")
        assert (said["stdout"], said["stderr"]) == ("out\n", "err\n")
