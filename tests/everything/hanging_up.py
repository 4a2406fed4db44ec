"""Ends open streams when the server stops, as if each client had gone."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HangingUp:
    """An application whose open requests end at `close`, by the way of a disconnect.

    uvicorn would cancel them after a wait, and the SDK leaves memory streams open then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._closed = asyncio.Event()

    def close(self) -> None:
        self._closed.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = complete = False

        async def receive_or_end() -> Message:
            message = asyncio.ensure_future(receive())
            closed = asyncio.ensure_future(self._closed.wait())
            try:
                await asyncio.wait([message, closed], return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else {"type": "http.disconnect"}
            finally:
                message.cancel()
                closed.cancel()

        async def noting(message: Message) -> None:
            nonlocal begun, complete
            begun = begun or message["type"] == "http.response.start"
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        await self._app(scope, receive_or_end, noting)
        if begun and not complete:
            await send({"type": "http.response.body", "body": b""})
