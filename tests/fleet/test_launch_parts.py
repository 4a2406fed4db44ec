"""The parts of the launcher, each alone."""

import hashlib
import json
import os
import sys
from pathlib import Path

import anyio
import pytest
import yaml

from flotilla.fleet import FleetConfig
from flotilla.host import must_be_alone
from flotilla.launch import reading
from flotilla.launch.checks import documented_keys, environment, unknown_keys
from flotilla.launch.clients import how_to_connect
from flotilla.launch.logfile import MAX_READ_BYTES, LogFile
from flotilla.launch.plan import processes, with_hub
from flotilla.settings import Misconfigured
from tools.environment import is_installed

ROOT = Path(__file__).resolve().parents[2]
FLEET = FleetConfig.load(ROOT / "config" / "services.yaml", env={})


def test_the_spokes_share_one_process_unless_isolated() -> None:
    chosen = ["master", "linux_cli", "cmdb"]
    together = processes(chosen, FLEET, Path("/house"), isolate=False)
    assert [each.services for each in together] == [("master",), ("linux_cli", "cmdb")]
    assert together[1].target[-2:] == ("/house/01_linux_cli_mcp", "/house/12_cmdb_mcp")
    alone = processes(chosen, FLEET, Path("/house"), isolate=True)
    assert [each.target for each in alone[1:]] == [
        ("/house/01_linux_cli_mcp/mcp_server.py",),
        ("/house/12_cmdb_mcp/mcp_server.py",),
    ]


def with_isolated(name: str) -> FleetConfig:
    entry = FLEET.service(name).model_copy(update={"isolated": True})
    return FleetConfig({**FLEET.services, name: entry}, {})


def test_an_isolated_spoke_has_a_process_of_its_own_whatever_is_asked() -> None:
    chosen = ["master", "linux_cli", "cmdb"]
    for isolate in (False, True):
        plan = processes(chosen, with_isolated("cmdb"), Path("/house"), isolate=isolate)
        assert {each.services for each in plan} == {("master",), ("linux_cli",), ("cmdb",)}
        (cmdb,) = [each for each in plan if each.name == "cmdb"]
        assert cmdb.target == ("/house/12_cmdb_mcp/mcp_server.py",)


def test_the_host_of_several_spokes_takes_no_isolated_one() -> None:
    folders = [ROOT / "01_linux_cli_mcp", ROOT / "12_cmdb_mcp"]
    fleet = with_isolated("cmdb")
    assert must_be_alone(folders, fleet) == ["cmdb"]
    assert must_be_alone(folders[1:], fleet) == []
    assert must_be_alone(folders[:1], fleet) == []
    assert must_be_alone(folders, FLEET) == []


