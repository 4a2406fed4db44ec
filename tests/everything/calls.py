"""One tool call, and what a tool is: its definition beside the function that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.connection import allowed_log_levels
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from .asking import Questions
from .listeners import connection_of

if TYPE_CHECKING:
    from .world import World

Run = Callable[["Call"], Awaitable[types.CallToolResult]]
LEVELS: tuple[types.LoggingLevel, ...] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)


@dataclass(frozen=True)
class Offer:
    """A tool as it is listed, and what runs when it is called."""

    tool: types.Tool
    run: Run


@dataclass
class Call:
    """What a tool is given: its arguments, the request they came in, and a way to talk back."""

    arguments: dict[str, Any]
    ctx: ServerRequestContext[Any, Any]
    world: World
    questions: Questions = field(repr=False)

    @property
    def modern(self) -> bool:
        return self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Nothing is sent where the caller gave no progress token."""
        await self.ctx.session.report_progress(done, total, text or None)

    async def log(self, level: types.LoggingLevel, data: Any) -> None:
        """One log message on the stream of this call, if the client wants that level."""
        if self.modern:
            wanted = level in allowed_log_levels(self.ctx.protocol_version, self.ctx.meta)
        else:
            least: types.LoggingLevel = connection_of(self.ctx).state.get("log_level", "debug")
            wanted = LEVELS.index(level) >= LEVELS.index(least)
        if not wanted:
            return
        params = types.LoggingMessageNotificationParams(level=level, data=data, logger="everything")
        await self.ctx.session.send_notification(
            types.LoggingMessageNotification(params=params), self.ctx.request_id
        )


def offer(
    name: str,
    description: str,
    run: Run,
    *,
    properties: dict[str, Any] | None = None,
    required: tuple[str, ...] = (),
    **more: Any,
) -> Offer:
    """A tool whose arguments are `properties`; `more` are further fields of the definition."""
    schema: dict[str, Any] = {"type": "object", "properties": properties or {}}
    if required:
        schema["required"] = list(required)
    return Offer(
        types.Tool(name=name, description=description, input_schema=schema, **more),
        run,
    )


def text(*lines: str, **more: Any) -> types.CallToolResult:
    """A result of one text block a line; `more` are further fields of the result."""
    return types.CallToolResult(content=[types.TextContent(text=each) for each in lines], **more)
