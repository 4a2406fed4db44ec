"""Run the protocol's conformance suite against the fixture server, directly and through the hub.

`python tools/conformance.py` prints a table of both and the scenarios in which they differ; the
exit code is 1 when the hub scores less than what stands behind it. The suite is npm's, installed
into `build/` on first use; the fixture is `tests/everything`.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.environment import DEV_LOCK, enter  # noqa: E402  the path comes first

if __name__ == "__main__":
    enter(DEV_LOCK)

import aiohttp  # noqa: E402  what it needs is installed by now

from tools.header_proxy import HeaderProxy  # noqa: E402

SUITE = "0.2.0-alpha.12"
NODE = "24.21.0"
"""The suite needs Node 22 or newer; npm's own `node` package brings one."""
HOME = ROOT / "build" / f"conformance-{SUITE}"
REQUIREMENTS = ("2025-11-25", "2026-07-28")
SERVER = "everything"
SCENARIO_MS = 4000
SUITE_S = 500.0
START_S = 40.0
STOP_S = 20.0

UPSTREAMS = {
    "handshake": ("streamable-http", "handshake"),
    "modern": ("streamable-http", "modern"),
    "sse": ("sse", "handshake"),
    "stdio": ("stdio", "both"),
    "stdio-handshake": ("stdio", "handshake"),
}
"""How the fixture stands behind the hub: its transport and its era."""
_POLLING = frozenset({"server-sse-polling"})
"""Only a server of Streamable HTTP closes the stream of a request that it has not answered."""
_QUESTIONS = frozenset(
    f"input-required-result-{each}"
    for each in (
        "basic-elicitation",
        "multiple-input-requests",
        "capability-check",
        "ignore-extra-params",
    )
)
"""A server of the handshake asks one thing after another, under names that are not its own, and has
asked before it knows what this very client can be asked."""
CANNOT = {
    "handshake": _QUESTIONS,
    "modern": _POLLING,
    "sse": _POLLING | _QUESTIONS,
    "stdio": _POLLING,
    "stdio-handshake": _POLLING | _QUESTIONS,
}
"""The scenarios for which what stands behind the hub lacks something, whoever asks it."""


class CannotRun(Exception):
    """Something that the run needs is not there; the message says what."""


@dataclass(frozen=True)
class Score:
    """How many checks of one scenario passed and failed, and what was wrong."""

    passed: int
    failed: int
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """One run of one requirement set; scenarios of optional extensions are left out.

    `scored` names the scenarios that the set requires; the others run too, for they were added
    later or are pending.
    """

    scenarios: dict[str, Score]
    scored: frozenset[str]

    def total(self, *, scored_only: bool = False) -> Score:
        """All scenarios together, or those alone that the requirement set scores."""
        counted = [
            score
            for name, score in self.scenarios.items()
            if name in self.scored or not scored_only
        ]
        return Score(sum(each.passed for each in counted), sum(each.failed for each in counted))

    def below(self, other: "Report") -> dict[str, tuple[Score, Score | None]]:
        """The scenarios in which this does worse than the other: theirs and ours."""
        found: dict[str, tuple[Score, Score | None]] = {}
        for name, theirs in other.scenarios.items():
            ours = self.scenarios.get(name)
            if ours is None or ours.passed < theirs.passed or ours.failed > theirs.failed:
                found[name] = (theirs, ours)
        return found


def read_report(printed: str, results: Path) -> Report:
    """What the suite printed at its end, with the complaints from the files that it wrote."""
    _, found, summary = printed.partition("=== SUMMARY ===")
    if not found:
        raise CannotRun(f"the suite ended without a summary: {printed.strip()[-500:]}")
    reasons = dict(re.findall(r"^\s+\S+ ([\w-]+) \(([\w-]+)\)$", summary, re.MULTILINE))
    scenarios = {
        name: Score(int(passed), int(failed), _complaints(results, name))
        for name, passed, failed in re.findall(
            r"^\S+ ([\w-]+): (\d+) passed, (\d+) failed", summary, re.MULTILINE
        )
        if reasons.get(name) != "extension"
    }
    return Report(scenarios, frozenset(scenarios) - reasons.keys())


