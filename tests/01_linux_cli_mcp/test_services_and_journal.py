"""systemd and its journal, played by programs on a PATH of the test's own."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from flotilla import CommonSettings, Spoke
from linux_cli import build
from linux_cli.journal import page_of_entries
from linux_cli.services import services_of, status_of
from linux_cli.settings import Settings

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio

UNITS = """\
cron.service     loaded    active   running Regular background program processing daemon
● nginx.service  loaded    failed   failed  A high performance web server
gone.service     not-found inactive dead    gone.service
"""
UNIT_FILES = """\
cron.service  enabled enabled
spare.service disabled enabled
x@.service    static   -
"""
STATUS = """\
Id=nginx.service
Description=A server = fast
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=77
ExecMainStatus=0
Result=success
NRestarts=2
MemoryCurrent=18446744073709551615
ActiveEnterTimestamp=Sat 2026-01-31 13:00:05 UTC
FragmentPath=/lib/systemd/system/nginx.service
"""


@pytest.fixture
def play(
    tmp_path: Path, common: CommonSettings, make_call: Callable[[Spoke], Call]
) -> Callable[..., Call]:
    """A spoke whose PATH holds one program of the given name and script, and a log of its argv."""

    def make(name: str | None = None, script: str = "") -> Call:
        folder = tmp_path / "bin"
        folder.mkdir()
        if name is not None:
            program = folder / name
            program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\n{script}\n')
            program.chmod(0o755)
        return make_call(build(Settings(path=str(folder)), common))

    return make


async def test_services_are_listed_with_their_state(play: Callable[..., Call]) -> None:
    script = f"case $1 in list-units) echo '{UNITS}';; list-unit-files) echo '{UNIT_FILES}';; esac"
    call = play("systemctl", script)
    found = (await call("listServices"))["items"]
    assert [one["unit"] for one in found] == [
        *("cron.service", "gone.service", "nginx.service", "spare.service", "x@.service"),
    ]
    assert found[0]["enabled"] == "enabled" and found[0]["active"] == "active"
    failed = (await call("listServices", state="failed", nameContains="NGI"))["items"]
    assert [one["description"] for one in failed] == ["A high performance web server"]


async def test_the_status_of_a_service_is_typed(play: Callable[..., Call], tmp_path: Path) -> None:
    (tmp_path / "status").write_text(STATUS)
    call = play("systemctl", f'while read -r line; do echo "$line"; done < {tmp_path}/status')
    status = await call("getServiceStatus", unit="nginx")
    assert status["mainPid"] == 77 and status["restarts"] == 2
    assert status["description"] == "A server = fast"
    assert status["activeSince"] == "2026-01-31T13:00:05Z"
    assert "memoryBytes" not in status and "exitStatus" not in status
    assert (tmp_path / "argv").read_text().endswith("-- nginx\n")


async def test_a_service_is_told_what_to_do(play: Callable[..., Call], tmp_path: Path) -> None:
    call = play("systemctl", "test $1 = show && echo ActiveState=active && echo Id=a.service")
    # `test` fails for `restart`, which is to say that systemctl refused.
    refused = await call("controlService", unit="a.service", action="restart")
    assert refused["error"] == "upstream_error"
    assert (tmp_path / "argv").read_text() == "restart --no-pager --no-ask-password -- a.service\n"


async def test_a_service_that_was_restarted_tells_its_state(play: Callable[..., Call]) -> None:
    call = play("systemctl", "echo ActiveState=active; echo Id=a.service")
    done = await call("controlService", unit="a", action="restart")
    assert done == {"unit": "a.service", "action": "restart", "active": "active"}


@pytest.mark.parametrize("unit", ["-x", "--now", "a b", "a;b", "$(id)", "", "a/b", "é", "a\n"])
async def test_a_unit_cannot_be_an_option(
    play: Callable[..., Call], unit: str, tmp_path: Path
) -> None:
    call = play("systemctl")
    for action in ("getServiceStatus", "readJournal"):
        assert (await call(action, unit=unit))["error"] == "invalid_argument"
    assert not (tmp_path / "argv").exists()


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("System has not been booted with systemd as init system (PID 1).", "not_configured"),
        ("Failed to connect to bus: No such file or directory", "not_configured"),
        ("Unit x.service could not be found.", "not_found"),
        ("Failed to restart x.service: Access denied", "not_allowed"),
        ("Job for x.service failed", "upstream_error"),
    ],
)
async def test_what_systemd_refuses_is_said_plainly(
    play: Callable[..., Call], stderr: str, code: str
) -> None:
    call = play("systemctl", f"echo '{stderr}' >&2; exit 1")
    assert (await call("getServiceStatus", unit="x"))["error"] == code
    assert (await call("controlService", unit="x", action="stop"))["error"] == code


async def test_without_systemd_all_say_so(play: Callable[..., Call]) -> None:
    call = play()
    for done in (
        await call("listServices"),
        await call("getServiceStatus", unit="x"),
        await call("controlService", unit="x", action="start"),
        await call("readJournal"),
    ):
        assert done["error"] == "not_configured" and "container" in done["details"]["hint"]


def entry(number: int, **more: Any) -> str:
    return orjson.dumps(
        {
            "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number),
            "__CURSOR": f"s={number}",
            "MESSAGE": f"message {number}",
            "PRIORITY": "3",
            "_PID": "42",
            "_SYSTEMD_UNIT": "nginx.service",
            **more,
        }
    ).decode()


async def test_the_journal_is_read_from_the_newest_back(
    play: Callable[..., Call], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("\n".join(entry(number) for number in (9, 8, 7)) + "\n")
    call = play("journalctl", f'while read -r line; do echo "$line"; done < {tmp_path}/out')
    options = {"unit": "nginx", "since": "--rotate", "priority": "err", "grep": "-x"}
    page = await call("readJournal", lines=2, **options)
    assert [one["message"] for one in page["items"]] == ["message 9", "message 8"]
    first = page["items"][0]
    assert (first["priority"], first["pid"], first["unit"]) == ("err", 42, "nginx.service")
    await call("readJournal", lines=2, cursor=page["nextCursor"])
    first_argv, second_argv = (tmp_path / "argv").read_text().splitlines()
    assert "--lines=3" in first_argv and " --since=--rotate " in first_argv
    assert first_argv.endswith("--grep=-x") and "--after-cursor=s=8" in second_argv


async def test_a_span_that_the_journal_does_not_understand_is_a_mistake(
    play: Callable[..., Call],
) -> None:
    call = play("journalctl", "echo 'Failed to parse timestamp: soonish' >&2; exit 1")
    assert (await call("readJournal", since="soonish"))["error"] == "invalid_argument"


async def test_a_host_without_a_journal_says_so(play: Callable[..., Call]) -> None:
    call = play("journalctl", "echo 'No journal files were found.' >&2; exit 1")
    assert (await call("readJournal"))["error"] == "not_configured"


async def test_a_host_whose_journal_is_empty_says_so(play: Callable[..., Call]) -> None:
    call = play("journalctl")
    done = await call("readJournal")
    # Where this machine has a journal, an empty answer is one.
    has_one = any(Path("/var/log/journal").glob("*")) or any(Path("/run/log/journal").glob("*"))
    assert done.get("error") == (None if has_one else "not_configured")


def test_journal_entries_of_every_shape_are_read() -> None:
    lines = [
        entry(1, MESSAGE=[104, 105, 255]),
        entry(2, MESSAGE=None, PRIORITY="9"),
        entry(3, MESSAGE=["one", "two"]),
        entry(4, MESSAGE="x" * 9000),
        '"not an object"',
        entry(5)[:-5],
    ]
    page = page_of_entries("\n".join(lines), 10)
    messages = [one.message for one in page.items]
    assert messages[:3] == ["hi�", "", "one\ntwo"] and messages[3].endswith("…")
    assert page.items[1].priority is None
    assert page.truncated


def test_unreadable_lines_of_systemctl_are_passed_over() -> None:
    assert services_of("\n\nx\n", "y\n") == []
    assert status_of("").active == "unknown"
