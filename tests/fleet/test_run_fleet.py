"""`python3 run_fleet.py`: what a person sees, and that nothing is left behind, however it ends."""

import ast
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
import yaml

from flotilla.launch import check

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "config" / "services.yaml"
NUMBERS = {
    name: entry["number"]
    for name, entry in yaml.safe_load(SERVICES.read_text(encoding="utf-8"))["services"].items()
}
WITHOUT_ACCOUNTS = ("azure", "google_cloud", "vmware", "k8s")
"""They start all the same, and say what to set."""
Launch = Callable[..., AbstractAsyncContextManager[Any]]


def of_fleet(data_dir: Path) -> list[psutil.Process]:
    """Every process that was given this data folder, whoever its parent is by now."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLOTILLA_DATA_DIR") == str(data_dir):
                found.append(process)
        except psutil.Error:
            continue  # it ended while we looked, or is not ours
    return found


async def until(holds: Callable[[], object], within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while not holds():
            await anyio.sleep(0.02)


@pytest.fixture
def run(
    tmp_path: Path, port_base: int
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run it to its end, from another folder than its own; nothing may be left of it."""
    data = tmp_path / "data"

    def finished(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = {"MCP_PORT_BASE": str(port_base), "FLOTILLA_DATA_DIR": str(data), **env}
        return subprocess.run(
            [sys.executable, str(ROOT / "run_fleet.py"), *arguments],
            env={**os.environ, **given},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield finished
    assert of_fleet(data) == []


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, and one sentence that holds these words."""
    assert done.returncode == 2, done.stdout + done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("flotilla: ")]
    for word in words:
        assert word in sentence
    assert "Traceback" not in done.stdout + done.stderr


async def test_it_says_what_is_ready_and_how_to_connect_and_ends_on_sigterm(
    launch_fleet: Launch,
) -> None:
    async with launch_fleet(FLOTILLA_APPROVALS="off") as fleet:
        await until(lambda: any("Inspector" in line for line in fleet.told))
        text = "\n".join(fleet.told)
        for name, number in NUMBERS.items():
            (line,) = [each for each in fleet.told if f" {name} " in each and "http" in each]
            stands = "not configured" if name in WITHOUT_ACCOUNTS else "ready"
            assert line.strip().startswith(stands)
            assert f":{fleet.base_port + number}" in line
        assert "EVERY DESTRUCTIVE CALL RUNS" in text
        for client in ("Claude Code", "Claude Desktop", "Cursor", "VS Code", "Inspector"):
            assert client in text
        assert f"$(cat {fleet.data_dir / 'admin_token'})" in text
        assert (fleet.data_dir / "admin_token").read_text().strip() not in text
        assert {each.name for each in (fleet.data_dir / "logs").iterdir()} == {
            "master.log",
            "secrets.log",
            "spokes.log",
        }
        # The hub, the spokes together, and the one that is alone in any case.
        assert len(psutil.Process(fleet.process.pid).children()) == 3
        fleet.process.send_signal(signal.SIGTERM)
        with anyio.fail_after(30):
            assert await fleet.process.wait() == 0
        assert of_fleet(fleet.data_dir) == []


async def test_a_launcher_that_is_killed_takes_its_processes_along(launch_fleet: Launch) -> None:
    async with launch_fleet("--services", "01") as fleet:
        assert len(of_fleet(fleet.data_dir)) == 3
        fleet.process.kill()
        await until(lambda: of_fleet(fleet.data_dir) == [])


@pytest.mark.real
async def test_a_second_ctrl_c_kills_what_does_not_end(launch_fleet: Launch) -> None:
    async with launch_fleet("--services", "01", "--isolate") as fleet:
        # A stopped process hears no request to end.
        fleet.process_of("01_linux_cli_mcp/mcp_server.py").suspend()
        fleet.process.send_signal(signal.SIGINT)
        await until(lambda: any("once more kills" in line for line in fleet.told))
        fleet.process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            assert await fleet.process.wait() == 130
        assert of_fleet(fleet.data_dir) == []


@pytest.mark.real
async def test_a_process_that_is_killed_is_started_again(launch_fleet: Launch) -> None:
    async with launch_fleet("--services", "linux_cli", "--isolate") as fleet:
        before = fleet.process_of("01_linux_cli_mcp/mcp_server.py")
        before.kill()
        await until(lambda: any("killed by SIGKILL" in line for line in fleet.told))
        await until(lambda: any(each.pid != before.pid for each in spokes_of(fleet.processes())))
        (line,) = [each for each in fleet.told if "killed by SIGKILL" in each]
        assert "linux_cli" in line
        assert str(fleet.data_dir / "logs" / "linux_cli.log") in line


def spokes_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        try:
            if "01_linux_cli_mcp/mcp_server.py" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # it ended while we looked
    return found


async def test_a_port_in_use_is_named_with_the_way_out(
    run: Callable[..., subprocess.CompletedProcess[str]], port_base: int
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port_base + 1))
        taken.listen()
        assert_refused(run(), f":{port_base + 1}", "linux_cli", "MCP_PORT_LINUX_CLI")


async def test_a_second_fleet_on_the_same_data_folder_is_refused(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "fleet.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert_refused(run(), "another fleet", str(tmp_path / "data"))


async def test_a_broken_key_of_services_yaml_is_named(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    text = SERVICES.read_text(encoding="utf-8").replace("port: 8012", "prot: 8012")
    (tmp_path / "services.yaml").write_text(text, encoding="utf-8")
    done = run(FLOTILLA_CONFIG_DIR=str(tmp_path))
    assert_refused(done, "services.yaml", "services.cmdb.prot")


@pytest.mark.real
async def test_a_secret_file_that_is_missing_is_named(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    missing = str(tmp_path / "nothing-here")
    assert_refused(run(CMDB_DATABASE_URL_FILE=missing), "CMDB_DATABASE_URL_FILE", missing)


async def test_a_wrong_value_in_the_environment_is_named(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert_refused(run(FLOTILLA_SHUTDOWN_GRACE_S="soon"), "FLOTILLA_SHUTDOWN_GRACE_S")


async def test_a_service_that_is_not_there_is_named_with_those_that_are(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert_refused(run("--services", "99"), "'99'", "linux_cli")


async def test_check_says_what_it_looked_at_and_starts_nothing(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr
    assert f"settings of {', '.join(NUMBERS)}" in done.stdout
    assert "are free" in done.stdout


async def test_check_tells_all_mistakes_at_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    port_base: int,
) -> None:
    monkeypatch.chdir(tmp_path)  # a check goes to the fleet's folder, and this takes it back
    wrong = {"LINUX_CLI_MAX_JOBS": "many", "CMDB_DATABASE_URL_FILE": str(tmp_path / "nothing")}
    at = {"MCP_PORT_BASE": str(port_base), "FLOTILLA_DATA_DIR": str(tmp_path / "data")}
    for key, value in {**at, **wrong}.items():
        monkeypatch.setenv(key, value)
    assert check(None) == 2
    told = capsys.readouterr()
    assert "LINUX_CLI_MAX_JOBS" in told.err
    assert "CMDB_DATABASE_URL_FILE" in told.err
    assert "are free" in told.out


async def test_help_needs_no_installation(tmp_path: Path) -> None:
    script = tmp_path / "run_fleet.py"
    script.write_text((ROOT / "run_fleet.py").read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(script), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "--isolate" in done.stdout


@pytest.mark.real
async def test_an_installation_that_fails_is_told_in_a_sentence(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=ignored)
    shutil.copy(ROOT / "run_fleet.py", tmp_path)
    (tmp_path / "requirements.txt").write_text("nothing-here==1 --hash=sha256:" + "0" * 64)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run_fleet.py")],
        env={**os.environ, "PIP_NO_INDEX": "1", "UV_NO_INDEX": "1", "UV_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "flotilla: cannot install what requirements.txt pins: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv" / "flotilla-stamp.json").exists()


@pytest.mark.parametrize("script", ["run_fleet.py", "run_tests.py"])
async def test_an_old_python_is_told_in_a_sentence(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    assert ast.parse(text, feature_version=(3, 7)), "an old Python must understand this file"
    pretend = (
        "import runpy, sys; sys.version_info = (3, 9, 2); sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", pretend, str(ROOT / script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(": Python 3.11 or newer is needed; this is 3.9\n")