def _complaints(results: Path, scenario: str) -> tuple[str, ...]:
    checks: list[dict[str, Any]] = []
    # A folder is called server-<scenario>-<time>: one name may be the beginning of another.
    for file in results.glob(f"server-{scenario}-[0-9][0-9][0-9][0-9]-*/checks.json"):
        checks += json.loads(file.read_text(encoding="utf-8"))
    return tuple(
        f"{check['id']}: {check.get('errorMessage') or check.get('description', '')}"
        for check in checks
        if check["status"] in ("FAILURE", "WARNING")
    )


async def install() -> None:
    """The suite and a Node to run it with, by npm, into `build/` unless they are there."""
    if _suite().exists() and _node().exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise CannotRun("npm is not installed, so there is no conformance suite")
    HOME.mkdir(parents=True, exist_ok=True)
    packages = [f"@modelcontextprotocol/conformance@{SUITE}", f"node@{NODE}"]
    options = ["--no-audit", "--no-fund", "--no-save", "--prefix", str(HOME)]
    code, printed = await _output([npm, "install", *options, *packages], 400)
    if code or not _suite().exists():
        raise CannotRun(f"npm cannot install the conformance suite: {printed.strip()[-300:]}")


def _suite() -> Path:
    return HOME / "node_modules/@modelcontextprotocol/conformance/dist/index.js"


def _node() -> Path:
    return HOME / "node_modules/.bin/node"


async def run_suite(url: str, requirements: str) -> Report:
    """Score the server at the URL against one requirement set."""
    with tempfile.TemporaryDirectory() as results:
        command = [str(_node()), str(_suite()), "server", "--url", url]
        command += ["--requirements", requirements, "--timeout", str(SCENARIO_MS)]
        _, printed = await _output([*command, "--output-dir", results], SUITE_S)
        return read_report(printed, Path(results))


