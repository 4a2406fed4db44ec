"""Header values as RFC 9110 has them, without the blanks around them."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Trimmed:
    """httptools leaves the blanks after a value, and the SDK then finds that it lies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            trimmed = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
            scope = {**scope, "headers": trimmed}
        await self._app(scope, receive, send)
