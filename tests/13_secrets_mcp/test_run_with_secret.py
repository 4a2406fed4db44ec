"""Programs that are given secrets: which ones, what they can reach, and what of them is heard."""

from __future__ import annotations

import base64
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest

from flotilla import InvalidArgument, Misconfigured
from secret_store import confine
from secret_store.disguises import disguises_of
from secret_store.program_list import check_programs, check_variable
from secret_store.run_tools import clean
from secret_store.settings import Settings
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Opened, Store

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"
RUN = "security.secrets.runWithSecret"
SLEEP_S = 70_000 + os.getpid()
"""A number by which nobody else on this machine sleeps."""

needs_landlock = pytest.mark.skipif(
    confine.landlock_abi() == 0, reason="the kernel cannot confine programs"
)


def script(folder: Path, body: str, name: str = "deploy") -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


@asynccontextmanager
async def running(
    opened: Opened, folder: Path, body: str, **more: Any
) -> AsyncIterator[tuple[Store, str]]:
    """A store whose one program does that, and the program's path."""
    programs = folder / "programs"
    programs.mkdir()
    program = script(programs, body)
    settings = Settings(programs=(program,), **more)
    async with opened(settings, folder) as store:
        await store.write(tools=[RUN])
        yield store, str(program)


@needs_landlock
async def test_a_program_has_the_secret_and_nobody_hears_it(opened: Opened, tmp_path: Path) -> None:
    body = 'test "$TOKEN" = "$1" && echo it fits; echo "the token is $TOKEN" >&2; exit 3'
    async with running(opened, tmp_path, body) as (store, program):
        done = await store("runWithSecret", argv=[program, CANARY], env={"TOKEN": "db/password"})
        entry = (await store.trail(act="ran"))[0]
    assert (done["exitCode"], done["stdout"]) == (3, "it fits\n")
    assert done["stderr"] == "the token is [redacted]\n"
    assert (entry["path"], entry["version"], entry["outcome"]) == ("db/password", 1, "done")


FORMS = (
    'printf "%s" "$T"',
    'printf "%s" "$T" | base64',
    'printf "xy%s" "$T" | base64 -w 5',
    'printf "%s" "$T" | od -An -tx1',
    'printf "%s" "$T" | od -An -tx1 | tr -d " \\n"',
    'printf "%s" "$T" | fold -w 3',
    'printf "%s" "$T" | rev',
    'printf "%s" "$T" | tr a-z A-Z',
    'printf "%s" "$T" | sed "s/./& /g"',
    'printf "%s" "$T" | base32',
    'printf "%s" "$T" | sed "s/-/%2d/g"',
    "env; set",
    "cat /proc/self/environ; tr '\\\\0' '\\\\n' < /proc/$$/environ",
)


@needs_landlock
async def test_no_form_of_the_secret_comes_back(opened: Opened, tmp_path: Path) -> None:
    body = "\n".join(f"echo; echo form {number}:; {form}" for number, form in enumerate(FORMS))
    async with running(opened, tmp_path, body) as (store, program):
        done = await store("runWithSecret", argv=[program], env={"T": "db/password"})
    said = done["stdout"] + done["stderr"]
    for number in range(len(FORMS)):
        assert f"form {number}:" in said
    close = "".join(said.split()).lower()
    encoded = (base64.b64encode(CANARY.encode()), base64.b32encode(CANARY.encode()))
    for known in (CANARY.encode().hex(), *(each.decode().rstrip("=") for each in encoded)):
        assert known.lower() not in close
    assert "canary" not in close and "yranac" not in close


@needs_landlock
async def test_a_program_reads_nothing_of_the_fleets_and_leaves_nothing(
    opened: Opened, tmp_path: Path
) -> None:
    body = f"""
        cat {tmp_path}/secrets/master_key {tmp_path}/secrets/secrets.sqlite3 2>&1
        ls {tmp_path} /root /home /etc/shadow 2>&1
        cat /proc/{os.getpid()}/environ /proc/{os.getpid()}/maps 2>&1
        echo owned > {tmp_path}/programs/deploy
        kill -9 {os.getpid()} 2>&1
        echo mine > here && cat here; pwd
    """
    async with running(opened, tmp_path, body) as (store, program):
        done = await store("runWithSecret", argv=[program], env={"T": "db/password"})
        key = (tmp_path / "secrets" / "master_key").read_text().strip()
    assert key not in done["stdout"]
    assert done["stdout"].count("ermission denied") >= 5
    *_, mine, folder = done["stdout"].split()
    assert mine == "mine"
    assert not Path(folder).exists()
    assert "owned" not in Path(program).read_text().splitlines()


@needs_landlock
async def test_a_program_that_overstays_or_leaves_children_is_ended_with_all_of_them(
    opened: Opened, tmp_path: Path
) -> None:
    body = f"setsid sleep {SLEEP_S} & sleep {SLEEP_S}"
    async with running(opened, tmp_path, body) as (store, program):
        with anyio.fail_after(20):
            done = await store(
                "runWithSecret", argv=[program], env={"T": "db/password"}, timeoutS=0.5
            )
            assert done["timedOut"] is True
            await until(lambda: not sleepers())
            result = await store.raw(
                "runWithSecret", argv=[program], env={"T": "db/password"}, deadline_s=1
            )
            await until(lambda: not sleepers())
    assert result["isError"] or result["structuredContent"]["timedOut"]


def sleepers() -> list[int]:
    found: list[int] = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", f"{SLEEP_S}"]:
            found.append(process.pid)
    return found


