"""Snapshots of the same pages by this fleet and by playwright-mcp: how large, how long.

    python benchmarks/snapshots/side_by_side.py [--pages FOLDER] [--most N] [--rounds N]

Without a folder the pages are a generated set. Both drive the same Chromium on the same pages of a
server on loopback in the same run; a page is opened first, and only the snapshot is timed (the
median of some rounds). Sizes are of the snapshot's text alone, however many calls bring it whole.
Tokens are counted in two plain ways: characters by four, and words and signs. `diff` is the second
snapshot after one paragraph was added. playwright-mcp is installed by npm into `build/`.
"""

# ruff: noqa: E402 - the repository goes on the path before what is imported from it.

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "07_web_browsing_mcp"), str(ROOT / "benchmarks")]

import structlog
from mcp import Client, StdioServerParameters
from page_site import served
from snapshots.pages import from_folder, generated
from wire.peers.install import node_peer, script

from flotilla import Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_browsing.browser.contexts import Wants
from web_browsing.browser.opening import visit
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.snapshot import SnapshotTools
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

PLAYWRIGHT = "@playwright/mcp@0.0.83"
CHROMIUM = "/usr/bin/chromium"
NOBODY = "65534"
MOST_CHARS = 48_000
CALL_S = 60.0
OURS = ("full", "interactive", "section", "diff")
_WORD = re.compile(r"\w+|[^\w\s]")
_ADD = "document.body.append(Object.assign(document.createElement('p'), {textContent: 'Added.'}))"


@dataclass
class Taken:
    """Of one page in one way."""

    text: str = ""
    ms: list[float] = field(default_factory=list[float])

    @property
    def words(self) -> int:
        return len(_WORD.findall(self.text))


def context() -> Context:
    return Context(
        principal=Principal("benchmark"),
        correlation_id="benchmark",
        deadline=Deadline.after(CALL_S),
    )


@asynccontextmanager
async def our_session(port: int) -> AsyncGenerator[tuple[Session, Toolbox]]:
    settings = Settings(allow_hosts=(f"127.0.0.1:{port}",))
    proxy = Proxy(Rules.of(settings.ports, settings.allow_hosts))
    with tempfile.TemporaryDirectory() as folder:
        sessions = Sessions(proxy, settings, Path(folder) / "downloads")
        async with sessions.lifespan():
            session = await sessions.open("benchmark", Wants())
            yield session, Toolbox(SnapshotTools(sessions).tools(), Redactor())


async def ours(session: Session, box: Toolbox, url: str, rounds: int) -> dict[str, Taken]:
    """Each mode of our tool; the section is the page's main part, where it has one."""

    async def call(**arguments: Any) -> dict[str, Any]:
        arguments = {"sessionId": session.id, "maxLength": MOST_CHARS, **arguments}
        result = await box.call("web.browse.snapshot", arguments, context())
        if result["isError"]:
            raise RuntimeError(str(result["content"])[:300])
        return result["structuredContent"]

    async def taken(**arguments: Any) -> Taken:
        found = Taken()
        answer: dict[str, Any] = {}
        for _ in range(rounds):
            started = perf_counter()
            answer = await call(**arguments)
            found.ms.append((perf_counter() - started) * 1e3)
        found.text = answer["snapshot"]
        while answer["truncated"]:
            answer = await call(**arguments, startIndex=answer["nextStartIndex"])
            found.text += answer["snapshot"]
        return found

    await visit(session, url, context())
    answers = {"full": await taken(), "interactive": await taken(mode="interactive")}
    if "\nmain" in f"\n{answers['full'].text}":
        answers["section"] = await taken(section="main")
    await call()
    await session.page().evaluate(_ADD)
    started = perf_counter()
    changed = await call(mode="diff")
    answers["diff"] = Taken(changed["snapshot"], [(perf_counter() - started) * 1e3])
    return answers