async def _output(command: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Exit code and what was printed; a program that takes longer is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CannotRun(f"{Path(command[0]).name} took longer than {timeout_s:.0f} s") from None
    return process.returncode or 0, printed.decode(errors="replace")


@asynccontextmanager
async def started(command: Sequence[str], log: Path, **env: str) -> AsyncGenerator[None]:
    """A program that runs until the block ends, its output in `log`."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **env},
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def fixture_command(transport: str, era: str, port: int) -> list[str]:
    """How to start the fixture, from anywhere, with `tests` on PYTHONPATH."""
    command = [sys.executable, "-m", SERVER, "--transport", transport, "--era", era]
    return command if transport == "stdio" else [*command, "--port", str(port)]


@asynccontextmanager
async def fixture(transport: str, era: str, folder: Path) -> AsyncGenerator[str]:
    """The fixture over HTTP on a free port of loopback; yields its URL."""
    port, log = free_port(), folder / "fixture.log"
    command = fixture_command(transport, era, port)
    async with started(command, log, PYTHONPATH=str(ROOT / "tests")):
        await _until_listening(port, log)
        yield f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}"


@asynccontextmanager
async def behind_hub(kind: str, folder: Path) -> AsyncGenerator[str]:
    """A hub with the fixture as an external server; yields a URL that needs no credential."""
    transport, era = UPSTREAMS[kind]
    async with AsyncExitStack() as stack:
        if transport == "stdio":
            command = fixture_command(transport, era, 0)
            environment = {"PYTHONPATH": str(ROOT / "tests")}
            entry: dict[str, Any] = {"command": command[0], "args": command[1:]}
            # The sandbox shows a server nothing of this machine but what its entry names.
            entry |= {"env": environment, "readable": [str(ROOT / "tests"), sys.prefix]}
        else:
            url = await stack.enter_async_context(fixture(transport, era, folder))
            entry = {"type": "sse" if transport == "sse" else "http", "url": url}
        port = free_port()
        await stack.enter_async_context(_hub(entry, port, folder))
        token = (folder / "data" / "admin_token").read_text(encoding="utf-8").strip()
        proxy = await stack.enter_async_context(
            HeaderProxy(port, "Authorization", f"Bearer {token}").serving()
        )
        url = f"http://127.0.0.1:{proxy}/servers/{SERVER}/mcp"
        await _until_answering(proxy, folder / "hub.log")
        yield url


@asynccontextmanager
async def _hub(entry: dict[str, Any], port: int, folder: Path) -> AsyncGenerator[None]:
    """The hub alone, with one external server and no spoke."""
    config, log = folder / "config", folder / "hub.log"
    config.mkdir()
    services = f"services:\n  master: {{number: 0, port: {port}, namespaces: [master]}}\n"
    (config / "services.yaml").write_text(services, encoding="utf-8")
    servers = json.dumps({"mcpServers": {SERVER: entry}})
    (config / "mcp.json").write_text(servers, encoding="utf-8")
    settings = {
        "FLOTILLA_CONFIG_DIR": str(config),
        "FLOTILLA_MCP_CONFIG": str(config / "mcp.json"),
        "FLOTILLA_DATA_DIR": str(folder / "data"),
        "MCP_PORT_BASE": "",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py")]
    async with started(command, log, **settings):
        await _until_listening(port, log)
        yield


def free_port() -> int:
    """A port of loopback on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def _until_listening(port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(START_S):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise CannotRun(f"nothing listens on {port}: {_tail(log)}") from None


async def _until_answering(proxy: int, log: Path) -> None:
    """Wait until the hub has found the server behind it."""
    url = f"http://127.0.0.1:{proxy}/mcp/servers/{SERVER}"
    last = "no answer"
    try:
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(url) as answer:
                        last = await answer.text()
                        if answer.status == 200 and json.loads(last)["state"] == "running":
                            return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise CannotRun(f"the hub does not serve the fixture: {last[:300]}: {_tail(log)}") from None


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-500:]


async def direct(requirements: Sequence[str]) -> dict[str, Report]:
    """The score of the fixture itself, of both eras, by requirement set."""
    with tempfile.TemporaryDirectory() as folder:
        async with fixture("streamable-http", "both", Path(folder)) as url:
            return {each: await run_suite(url, each) for each in requirements}


async def through_hub(kind: str, requirements: Sequence[str]) -> dict[str, Report]:
    """The score of the fixture behind a hub, by requirement set; `kind` is one of UPSTREAMS."""
    with tempfile.TemporaryDirectory() as folder:
        async with behind_hub(kind, Path(folder)) as url:
            return {each: await run_suite(url, each) for each in requirements}


def _row(what: str, report: Report) -> str:
    total, scored = report.total(), report.total(scored_only=True)
    return f"| {what} | {total.passed} | {total.failed} | {scored.passed} of {_all(scored)} |"


def _all(score: Score) -> int:
    return score.passed + score.failed


def _differences(what: str, hub: Report, reference: Report, cannot: frozenset[str]) -> list[str]:
    lines: list[str] = []
    for name, (theirs, ours) in hub.below(reference).items():
        if name in cannot:
            continue
        got = "no result" if ours is None else f"{ours.passed} passed, {ours.failed} failed"
        lines.append(f"{what}: {name}: {got}; directly {theirs.passed}, {theirs.failed}")
        lines += [f"    {complaint}" for complaint in (ours.complaints if ours else ())]
    return lines


async def main(only: str | None, requirements: Sequence[str], upstreams: Sequence[str]) -> int:
    """Run, print the table and the differences; 0 when the hub takes nothing away."""
    await install()
    reports: dict[tuple[str, str], Report] = {}
    # Without the direct run there is nothing to compare with: it takes three seconds.
    references = await direct(requirements)
    worse: list[str] = []
    for each, reference in references.items():
        reports[each, "directly"] = reference
        failing = {name: score for name, score in reference.scenarios.items() if score.failed}
        for name, score in failing.items():
            worse += [f"{each}, directly: {name}: {', '.join(score.complaints)}"]
    for kind in () if only == "direct" else upstreams:
        for each, report in (await through_hub(kind, requirements)).items():
            reports[each, f"through the hub, {kind}"] = report
            worse += _differences(f"{each}, {kind}", report, references[each], CANNOT[kind])
    print("| what | passed | failed | scored by the set |")
    print("|---|---|---|---|")
    for (each, what), report in sorted(reports.items()):
        if only != "hub" or what != "directly":
            print(_row(f"{each}, {what}", report))
    for line in worse:
        print(line)
    return 1 if worse else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance.py", description=__doc__)
    parser.add_argument("--only", choices=["direct", "hub"], help="what the table shows")
    parser.add_argument("--requirements", choices=REQUIREMENTS, action="append")
    parser.add_argument("--upstream", choices=list(UPSTREAMS), action="append")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    try:
        sys.exit(
            asyncio.run(
                main(
                    given.only,
                    given.requirements or REQUIREMENTS,
                    given.upstream or list(UPSTREAMS),
                )
            )
        )
    except CannotRun as error:
        print(f"conformance: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
