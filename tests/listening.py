"""Ending what tests listen by."""

import asyncio

PASSES = 8
"""Of the loop, between the accepting of a connection and the first line of who serves it."""


async def stop_listening(server: asyncio.Server) -> None:
    """Accept no more, and return once all that was accepted is in the hands of who serves it.

    A connection that came in this very moment is in nobody's otherwise, and its socket is left
    open: asyncio drops one whose server is closed between its accepting and its transport, and the
    loop may end before its task begins. One in TLS still is until hands are shaken.
    """
    for each in server.sockets:
        asyncio.get_running_loop().remove_reader(each.fileno())
    for _ in range(PASSES):
        await asyncio.sleep(0)
    server.close()
