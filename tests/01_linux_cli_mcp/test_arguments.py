"""Whatever arguments a schema allows, no tool breaks, and none does harm unapproved."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from flotilla import CommonSettings, Context, Spoke
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox, error_code_of
from linux_cli import build
from linux_cli.commands import Commands
from linux_cli.files import Files
from linux_cli.host import Ended, Hosts, Order, Take, Writing, Written
from linux_cli.jobs import Jobs
from linux_cli.local import LocalHost
from linux_cli.packages import Installer
from linux_cli.processes import Processes
from linux_cli.programs import Programs
from linux_cli.services import Services
from linux_cli.settings import Settings

FUZZ = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
EXAMPLES = (12, pytest.param(40, marks=pytest.mark.real))

READING = (
    *("getSystemInfo", "listProcesses", "listServices", "getServiceStatus", "readJournal"),
    *("listDirectory", "readFile", "getDiskUsage", "listOpenPorts", "runReadOnly"),
    *("readJob", "listJobs"),
)
CHANGING = (
    *("runCommand", "writeFile", "controlService", "killProcess", "installPackage"),
    *("startJob", "cancelJob"),
)


class HarmlessHost(LocalHost):
    """A host on which nothing is ever run, written or signalled."""

    def __init__(self, host: LocalHost) -> None:
        self.__dict__.update(host.__dict__)

    async def run(self, order: Order, take: Take) -> Ended:
        assert order.argv and order.timeout_s > 0
        take("stdout", b"x")
        return Ended(0, None, False, 0.0)

    async def find_program(self, name: str, folders: object = None) -> str | None:
        return f"/usr/bin/{name}"

    async def write_file(self, writing: Writing) -> Written:
        assert writing.path.startswith("/")
        return Written(writing.path, len(writing.data), "0" * 64, True)

    async def send_signal(self, pid: int, signal: int, start_ticks: int | None) -> bool:
        assert pid > 1
        return True


@pytest.fixture
def harmless(host: LocalHost, tmp_path: Path) -> Toolbox:
    hosts, programs = Hosts([HarmlessHost(host)]), Programs(max_at_once=4, wait_s=1)
    jobs = Jobs(
        hosts,
        tmp_path / "jobs",
        max_running=2,
        max_kept=5,
        output_bytes=65536,
        retention_s=60,
        max_s=60,
    )
    tools = (
        *Commands(hosts, programs).tools(),
        *Files(hosts).tools(),
        *Services(hosts, programs).tools(),
        *Processes(hosts).tools(),
        *Installer(hosts, programs).tools(),
        *jobs.tools(),
    )
    return Toolbox(tools, Redactor())


def arguments_for(toolbox: Toolbox, name: str) -> st.SearchStrategy[Any]:
    schema = toolbox.input_schema(name) or {}
    parts = {part: values_for(inner) for part, inner in schema["properties"].items()}
    if "host" in parts:
        # The host that there is, else every call would end with the same answer.
        parts["host"] = st.just("local")
    required = {part: parts.pop(part) for part in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=parts)


def values_for(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    # hypothesis-jsonschema 0.23 cannot make objects with the hypothesis of today.
    if schema.get("type") == "object":
        return st.dictionaries(st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True), st.text())
    return from_schema(schema)


def fuzz(toolbox: Toolbox, name: str, most: int, context: Callable[[], Context]) -> None:
    @settings(FUZZ, max_examples=most)
    @given(arguments_for(toolbox, name))
    def attack(arguments: dict[str, Any]) -> None:
        result = asyncio.run(toolbox.call(name, arguments, context()))
        assert error_code_of(result) != "internal", (arguments, result)

    attack()


@pytest.mark.parametrize("most", EXAMPLES)
@pytest.mark.parametrize("action", READING)
def test_a_reading_tool_takes_whatever_its_schema_allows(
    spoke: Spoke, action: str, most: int, make_context: Callable[..., Context]
) -> None:
    toolbox = Toolbox(spoke.tools, Redactor())
    fuzz(toolbox, f"os.linux.{action}", most, lambda: make_context(10, approved=False))


@pytest.mark.parametrize("most", EXAMPLES)
@pytest.mark.parametrize("action", CHANGING)
def test_a_changing_tool_takes_whatever_its_schema_allows(
    harmless: Toolbox, action: str, most: int, make_context: Callable[..., Context]
) -> None:
    fuzz(harmless, f"os.linux.{action}", most, lambda: make_context(10))


@pytest.mark.parametrize("action", CHANGING)
def test_a_changing_tool_does_nothing_unapproved(
    spoke: Spoke, action: str, make_context: Callable[..., Context]
) -> None:
    toolbox = Toolbox(spoke.tools, Redactor())
    result = asyncio.run(toolbox.call(f"os.linux.{action}", {}, make_context(approved=False)))
    assert error_code_of(result) == "approval_required"


@pytest.mark.parametrize("path", ["/proc/self/environ", "/etc/passwd", "/", "/proc", "/dev"])
@pytest.mark.parametrize("action", ["readFile", "listDirectory"])
def test_places_that_are_not_ordinary_break_nothing(
    spoke: Spoke, action: str, path: str, make_context: Callable[..., Context]
) -> None:
    toolbox = Toolbox(spoke.tools, Redactor())
    call = toolbox.call(f"os.linux.{action}", {"path": path}, make_context())
    assert error_code_of(asyncio.run(call)) in (None, "invalid_argument", "not_allowed")


def test_a_wrong_setting_names_its_key(common: CommonSettings) -> None:
    with pytest.raises(Exception, match="LINUX_CLI_MAX_JOBS"):
        Settings.from_env({"LINUX_CLI_MAX_JOBS": "none"})
    read = Settings.from_env(
        {"LINUX_CLI_EXTRA_READ_ONLY": "a,b", "LINUX_CLI_PROTECTED_PATHS": "/x,/y"}
    )
    assert read.extra_read_only == ("a", "b") and read.protected_paths == (Path("/x"), Path("/y"))
    assert build(read, common).name == "linux_cli"
