"""One program in the runner: started, connected with the hub, and ended when that has gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from anyio import to_thread

from flotilla import FlotillaError, Misconfigured, NotConfigured, TimedOut, Unavailable
from flotilla.redaction import Redactor
from master.external.child import MAX_LINE_BYTES, Child
from master.external.config import ServerEntry, check_server_name, parse_entry
from master.external.launch import Launcher
from master.external.lines import ENDING_BYTES, SHOWN_BYTES, TooLong
from master.external.runner.connection import Connection, Socket
from master.external.runner.messages import (
    End,
    Exited,
    LeftOut,
    Message,
    Open,
    Refused,
    Running,
    Silent,
)
from master.streaming.scrub import scrubbed
from master.upstream.handshake.stdio import answered_by

log = structlog.get_logger(__name__)

ORDER_S = 10.0
"""How long the first message is waited for."""
LAST_LINES_S = 2.0
"""What the last lines of a program that has ended get to come out."""
FORMER_S = 20.0
"""How long is waited for the former life of a server, whose connection may just have been lost."""
_PATIENCE_S = 3600.0

Launch = Callable[[], Awaitable[Launcher]]


class Lodger:
    """One connection of the hub's; `names` are locks by which a server runs once at a time."""

    def __init__(self, socket: Socket, launch: Launch, names: Mapping[str, asyncio.Lock]) -> None:
        self._launch = launch
        self._names = names
        self._ordered: asyncio.Future[Open] = asyncio.get_running_loop().create_future()
        self._asked_to_end = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()
        self._connection = Connection(socket, self._heard)

    async def run(self) -> None:
        """Return when the program has ended, or the connection and then the program."""
        carrying = asyncio.create_task(self._connection.run())
        housing = asyncio.create_task(self._house())
        try:
            await asyncio.wait({carrying, housing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            housing.cancel()
            await asyncio.wait({housing})
            carrying.cancel()
            await asyncio.wait({carrying})
        if not housing.cancelled():
            housing.result()

    async def refuse(self, reason: str) -> None:
        """Tell the hub why no program can be started."""
        await self._connection.tell(Refused(code="unavailable", message=reason))

    def _heard(self, message: Message) -> None:
        if isinstance(message, Open) and not self._ordered.done():
            self._ordered.set_result(message)
        elif isinstance(message, End):
            self._asked_to_end.set()
            self._connection.no_more_lines()

    async def _house(self) -> None:
        try:
            async with asyncio.timeout(ORDER_S):
                order = await self._ordered
            check_server_name(order.name)
            entry = parse_entry(order.name, order.entry, "the hub's order")
            if entry.type != "stdio":
                raise Unavailable(f"external server {order.name} is no program")
        except TimeoutError:
            log.warning("runner_no_order", after_s=ORDER_S)
            return
        except (Misconfigured, FlotillaError) as error:
            await self.refuse(str(error))
            return
        try:
            await self._run_alone(order.name, entry)
        except FlotillaError as error:
            log.warning("external_server_refused", server=order.name, reason=error.message)
            code = "not_configured" if isinstance(error, NotConfigured) else "unavailable"
            await self._connection.tell(Refused(code=code, message=error.message, hint=error.hint))

    async def _run_alone(self, name: str, entry: ServerEntry) -> None:
        """Run it once its former life has ended: the two would share a home."""
        lock = self._names[name]
        try:
            async with asyncio.timeout(FORMER_S):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable(
                f"external server {name} runs already for another connection",
                hint="A runner serves one hub.",
            ) from None
        try:
            await self._run(name, entry)
        finally:
            lock.release()

    async def _run(self, name: str, entry: ServerEntry) -> None:
        launcher = await self._launch()
        secrets = (await to_thread.run_sync(launcher.resolved, name, entry)).secrets
        async with launcher.open(name, entry) as child:
            child.too_long = self._left_out
            log.info("external_server_started", server=name, pid=child.pid)
            await self._connection.tell(Running(pid=child.pid, protection=child.protection))
            await self._until_its_end(child, secrets)
            ended = await child.end()
        log.info("external_server_ended", server=name, reason=ended.reason)
        await self._connection.tell(Exited(code=ended.code, last_words=ended.last_words))

    async def _until_its_end(self, child: Child, secrets: frozenset[str]) -> None:
        feeding = asyncio.create_task(self._feed(child))
        passing_on = asyncio.create_task(self._pass_on(child, secrets))
        ends = {
            asyncio.create_task(child.wait()),
            asyncio.create_task(self._asked_to_end.wait()),
        }
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self._asked_to_end.is_set():
                await asyncio.wait({passing_on}, timeout=LAST_LINES_S)
        finally:
            tasks = {feeding, passing_on, *ends}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in (feeding, passing_on):
            if not task.cancelled():
                task.result()

    async def _feed(self, child: Child) -> None:
        """The hub's lines into the program, for as long as that takes."""
        while (line := await self._connection.next_line()) is not None:
            while True:
                try:
                    await child.write(line, _PATIENCE_S)
                    break
                except TimedOut:
                    continue  # how long is too long, the hub says, which has little room left
                except Unavailable:
                    return  # it has ended; `wait` tells

    async def _pass_on(self, child: Child, secrets: frozenset[str]) -> None:
        redactor = Redactor(secrets)
        with suppress(Unavailable):  # the connection has ended, which ends all of this
            async for line in child.lines():
                clean = await cleaned(line, secrets, redactor) if secrets else line
                if len(clean) > MAX_LINE_BYTES:
                    self._left_out(TooLong(len(clean), clean[:SHOWN_BYTES], clean[-ENDING_BYTES:]))
                else:
                    await self._connection.write(clean)
            await self._connection.tell(Silent())

    def _left_out(self, line: TooLong) -> None:
        """Only its length and the number of its request: the rest may hold half a secret."""
        told = LeftOut(length=line.length, answers=answered_by(line))
        self._telling.add(task := asyncio.create_task(self._connection.tell(told)))
        task.add_done_callback(self._telling.discard)


async def cleaned(line: bytes, secrets: frozenset[str], redactor: Redactor) -> bytes:
    """The line without the secrets, whether or not it is the JSON that it should be."""

    async def alone() -> AsyncIterator[bytes]:
        yield line

    clean = b"".join([piece async for piece in scrubbed(alone(), secrets)])
    if any(secret.encode() in clean for secret in secrets):
        # Outside of every string: this is no JSON, and needs not stay it.
        clean = redactor.text(clean.decode(errors="replace")).encode()
    return clean
