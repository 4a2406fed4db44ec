"""The tools of one service, ready to be listed and called: the kernel that every service shares."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import anyio
import structlog
from pydantic import BaseModel

from flotilla import meta
from flotilla.attachments import WithAttachments
from flotilla.context import Context
from flotilla.errors import (
    ApprovalRequired,
    FlotillaError,
    NotFound,
    TimedOut,
    TooLarge,
)
from flotilla.json_text import to_json
from flotilla.names import safe_name
from flotilla.redaction import Redactor
from flotilla.schema import Arguments, Output, description_of
from flotilla.sizes import MAX_RESULT_BYTES, visible
from flotilla.tool import Tool

log = structlog.get_logger(__name__)


class Toolbox:
    """Lists its tools in MCP's wire form and runs them; every failure becomes a tool error.

    Raises BadTool at start for a method that cannot be a tool.
    """

    def __init__(self, tools: Iterable[Tool], redactor: Redactor) -> None:
        self._redactor = redactor
        self._tools = {tool.name: _Ready(tool) for tool in tools}
        self._by_safe_name = {safe_name(name): name for name in self._tools}

    def listing(self) -> list[dict[str, Any]]:
        """Every tool as `tools/list` shows it, under canonical names, in the order declared."""
        return [ready.listed for ready in self._tools.values()]

    def canonical(self, name: str) -> str | None:
        """The canonical name of the tool with that canonical or safe name, if there is one."""
        return self._by_safe_name.get(safe_name(name))

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        canonical = self.canonical(name)
        return None if canonical is None else self._tools[canonical].arguments.schema

    async def call(
        self, name: str, arguments: Mapping[str, Any], context: Context
    ) -> dict[str, Any]:
        """Run a tool within the context's deadline and return MCP's CallToolResult as JSON.

        Never raises but for cancellation: a failure is a result with `isError` (`error_result`).
        """
        try:
            ready = self._ready(name)
            if ready.tool.approval and not context.approved:
                raise approval_required(ready.tool.name)
            values = ready.arguments.read(arguments)
            if ready.arguments.context_name is not None:
                values[ready.arguments.context_name] = context
            left_s = context.deadline.remaining_s()
            with anyio.move_on_after(left_s):
                # A deadline that has passed must not start the work: nobody waits for it.
                if left_s > 0:
                    return self._written(ready, await ready.tool.run(**values))
            raise TimedOut(f"{ready.tool.name} did not finish before its deadline")
        except FlotillaError as error:
            return error_result(error, context.correlation_id, self._redactor)
        except Exception:  # the top-level handler: internals stay in the log
            log.exception("tool_failed", tool=name)
            broke = FlotillaError(
                f"{name} failed inside the service",
                hint="The log has the details under this correlation ID.",
            )
            return error_result(broke, context.correlation_id, self._redactor)

    def _ready(self, name: str) -> "_Ready":
        canonical = self.canonical(name)
        if canonical is None:
            raise NotFound(f"there is no tool {name!r} here", hint="tools/list names them all.")
        return self._tools[canonical]

    def _written(self, ready: "_Ready", value: BaseModel) -> dict[str, Any]:
        structured = self._redactor.data(ready.output.write(value))
        marks: dict[str, Any] = {}
        if ready.tool.untrusted:
            structured = visible(structured)
            marks = {"_meta": {meta.UNTRUSTED: True}}
        text = to_json(structured).decode()
        if len(text) > MAX_RESULT_BYTES:
            raise TooLarge(
                f"the result has {len(text)} bytes; {MAX_RESULT_BYTES} fit",
                hint="Ask for fewer items or a narrower part.",
            )
        files = value.attached if isinstance(value, WithAttachments) else ()
        return {
            "content": [{"type": "text", "text": text}, *(each.block() for each in files)],
            "structuredContent": structured,
            "isError": False,
            **marks,
        }


class _Ready:
    """A tool with its schemas made once."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.arguments = Arguments(tool)
        self.output = Output(tool)
        marks = {
            meta.NAME: tool.name,
            **({meta.APPROVAL: "required"} if tool.approval else {}),
            **({meta.LONG: True} if tool.long else {}),
            **({} if tool.ttl_s is None else {meta.TTL_MS: round(tool.ttl_s * 1000)}),
            **({} if tool.preview is None else {meta.PREVIEW: tool.preview.mark()}),
            **({} if tool.gathers is None else {meta.GATHERS: asdict(tool.gathers)}),
            **({} if tool.cost is None else {meta.COST: tool.cost}),
            **({} if tool.risk is None else {meta.RISK: tool.risk}),
        }
        self.listed: dict[str, Any] = {
            "name": tool.name,
            **({"title": tool.title} if tool.title else {}),
            "description": description_of(tool.run),
            "inputSchema": self.arguments.schema,
            "outputSchema": self.output.schema,
            "annotations": {
                "readOnlyHint": tool.read_only,
                "destructiveHint": tool.destructive,
                "idempotentHint": tool.idempotent,
                "openWorldHint": tool.open_world,
            },
            "_meta": marks,
        }


def approval_required(name: str) -> ApprovalRequired:
    """The refusal of a tool that waits for a person, the same in hub and spokes."""
    return ApprovalRequired(
        f"{name} waits for a person's approval, and none was given",
        hint="An operator may set FLOTILLA_APPROVALS=off to let such calls run unasked.",
    )


def error_result(error: FlotillaError, correlation_id: str, redactor: Redactor) -> dict[str, Any]:
    """A tool error as a client reads it: the same object as text and in `_meta`."""
    body = redactor.data(error.as_json(correlation_id))
    return {
        "content": [{"type": "text", "text": to_json({"error": body}).decode()}],
        "isError": True,
        "_meta": {meta.ERROR: body},
    }


def error_code_of(result: Mapping[str, Any]) -> str | None:
    """The code of a result that `error_result` made, `tool_error` for others, None for success."""
    if not result.get("isError"):
        return None
    error = meta.members(meta.marks_of(result).get(meta.ERROR))
    return str(error.get("code", "tool_error"))