@needs_landlock
async def test_long_output_is_cut_after_it_was_cleaned(opened: Opened, tmp_path: Path) -> None:
    body = 'i=0; while [ $i -lt 9000 ]; do echo "line $i: $T"; i=$((i+1)); done'
    async with running(opened, tmp_path, body) as (store, program):
        done = await store("runWithSecret", argv=[program], env={"T": "db/password"})
    assert done["truncated"] is True
    assert len(done["stdout"]) <= 48 * 1024
    assert "canary" not in done["stdout"]


async def test_output_that_ends_in_the_middle_of_a_secret_shows_no_half_of_it() -> None:
    cut_off = f"x {CANARY} {CANARY[:-1]}"
    assert "canary" not in clean(cut_off, [CANARY], whole=False)
    assert clean("all of it", [CANARY], whole=True) == "all of it"


@pytest.mark.parametrize("secret", ["hunter2!", "short", "Tr0ub4dor&3 with blanks", "ключ-от-дома"])
async def test_every_disguise_is_taken_out_again(secret: str) -> None:
    for form in disguises_of(secret):
        said = clean(f"before {form} after", [secret], whole=True)
        assert form not in said
        assert said.startswith("before ") and said.endswith(" after")


@needs_landlock
async def test_a_program_beside_the_data_folder_reads_itself_alone(
    opened: Opened, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = script(folder, f"cat {tmp_path}/secrets/master_key {tmp_path}/note; echo $?")
    (tmp_path / "note").write_text("a neighbour")
    async with opened(Settings(programs=(program,)), tmp_path) as store:
        await store.write(tools=[RUN])
        done = await store("runWithSecret", argv=["deploy"], env={"T": "db/password"})
    assert done["stdout"] == "1\n"
    assert done["stderr"].count("ermission denied") == 2


@needs_landlock
async def test_a_child_that_outlives_its_program_keeps_nobody_waiting(
    opened: Opened, tmp_path: Path
) -> None:
    async with running(opened, tmp_path, f"setsid sleep {SLEEP_S} & echo done") as (store, program):
        with anyio.fail_after(20):
            done = await store("runWithSecret", argv=[program], env={"T": "db/password"})
    assert (done["stdout"], done["timedOut"]) == ("done\n", False)
    assert sleepers() == []


async def test_a_secret_that_does_not_allow_it_is_not_handed_out(
    opened: Opened, tmp_path: Path
) -> None:
    async with running(opened, tmp_path, "echo ran > /tmp/never") as (store, program):
        await store.write("other/one", tools=["os.linux.runCommand"])
        env = {"A": "db/password", "B": "other/one"}
        error = await store.refused("not_allowed", "runWithSecret", argv=[program], env=env)
        assert error["reason"] == "tool_not_allowed"
        outcomes = {each["path"]: each["outcome"] for each in await store.trail(act="ran")}
        assert outcomes == {"other/one": "refused"}
        env = {"A": "db/nothing"}
        await store.refused("not_allowed", "runWithSecret", argv=[program], env=env)


async def test_only_listed_programs_run(opened: Opened, tmp_path: Path) -> None:
    async with running(opened, tmp_path, "true") as (store, program):
        for name in ("/bin/sh", "sh", f"{program}/../deploy", f"./{program}", f"{program} ", ""):
            await store.refused(
                "not_allowed", "runWithSecret", argv=[name], env={"T": "db/password"}
            )
        Path(program).chmod(0o777)
        error = await store.refused(
            "not_allowed", "runWithSecret", argv=[program], env={"T": "db/password"}
        )
        assert "others may write" in error["message"]
        Path(program).unlink()
        Path(program).symlink_to("/bin/sh")
        error = await store.refused(
            "not_allowed", "runWithSecret", argv=["deploy"], env={"T": "db/password"}
        )
        assert "whatever it is told" in error["message"]
        Path(program).unlink()
        await store.refused(
            "not_configured", "runWithSecret", argv=["deploy"], env={"T": "db/password"}
        )


async def test_without_a_list_nothing_runs(small: Store) -> None:
    await small.write(tools=[RUN])
    error = await small.refused(
        "not_configured", "runWithSecret", argv=["curl"], env={"T": "db/password"}
    )
    assert "SECRETS_PROGRAMS" in error["hint"]


async def test_programs_that_show_their_environment_cannot_be_listed() -> None:
    for name in (
        "/bin/sh",
        "/usr/bin/env",
        "/usr/bin/python3.11",
        "/usr/bin/xargs",
        "/usr/bin/awk",
    ):
        with pytest.raises(Misconfigured, match="SECRETS_PROGRAMS"):
            Settings.from_env({"SECRETS_PROGRAMS": name})
    for name in ("curl", "bin/curl", "/usr/bin/../bin/curl"):
        with pytest.raises(Misconfigured, match="absolute"):
            check_programs([Path(name)])
    assert Settings.from_env({"SECRETS_PROGRAMS": "/usr/bin/psql,/usr/bin/curl"}).programs


async def test_variables_that_steer_programs_take_no_secret() -> None:
    for name in (
        "PATH",
        "LD_PRELOAD",
        "ld_library_path",
        "BASH_ENV",
        "PYTHONSTARTUP",
        "A=B",
        "",
        "1A",
    ):
        with pytest.raises(InvalidArgument):
            check_variable(name)
    for name in ("PGPASSWORD", "TOKEN", "_x1", "AWS_SECRET_ACCESS_KEY"):
        check_variable(name)
