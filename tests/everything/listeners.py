"""Whom to tell of changes: connections of the handshake era, and listen streams of the modern."""

from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

STALLED_S = 2.0
"""A client that does not read for this long misses the notification; the others do not wait."""


def connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """The connection that a request came by, which outlives the request."""
    # The SDK gives a handler only a session per request, and nothing else that knows the end of
    # the connection or keeps state for it.
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]


class Listeners:
    """Every connected client, with the resources that it watches."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self._watched: dict[Connection, set[str]] = {}

    def join(self, ctx: ServerRequestContext[Any, Any]) -> None:
        """Tell this handshake connection of changes until it ends."""
        connection = connection_of(ctx)
        self._watched[connection] = set()
        connection.exit_stack.callback(self._watched.pop, connection, None)

    def watch(self, ctx: ServerRequestContext[Any, Any], uri: str) -> None:
        self._watched.setdefault(connection_of(ctx), set()).add(uri)

    def unwatch(self, ctx: ServerRequestContext[Any, Any], uri: str) -> None:
        self._watched.setdefault(connection_of(ctx), set()).discard(uri)

    async def tell(self, event: ServerEvent) -> None:
        """Tell all whom it concerns, one stalled client at a time."""
        await self.bus.publish(event)
        for connection, uris in list(self._watched.items()):
            with anyio.move_on_after(STALLED_S):
                match event:
                    case ToolsListChanged():
                        await connection.send_tool_list_changed()
                    case PromptsListChanged():
                        await connection.send_prompt_list_changed()
                    case ResourcesListChanged():
                        await connection.send_resource_list_changed()
                    case ResourceUpdated(uri):
                        if uri in uris:
                            await connection.send_resource_updated(uri)
