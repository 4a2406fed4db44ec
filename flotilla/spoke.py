"""The manifest of a spoke: everything that a reader must know of it, in one object."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from flotilla.credentials import Credentials
from flotilla.discovery import Discovery
from flotilla.names import BadName, check_distinct, check_namespace, namespace_of
from flotilla.operations import HUB_ROLE, Operation
from flotilla.tool import Tool

NotReadyReason = str | None


@asynccontextmanager
async def _nothing_to_open() -> AsyncGenerator[None]:
    yield


async def _always_ready() -> NotReadyReason:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """One domain of tools, as `build(settings)` returns it.

    `lifespan` opens what the tools need (a store, background jobs) and closes it; `ready` answers
    why the spoke cannot serve just now, or None; `not_configured` says what to set where the spoke
    lacks its credentials (it starts all the same); `secrets` are values that must never leave.

    Raises BadName when a tool stands outside the namespaces or two safe names meet.
    """

    name: str
    version: str
    instructions: str
    namespaces: tuple[str, ...]
    tools: tuple[Tool, ...]
    lifespan: Callable[[], AbstractAsyncContextManager[None]] = _nothing_to_open
    ready: Callable[[], Awaitable[NotReadyReason]] = _always_ready
    not_configured: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    operations: tuple[Operation, ...] = ()
    credentials: Credentials | None = None
    """What the hub brings it; None: it needs nothing."""
    discovery: Discovery | None = None
    """What it can tell the CMDB of what really runs; None: nothing."""

    def __post_init__(self) -> None:
        for namespace in self.namespaces:
            check_namespace(namespace)
        check_distinct(tool.name for tool in self.tools)
        for tool in self.tools:
            if namespace_of(tool.name) not in self.namespaces:
                raise BadName(f"tool {tool.name!r} is outside {self.name}'s {self.namespaces}")
        reading = {tool.name for tool in self.tools if tool.read_only}
        asked = {each.name for each in self.operations if each.role == HUB_ROLE}
        for tool in self.tools:
            gathers = tool.gathers
            if gathers is not None and not {gathers.page, gathers.drop} <= asked:
                raise BadName(f"{tool.name}: what it gathers by is no hub operation")
            preview = tool.preview
            if preview is None:
                continue
            if preview.tool and preview.tool not in reading:
                raise BadName(f"{tool.name}: its preview {preview.tool!r} is no reading tool")
            if preview.operation and preview.operation not in asked:
                raise BadName(f"{tool.name}: its preview {preview.operation!r} is no hub operation")
