"""The tool that looks for secrets in a text."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Annotated

from anyio import to_thread
from pydantic import Field

from flotilla import Context, Model, RateLimited, Tool, TooLarge, reads
from flotilla.known_values import Known
from secret_store.actor import Actor
from secret_store.backend import Backend, Value, Wanted
from secret_store.scanning import (
    FoundKind,
    merged,
    places_of_shapes,
    places_of_values,
)
from secret_store.trail import Trail

MAX_TEXT = 64 * 1024
A_MINUTE = 30
"""Scans of one principal: each tells whether guesses at stored values were right."""
_MOST_SECRETS = 2000
_MOST_FOUND = 200
_MOST_PRINCIPALS = 1000
_STEP = 500


class Found(Model):
    """A secret in the text: characters start to end, counted from 0, and the line, from 1."""

    kind: FoundKind
    start: int
    end: int
    line: int


class Scanned(Model):
    """Where secrets stand in the text; `clean` when nowhere."""

    clean: bool
    findings: list[Found]
    truncated: bool


class ScanTools:
    """security.secrets.scanText."""

    def __init__(
        self, backend: Backend, trail: Trail, monotonic_s: Callable[[], float] = monotonic
    ) -> None:
        self._backend = backend
        self._trail = trail
        self._turns = _Turns(monotonic_s)

    def tools(self) -> tuple[Tool, ...]:
        return (reads("security.secrets.scanText", self.scan_text, title="Look for secrets"),)

    async def scan_text(
        self, context: Context, text: Annotated[str, Field(max_length=MAX_TEXT)]
    ) -> Scanned:
        """Tell where a text holds secrets: values of the store, keys, tokens, passwords.

        Look before you publish, store or send something. The secrets are not repeated, and which
        of the store's it is, is not told; a match with the store is written down. 30 a minute.
        """
        if len(text.encode()) > MAX_TEXT:
            raise TooLarge(f"the text has over {MAX_TEXT} bytes", hint="Scan it in parts.")
        self._turns.take(context.principal.name)
        values = await self._values()
        known = await to_thread.run_sync(Known, [value for _, value in values])
        stored = await to_thread.run_sync(places_of_values, text, known)
        if stored:
            await self._write_down(Actor.calling(context, "scanText"), text, values)
        shaped = await to_thread.run_sync(places_of_shapes, text)
        places = merged(stored, shaped)
        findings = [
            Found(
                kind=place.kind,
                start=place.start,
                end=place.end,
                line=text.count("\n", 0, place.start) + 1,
            )
            for place in places[:_MOST_FOUND]
        ]
        return Scanned(clean=not places, findings=findings, truncated=len(places) > len(findings))

    async def _values(self) -> list[tuple[str, str]]:
        """The newest values of the store with their paths, up to a bound."""
        paths: list[str] = []
        while len(paths) < _MOST_SECRETS:
            some = await self._backend.list("", paths[-1] if paths else "", _STEP)
            paths.extend(kept.path for kept in some)
            if len(some) < _STEP:
                break
        found: list[tuple[str, str]] = []
        for start in range(0, len(paths), _STEP):
            part = paths[start : start + _STEP]
            values = await self._backend.get([Wanted(path) for path in part])
            found.extend(
                (path, value.text)
                for path, value in zip(part, values, strict=True)
                if isinstance(value, Value)
            )
        return found

    async def _write_down(self, actor: Actor, text: str, values: Sequence[tuple[str, str]]) -> None:
        raw = text.encode()
        hits = await to_thread.run_sync(
            lambda: [path for path, value in values if Known([value]).spans(raw)]
        )
        async with self._trail.act() as transaction:
            for path in hits:
                await self._trail.add(transaction, actor, "scanned", path=path)


class _Turns:
    """So many scans a minute for each principal."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, principal: str) -> None:
        now = self._monotonic_s()
        taken = self._taken.setdefault(principal, deque())
        self._taken.move_to_end(principal)
        if len(self._taken) > _MOST_PRINCIPALS:
            self._taken.popitem(last=False)
        while taken and taken[0] <= now - 60:
            taken.popleft()
        if len(taken) >= A_MINUTE:
            wait_ms = round((taken[0] + 60 - now) * 1000) + 1
            raise RateLimited(f"{A_MINUTE} scans a minute are the most", retry_after_ms=wait_ms)
        taken.append(now)
