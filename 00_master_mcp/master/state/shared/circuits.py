"""Circuits that all hubs share: each knows how they stand, and changes them in Redis.

What happens to a circuit is decided by `flotilla.breaker` on what this hub knows, and stands when
Redis held the same; if not, it is decided again on what Redis holds. A call of a closed circuit,
and its success while nothing failed, ask nobody.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, get_args

import orjson

from flotilla import breaker as decide
from flotilla.breaker import CLOSED, CircuitState, Standing
from flotilla.resilience import Breaker
from master.state.seam import CircuitView, usual_longest_s
from master.state.shared.line import Away, Line
from master.state.shared.scripts import SWAP
from master.state.shared.store import Store
from master.state.telling import refusal, told, viewed

CIRCUITS = "flotilla:circuits"
TTL_MS = 86_400_000
MOST_TRIES = 20
"""Each is lost to another hub that was first; all callers of one hub take turns."""
MOST_REASON = 500

STATES = get_args(CircuitState)

T = TypeVar("T")
Step = Callable[[Standing], tuple[Standing, T]]


class SharedCircuit:
    def __init__(self, service: str, settings: Breaker, circuits: "SharedCircuits") -> None:
        self._service = service
        self._settings = settings
        self._circuits = circuits
        self._turn = asyncio.Lock()

    @property
    def view(self) -> CircuitView:
        return viewed(self._circuits.known(self._service), self._circuits.now())

    async def admit(self, longest_s: Callable[[], float] = usual_longest_s) -> int:
        standing = self._circuits.known(self._service)
        if standing.state == "closed":
            return standing.era

        def admitted(known: Standing) -> tuple[Standing, int | None]:
            return decide.admit(known, self._circuits.now(), longest_s())

        ticket = await self._change(admitted, undo=self._give_back)
        if ticket is None:
            known = self._circuits.known(self._service)
            raise refusal(self._service, known, self._circuits.now())
        return ticket

    async def succeeded(self, ticket: int) -> None:
        await self._change(lambda known: (decide.succeeded(known, ticket), None))

    async def failed(self, ticket: int, reason: str) -> None:
        def after(known: Standing) -> tuple[Standing, None]:
            now = self._circuits.now()
            return decide.failed(known, ticket, reason[:MOST_REASON], now, self._settings), None

        await self._change(after)

    async def dropped(self, ticket: int) -> None:
        await self._change(self._dropping(ticket))

    async def trip(self, reason: str) -> None:
        def after(known: Standing) -> tuple[Standing, None]:
            now = self._circuits.now()
            return decide.tripped(known, reason[:MOST_REASON], now, self._settings), None

        await self._change(after)

    async def restored(self) -> None:
        await self._change(lambda known: (decide.restored(known, self._circuits.now()), None))

    def _dropping(self, ticket: int) -> Step[None]:
        return lambda known: (decide.dropped(known, ticket, self._circuits.now()), None)

    async def _change(
        self, step: Step[T], undo: Callable[["asyncio.Task[T | None]"], None] | None = None
    ) -> T | None:
        """What `step` tells of the circuit as it stands for all, None where others were always
        first; `undo` is for a caller that leaves before it is told."""
        known = self._circuits.known(self._service)
        after, told = step(known)
        if after is known:
            return told
        # A task of its own: what was begun must end, or hubs would no longer know how it stands.
        changing = self._circuits.start(self._in_turn(step))
        try:
            return await asyncio.shield(changing)
        except asyncio.CancelledError:
            if undo is not None:
                changing.add_done_callback(undo)
            raise

    async def _in_turn(self, step: Step[T]) -> T | None:
        async with self._turn:
            return await self._circuits.change(self._service, step)

    def _give_back(self, admission: "asyncio.Task[int | None]") -> None:
        if not admission.cancelled() and (ticket := admission.result()) is not None:
            self._circuits.start(self._in_turn(self._dropping(ticket)))


class SharedCircuits:
    """While Redis is away each hub goes on from what it knew; the latest of all stands after."""

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._channel = channel
        self._known: dict[str, Standing] = {}
        self._circuits: dict[str, SharedCircuit] = {}
        self._tasks = set[asyncio.Task[Any]]()
        store.serve(self)

    def of(self, service: str, breaker: Breaker) -> SharedCircuit:
        circuit = self._circuits.get(service)
        if circuit is None:
            circuit = self._circuits[service] = SharedCircuit(service, breaker, self)
        return circuit

    def forget(self, service: str) -> None:
        self._circuits.pop(service, None)

    def known(self, service: str) -> Standing:
        return self._known.get(service, CLOSED)

    def now(self) -> float:
        return self._store.now()

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that ends even if nobody waits for it any more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def change(self, service: str, step: Step[T]) -> T | None:
        """What the step tells, taken in Redis, or here alone while Redis is away.

        None, and nothing is changed, where other hubs were always first.
        """
        known = self.known(service)
        expected = known.revision
        for _ in range(MOST_TRIES):
            after, told = step(known)
            if after is known:
                return told
            try:
                held = await self._swap(self._store, service, expected, after)
            except Away:
                after, told = step(self.known(service))
                self._learn(service, after)
                return told
            if held is None:
                self._learn(service, after)
                return told
            expected = held.revision
            known = self._learn(service, held)
        return None

    def hear(self, said: bytes) -> None:
        """What came over the channel: a circuit that another hub, or this one, has changed."""
        service, _, value = said.partition(b"\n")
        self._learn(service.decode(), _read(value))

    async def on_beat(self, line: Line) -> None:
        """Agree with Redis, which may have lost all, or have been changed while nobody heard."""
        fields = await line.ask("HGETALL", CIRCUITS)
        pairs = zip(fields[::2], fields[1::2], strict=True)
        held = {service.decode(): _read(value) for service, value in pairs}
        for service, standing in held.items():
            self._learn(service, standing)
        for service, standing in list(self._known.items()):
            expected = held.get(service, CLOSED).revision
            if standing.revision > expected:
                other = await self._swap(line, service, expected, standing)
                if other is not None:
                    self._learn(service, other)

    async def on_arrival(self, line: Line) -> None:
        pass

    def on_away(self) -> None:
        pass

    async def on_leaving(self, line: Line) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _learn(self, service: str, standing: Standing) -> Standing:
        """The later of it and of what is known; of two that hubs made apart, what Redis holds."""
        known = self.known(service)
        if standing.revision < known.revision:
            return known
        told(service, known, standing)
        self._known[service] = standing
        return standing

    async def _swap(
        self, line: Line | Store, service: str, expected: int, after: Standing
    ) -> Standing | None:
        """None where it stands in Redis now, else what does."""
        held = await line.run(
            SWAP, (CIRCUITS,), service, expected, _written(after), TTL_MS, self._channel
        )
        return None if held is None else _read(held)


def _written(standing: Standing) -> bytes:
    return b"%d %s" % (standing.revision, orjson.dumps(standing))


def _read(value: bytes) -> Standing:
    """What was written; closed, of the same revision, where nobody of ours can have written it."""
    revision, _, told = value.partition(b" ")
    number = int(revision) if revision.isdigit() else 0
    try:
        standing = Standing(**orjson.loads(told))
    except (ValueError, TypeError):
        standing = CLOSED
    if standing.revision != number or standing.state not in STATES:
        return Standing(era=number, revision=number)
    return standing
