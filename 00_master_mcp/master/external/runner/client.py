"""The hub's way to programs in the runner."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp

from flotilla import NotConfigured, TimedOut, Unavailable
from flotilla.outlast import outlast
from master.external.child import WRITE_S, Exit
from master.external.config import ServerEntry
from master.external.lines import TooLong
from master.external.process import Lost, Started, StarterAway
from master.external.runner.connection import MAX_FRAME_BYTES, Connection
from master.external.runner.messages import (
    PATH,
    End,
    Exited,
    LeftOut,
    Message,
    Open,
    Refused,
    Running,
    Silent,
)
from master.external.sandbox import Protection
from master.upstream.authority import Authority

CONNECT_S = 10.0
END_S = 20.0
"""What the runner gets to end a program, which itself may take ten seconds."""
GOODBYE_S = 2.0
_AWAY_CODE = 255


class RunnerElsewhere:
    """Starts servers in the runner at `url`; `authority` is the hub's word to it."""

    def __init__(self, url: str, authority: Authority) -> None:
        self._url = url.rstrip("/") + PATH
        self._authority = authority

    @asynccontextmanager
    async def open(self, name: str, entry: ServerEntry) -> AsyncGenerator[Started]:
        # Proxies of the environment are for the outside; the runner is within.
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            program = Program(name, await self._connected(session))
            try:
                await program.start(entry)
                yield Started(program, None)
            finally:
                await outlast(program.close())

    async def _connected(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(CONNECT_S):
                return await session.ws_connect(
                    self._url,
                    headers=self._authority.of_hub(),
                    max_msg_size=MAX_FRAME_BYTES,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise StarterAway(
                f"the runner of external servers refused the hub ({error.status})",
                hint="It must read this hub's public key (FLOTILLA_HUB_PUBLIC_KEY).",
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or "no answer"
            raise StarterAway(f"the runner of external servers is away: {reason}") from None


class Program:
    """A program in the runner, as a Process; `start` it, and `close` it at the end."""

    def __init__(self, name: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._name = name
        self._socket = socket
        self._connection = Connection(socket, self._heard)
        self._started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self._exit: Exit | None = None
        self._ended = asyncio.Event()
        self._silent = False
        self.too_long: Callable[[TooLong], None] | None = None
        self._carrying = asyncio.create_task(self._carry())

    async def start(self, entry: ServerEntry) -> None:
        """Return when it runs; to fetch it may take minutes. Raises as `Starter.open` does."""
        told = entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        # What is the default elsewhere may be told by the command alone, and must be told here.
        await self._connection.tell(Open(name=self._name, entry={**told, "type": entry.type}))
        await asyncio.wait({self._started})
        self._running = self._started.result()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def protection(self) -> Protection:
        return self._running.protection

    @property
    def exited(self) -> bool:
        return self._ended.is_set()

    @property
    def silent(self) -> bool:
        return self._silent

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self._connection.next_line()) is not None:
            yield line

    async def write(self, line: bytes, timeout_s: float = WRITE_S) -> None:
        if b"\n" in line:
            raise ValueError("a line holds no line break")
        if self.exited:
            raise Unavailable(f"external server {self._name} has ended")
        try:
            await self._connection.write(line, timeout_s)
        except TimedOut:
            raise TimedOut(
                f"external server {self._name} reads nothing of what it is sent"
            ) from None
        except Unavailable:
            raise Unavailable(f"external server {self._name} has ended") from None

    async def wait(self) -> Exit:
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    async def end(self) -> Exit:
        if not self.exited:
            await outlast(self._end())
        return await self.wait()

    async def close(self) -> None:
        """End it, if it runs, and the connection with it."""
        if self._started.done() and self._started.exception() is None and not self.exited:
            await self._end()
        await self._hang_up()
        self._carrying.cancel()
        await asyncio.wait({self._carrying})

    async def _hang_up(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._socket.close()

    async def _end(self) -> None:
        await self._connection.tell(End())
        try:
            async with asyncio.timeout(END_S):
                await self._ended.wait()
        except TimeoutError:
            await self._hang_up()
            self._lost(f"the runner did not end it in {END_S:.0f} s")

    async def _carry(self) -> None:
        why = "the hub let go of it"
        try:
            why = await self._connection.run()
        finally:
            self._lost(why)

    def _lost(self, why: str) -> None:
        said = f"lost the runner of external servers: {why}"
        if not self._started.done():
            self._started.set_exception(StarterAway(said))
            self._started.exception()  # whoever waited may have been cancelled
        self._silent = True
        self._exited(Lost(_AWAY_CODE, said))

    def _exited(self, how: Exit) -> None:
        if self._exit is None:
            self._exit = how
            self._connection.no_more_lines()
            self._ended.set()

    def _heard(self, message: Message) -> None:
        match message:
            case Running() if not self._started.done():
                self._started.set_result(message)
            case Refused(code=code, message=said, hint=hint) if not self._started.done():
                kind = NotConfigured if code == "not_configured" else Unavailable
                self._started.set_exception(kind(said, hint=hint))
            case LeftOut(length=length, answers=number) if self.too_long is not None:
                beginning = b"" if number is None else b'{"id":%d,' % number
                self.too_long(TooLong(length, beginning))
            case Silent():
                self._silent = True
                self._connection.no_more_lines()
            case Exited(code=code, last_words=words):
                self._exited(Exit(code, words))
            case _:
                pass
