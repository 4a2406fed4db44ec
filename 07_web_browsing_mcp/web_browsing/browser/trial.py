"""Whether the browser starts on this machine, found out before a call needs it.

By the very start that a session has, so that it meets what a session would meet: no sandbox, no
driver. In a process of its own, so that what a start loads is gone with it. Pages are fetched with
or without a browser: the service is ready whatever comes of it, and its log says what to do.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from pydantic import TypeAdapter, ValidationError

from flotilla.outlast import outlast
from web_browsing.browser.engine import INSTALL, START_S, Engine, Equipment

AFTER_S = 15.0
"""Services start together; by then they have."""
WITHIN_S = START_S + 30
END_S = 3.0
MAX_TOLD_CHARS = 2000

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of a start; `problem` is None where the browser runs here."""

    version: str | None = None
    apart: str | None = None
    """As `Running.apart`."""
    problem: str | None = None
    hint: str | None = None
    told: str = ""
    """What was logged meanwhile."""


_TRIAL = TypeAdapter(Trial)


async def try_out(engine: Engine, equipment: Equipment, after_s: float = AFTER_S) -> None:
    """Log whether sessions can be opened, once; a browser that runs by then needs no trial."""
    if equipment.program is None:
        _warn(Trial(problem="no Chromium is on this machine", hint=INSTALL))
        return
    await asyncio.sleep(after_s)
    if engine.running is not None:
        return
    trial = await tried(equipment)
    if trial.problem is not None:
        _warn(trial)
        return
    if trial.apart is not None:
        _log.warning("browser_without_network_namespace", reason=trial.apart)
    _log.info("browser_tried", version=trial.version)


async def tried(equipment: Equipment, within_s: float = WITHIN_S) -> Trial:
    """Start it and end it; no process is left, also where this is cancelled."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-s", "-B", "-m", "web_browsing.browser.trial_process"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except OSError as error:
        return Trial(problem=f"its trial did not start: {error.strerror}")
    try:
        async with asyncio.timeout(within_s):
            return await _asked(process, equipment)
    except TimeoutError:
        return Trial(problem="the browser did not start in time")
    finally:
        await outlast(_end(process))


async def _asked(process: Process, equipment: Equipment) -> Trial:
    orders, answers, errors = process.stdin, process.stdout, process.stderr
    assert orders is not None and answers is not None and errors is not None
    # It stays open: its end means that nobody wants to know any more.
    orders.write(TypeAdapter(Equipment).dump_json(equipment) + b"\n")
    answer, told = await asyncio.gather(answers.read(), errors.read())
    said = told.decode(errors="replace")[-MAX_TOLD_CHARS:]
    try:
        trial = _TRIAL.validate_json(answer)
    except ValidationError:
        return Trial(problem="its trial broke off", told=said)
    return trial if trial.problem is None else replace(trial, told=said)


async def _end(process: Process) -> None:
    """Kindly first, as it takes away what it made; its pipes too, which asyncio keeps."""
    assert process.stdin is not None
    process.stdin.close()
    # Whatever it still says is read, so that it does not wait for that.
    ending = asyncio.ensure_future(process.communicate())
    _, late = await asyncio.wait({ending}, timeout=END_S)
    if late:
        with suppress(ProcessLookupError):
            process.kill()
    await ending


def _warn(trial: Trial) -> None:
    _log.warning(
        "no_browser",
        reason=trial.problem,
        hint=trial.hint,
        effect="web.browse.fetchPage works, sessions cannot be opened",
        **({"told": trial.told} if trial.told else {}),
    )