@pytest.mark.anyio
async def test_the_host_says_which_spoke_must_be_alone_and_ends(tmp_path: Path) -> None:
    services = yaml.safe_load((ROOT / "config" / "services.yaml").read_text())
    services["services"]["cmdb"]["isolated"] = True
    (tmp_path / "services.yaml").write_text(yaml.safe_dump(services))
    folders = [str(ROOT / name) for name in ("01_linux_cli_mcp", "12_cmdb_mcp")]
    done = await anyio.run_process(
        [sys.executable, "-m", "flotilla.host", *folders],
        env={**os.environ, "FLOTILLA_CONFIG_DIR": str(tmp_path)},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert b"cmdb must be a process of its own" in done.stderr


def test_the_hub_always_comes_along_and_first() -> None:
    assert with_hub(["cmdb"]) == ["master", "cmdb"]
    assert with_hub(["cmdb", "master"]) == ["master", "cmdb"]
    assert len(processes(["master"], FLEET, Path("/house"), isolate=False)) == 1


def log_line(**fields: object) -> str:
    return json.dumps(fields)


def test_a_warning_is_shown_short_and_an_ordinary_line_is_not() -> None:
    line = log_line(level="warning", event="store_slow", service="cmdb", took_s=3, at="2026")
    assert reading.short("spokes", line) == "warning  cmdb: store_slow took_s=3"
    assert reading.short("spokes", log_line(level="info", event="tool_called")) is None
    assert reading.short("spokes", "no JSON") is None
    assert reading.short("spokes", "[1]") is None


def test_what_strangers_put_into_a_log_cannot_steer_the_terminal() -> None:
    line = log_line(level="error", event="refused\x1b[2J\r\n" + "x" * 500)
    told = reading.short("master", line)
    assert told is not None
    assert told.isprintable()
    assert len(told) <= 200


def test_an_exception_is_told_by_its_last_line() -> None:
    line = log_line(level="error", event="failed", exception="Traceback ...\nOSError: disk full")
    assert reading.short("cmdb", line) == "error  cmdb: failed (OSError: disk full)"


def test_the_sentence_of_a_refusal_and_the_last_words_are_found() -> None:
    lines = [log_line(event="x"), "Traceback", "ImportError: no such thing", log_line(event="y")]
    assert reading.refusal(lines) is None
    assert reading.last_words(lines) == "ImportError: no such thing"
    assert reading.refusal([*lines, "flotilla: CMDB_X: wrong"]) == "CMDB_X: wrong"
    assert reading.last_words([]) is None


def test_a_log_is_read_on_from_where_a_life_began(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "a.log")
    with log.open_to_write() as file:
        file.write(b"one\ntw")
        assert log.new_lines() == ["one"]
        file.write(b"o\n")
        assert log.new_lines() == ["two"]
    with log.open_to_write() as file:
        file.write(b"three\n")
        assert log.new_lines() == ["three"]
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_flood_is_read_in_its_last_part_alone(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open_to_write() as file:
        file.write(b"x" * 99 + b"\n" + b"y\n" * MAX_READ_BYTES)
        assert len(log.new_lines()) == MAX_READ_BYTES // 2


def test_a_full_log_moves_aside_while_the_process_goes_on_writing(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10)
    with log.open_to_write() as file:
        for number in range(6):
            file.write(b"%d: some line\n" % number)
            assert log.new_lines() == [f"{number}: some line"]
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert (tmp_path / "a.log.1").read_text() == "5: some line\n"
    assert (tmp_path / "a.log").read_text() == ""


def test_a_log_that_was_moved_away_is_not_an_error(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open_to_write():
        log.path.unlink()
        assert log.new_lines() == []


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nEMPTY\n", encoding="utf-8")
    assert environment(tmp_path, {"A": "given"}) == {"A": "given", "B": "file"}


def test_an_env_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(Misconfigured, match=r"\.env"):
        environment(tmp_path, {})


def test_a_misspelt_key_of_the_env_file_is_found(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("# Words = no key\n#GOOD=1\n", encoding="utf-8")
    (tmp_path / ".env").write_text("GOOD=1\nGOOD_FILE=x\nGODO=1\n", encoding="utf-8")
    assert unknown_keys(tmp_path) == ["GODO"]
    assert documented_keys("#A_FILE=\n") == {"A", "A_FILE"}


def test_no_client_is_told_a_token() -> None:
    text = how_to_connect("http://127.0.0.1:8000/mcp", "/data/admin_token")
    assert "$(cat /data/admin_token)" in text
    assert "flt_" not in text


def test_an_environment_that_is_not_there_is_not_installed(tmp_path: Path) -> None:
    assert not is_installed("requirements.txt", tmp_path / ".venv")


def test_an_environment_is_made_again_for_another_lock_or_python(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    stamp = {"requirements.txt": digest, "python": str(python.resolve())}
    (tmp_path / "flotilla-stamp.json").write_text(json.dumps(stamp), encoding="utf-8")
    assert is_installed("requirements.txt", tmp_path)
    assert not is_installed("requirements-dev.txt", tmp_path)
    python.unlink()
    python.symlink_to("/bin/true")
    assert not is_installed("requirements.txt", tmp_path)
