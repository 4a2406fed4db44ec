"""The connection of one program, the same at both ends: lines and control messages both ways."""

import asyncio
from collections import deque
from collections.abc import Callable

import aiohttp
from aiohttp import web

from flotilla import TimedOut, Unavailable, UpstreamError
from master.external.child import MAX_LINE_BYTES
from master.external.runner.messages import Beat, Message, Taken, read_message

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse

PIECE_BYTES = 256 * 1024
MAX_FRAME_BYTES = 8 * 1024 * 1024
"""An entry may be that long; a line travels in pieces."""
WINDOW_BYTES = 1024 * 1024
"""What may be under way beyond what the other side has handed on."""
BEAT_S = 2.5
SILENT_BEATS = 4
"""After so many of its own beats without a word of the other, it is gone."""
_LAST, _GOES_ON = b"\0", b"\1"


class Connection:
    """`heard` gets the other side's messages, but for those that serve the connection itself."""

    def __init__(
        self,
        socket: Socket,
        heard: Callable[[Message], None],
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        beat_s: float = BEAT_S,
    ) -> None:
        self._socket = socket
        self._heard = heard
        self._max_line_bytes = max_line_bytes
        self._beat_s = beat_s
        self._silent_beats = 0
        self._pieces: list[bytes] = []
        self._piece_bytes = 0
        self._lines: deque[bytes] = deque()
        self._unread_bytes = 0
        self._came = asyncio.Event()
        self._taken_bytes = 0
        self._unsent: deque[bytes] = deque()
        self._to_send = asyncio.Event()
        self._untaken_bytes = 0
        self._room = asyncio.Event()
        self._gone = self._no_more_lines = False

    async def run(self) -> str:
        """Carry until the connection has ended; returns why it did."""
        beating = asyncio.create_task(self._beat())
        sending = asyncio.create_task(self._send_long_lines())
        receiving = asyncio.create_task(self._receive())
        tasks = {beating, sending, receiving}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(reason for task in done if (reason := task.result()))
        finally:
            self._gone = True
            self.no_more_lines()
            self._room.set()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def next_line(self) -> bytes | None:
        """The next line of the other side; None after the last."""
        while not self._lines:
            if self._no_more_lines:
                return None
            self._came.clear()
            await self._came.wait()
        line = self._lines.popleft()
        self._unread_bytes -= len(line)
        self._taken_bytes += len(line)
        if self._taken_bytes >= WINDOW_BYTES // 4:
            taken, self._taken_bytes = self._taken_bytes, 0
            await self.tell(Taken(length=taken))
        return line

    def no_more_lines(self) -> None:
        """The other side sends no more."""
        self._no_more_lines = True
        self._came.set()

    async def write(self, line: bytes, timeout_s: float | None = None) -> None:
        """Send a line whole; TimedOut, and nothing of it sent, when there is no room in time.

        Unavailable when the connection has ended.
        """
        if self._untaken_bytes >= WINDOW_BYTES and not self._gone:
            await self._wait_for_room(timeout_s)
        if self._gone:
            raise Unavailable("the connection has ended")
        self._untaken_bytes += len(line)
        if self._unsent or len(line) > PIECE_BYTES:
            # By one task of ours: a sender who is cancelled must not leave half a line.
            self._unsent.append(line)
            self._to_send.set()
        else:
            await self._send(_LAST + line)

    async def tell(self, message: Message) -> None:
        """Send a control message; nothing happens when the connection has ended."""
        try:
            await self._socket.send_str(message.model_dump_json())
        except ConnectionError:
            return  # `run` finds that out, and says so

    async def _send(self, frame: bytes) -> None:
        # A frame is written before the first wait within: cancelled or not, it goes whole.
        try:
            await self._socket.send_bytes(frame)
        except ConnectionError:
            raise Unavailable("the connection has ended") from None

    async def _wait_for_room(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._untaken_bytes >= WINDOW_BYTES and not self._gone:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise TimedOut("the program reads nothing of what it is sent") from None

    async def _send_long_lines(self) -> str:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._unsent:
                line = memoryview(self._unsent[0])
                for start in range(0, max(len(line), 1), PIECE_BYTES):
                    goes_on = start + PIECE_BYTES < len(line)
                    head = _GOES_ON if goes_on else _LAST
                    try:
                        await self._send(b"".join((head, line[start : start + PIECE_BYTES])))
                    except Unavailable as error:
                        return error.message
                self._unsent.popleft()

    async def _beat(self) -> str:
        """Counted in beats, not in time: where this process itself stood still, nobody is gone."""
        while self._silent_beats < SILENT_BEATS:
            await asyncio.sleep(self._beat_s)
            self._silent_beats += 1
            await self.tell(Beat())
        return f"not a word in {SILENT_BEATS * self._beat_s:.0f} s"

    async def _receive(self) -> str:
        while True:
            frame = await self._socket.receive()
            self._silent_beats = 0
            try:
                if frame.type is aiohttp.WSMsgType.BINARY:
                    self._take(frame.data)
                elif frame.type is aiohttp.WSMsgType.TEXT:
                    self._heed(read_message(frame.data))
                else:
                    return "the connection was closed"
            except UpstreamError as error:
                return error.message

    def _heed(self, message: Message) -> None:
        match message:
            case Taken(length=length):
                self._untaken_bytes -= length
                if self._untaken_bytes < WINDOW_BYTES:
                    self._room.set()
            case Beat():
                pass
            case _:
                self._heard(message)

    def _take(self, frame: bytes) -> None:
        head, piece = frame[:1], frame[1:]
        self._piece_bytes += len(piece)
        if head not in (_LAST, _GOES_ON) or self._piece_bytes > self._max_line_bytes:
            raise UpstreamError("a line that is longer than any that may be sent")
        if self._unread_bytes > WINDOW_BYTES + self._max_line_bytes:
            raise UpstreamError("more lines at once than may be sent")
        self._pieces.append(piece)
        if head == _LAST:
            line = b"".join(self._pieces) if len(self._pieces) > 1 else piece
            self._pieces, self._piece_bytes = [], 0
            self._lines.append(line)
            self._unread_bytes += len(line)
            self._came.set()
