"""A worker's end of the channel on which its parent gives it connections."""

import asyncio
import os
import signal
import socket

from flotilla.serving.run import Adopt

UP, DOWN, TAKEN = b"u", b"d", b"t"
"""What a worker says: it takes connections, it takes no more, it has taken the one given first."""
GIVEN = b"c"
"""What comes with each connection."""


class Inlet:
    """A `Feed`: reads the channel in the loop that serves. One life has one of them."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._adopting: set[asyncio.Task[object]] = set()
        self._adopt: Adopt | None = None

    def begin(self, adopt: Adopt) -> None:
        self._adopt = adopt
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._take)
        self._say(UP)

    def end(self) -> None:
        self._adopt = None
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._say(DOWN)

    def _take(self) -> None:
        """One connection: the parent lets go of it only when it hears that we have it."""
        assert self._adopt is not None, "the channel is read between `begin` and `end` alone"
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            os.kill(os.getpid(), signal.SIGTERM)  # the parent has gone
            return
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            connection.setblocking(False)
            task = asyncio.ensure_future(self._adopted(connection))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)
        self._say(TAKEN)

    async def _adopted(self, connection: socket.socket) -> None:
        adopt = self._adopt
        try:
            if adopt is not None:
                await adopt(connection)
                return
        except OSError:  # its client has gone already
            pass
        connection.close()

    def _say(self, word: bytes) -> None:
        try:
            self._channel.send(word)
        except OSError:  # the parent has gone; the leash ends this worker
            return