@asynccontextmanager
async def theirs() -> AsyncGenerator[Callable[[str, int], Awaitable[Taken]]]:
    node_peer("playwright-mcp", PLAYWRIGHT)
    with tempfile.TemporaryDirectory() as home:
        command = [shutil.which("node") or "node", str(script("playwright-mcp"))]
        command += ["--executable-path", CHROMIUM, "--headless", "--isolated", "--no-sandbox"]
        command += ["--output-dir", home]
        if os.geteuid() == 0:
            os.chown(home, int(NOBODY), int(NOBODY))
            user = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
            command = ["setpriv", *user, *command]
        env = {"HOME": home, "PATH": os.environ["PATH"]}
        server = StdioServerParameters(command=command[0], args=command[1:], env=env, cwd=home)
        async with Client(server) as client:

            async def take(url: str, rounds: int) -> Taken:
                await client.call_tool("browser_navigate", {"url": url})
                found = Taken()
                for _ in range(rounds):
                    started = perf_counter()
                    result = await client.call_tool("browser_snapshot", {})
                    found.ms.append((perf_counter() - started) * 1e3)
                    told = "\n".join(each.text for each in result.content if each.type == "text")
                    if result.is_error:
                        raise RuntimeError(told[:300])
                    found.text = told.partition("```yaml\n")[2].rpartition("```")[0] or told
                return found

            yield take


async def compared(pages: dict[str, str], rounds: int) -> dict[str, dict[str, Taken]]:
    found: dict[str, dict[str, Taken]] = {}
    html = {name: page.encode() for name, page in pages.items()}
    async with served(html) as port, our_session(port) as (session, box), theirs() as take:
        for name in pages:
            url = f"http://127.0.0.1:{port}/{name}"
            try:
                answers = await ours(session, box, url, rounds)
                found[name] = {**answers, "playwright-mcp": await take(url, rounds)}
            except Exception as error:  # noqa: BLE001  one page that breaks either is told of
                print(f"{name:14} left out: {str(error)[:150]}")
    return found


def tell(found: dict[str, dict[str, Taken]]) -> None:
    print(f"\n{'page':14}{'playwright-mcp':>22}" + "".join(f"{each:>22}" for each in OURS))
    print(f"{'':14}" + f"{'chars   tokens   ms':>22}" * (len(OURS) + 1))
    for name, answers in found.items():
        cells = [_cell(answers["playwright-mcp"])]
        cells += [_cell(answers[each]) if each in answers else f"{'-':>22}" for each in OURS]
        print(f"{name:14}{''.join(cells)}")
    print("\nOurs by theirs, the median over the pages (the share of all pages together):")
    for each in OURS:
        pairs = [
            (answers[each], answers["playwright-mcp"])
            for answers in found.values()
            if each in answers
        ]
        if pairs:
            print(f"  {each:12}" + "  ".join(_ratios(pairs)))


def _cell(taken: Taken) -> str:
    told = f"{len(taken.text)}   {len(taken.text) // 4}   {median(taken.ms):.0f}"
    return f"{told:>22}"


def _ratios(pairs: list[tuple[Taken, Taken]]) -> list[str]:
    def told(name: str, of: Callable[[Taken], float]) -> str:
        each = median(of(own) / max(1.0, of(other)) for own, other in pairs)
        share = sum(of(own) for own, _ in pairs) / sum(of(other) for _, other in pairs)
        return f"{name} {each:.2f} ({share:.2f})"

    return [
        told("characters", lambda taken: len(taken.text)),
        told("words and signs", lambda taken: taken.words),
        told("time", lambda taken: median(taken.ms)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pages", type=Path, help="a folder of .html and .html.gz files")
    parser.add_argument("--most", type=int, help="so many pages of it at most")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    pages = from_folder(chosen.pages, chosen.most) if chosen.pages else generated()
    tell(asyncio.run(compared(pages, chosen.rounds)))


if __name__ == "__main__":
    main()
