"""A tool is data plus a plain async method, typed in and typed out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flotilla.names import check_tool_name

Run = Callable[..., Awaitable[Any]]

MAX_TTL_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What says beforehand what a call would do; the hub has it done before it asks a person.

    Either a read-only `tool` of the same spoke, called as whoever asks, or an `operation` of it of
    the hub's role, which answers a `flotilla.preview.Foreseen` and is no tool for anybody. Names
    are those of the schemas: `taken` are its parameters, each with the argument of the call that
    it gets, `fixed` those that are always the same.

    Raises ValueError where it names both or neither.
    """

    tool: str = ""
    operation: str = ""
    taken: Mapping[str, str] = field(default_factory=dict[str, str])
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asker: str = ""
    """The parameter of the operation that gets the name of the principal who asks, for what is
    theirs alone; none unless it is named."""

    def __post_init__(self) -> None:
        if bool(self.tool) == bool(self.operation):
            raise ValueError("a preview names a tool or an operation, and not both")
        if self.asker and (self.tool or self.asker in {*self.taken, *self.fixed}):
            raise ValueError("the asker is a parameter of its own, of an operation")

    def mark(self) -> dict[str, Any]:
        """What the tool's listing says of it."""
        told = asdict(self)
        if not self.asker:
            del told["asker"]
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathers:
    """The tool takes what another spoke's source sees (`flotilla.discovery`), which the hub brings.

    `argument` is the parameter in which the caller names a source, as `{"service", "within"}`. The
    hub hands the pages to the operation `page` (a `flotilla.discovery.Gathered` each), puts the
    gathering's ID into the parameter `into`, which no client may fill in, and has it dropped by
    the operation `drop` (a `flotilla.discovery.Gathering`) once the call is over. Names of
    parameters are those of the schema.
    """

    argument: str
    into: str
    page: str
    drop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What a spoke offers under `name`; declare one with `reads`, `writes` or `destroys`.

    The docstring of `run` is the description, its parameters the input schema (camelCase), the
    model that it returns the output schema. The four hints are MCP's tool annotations and must be
    true: policy, retry and cache decide from them.
    """

    name: str
    run: Run
    title: str | None = None
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    approval: bool = False
    """A person must say yes before it runs."""
    long: bool = False
    """It may take minutes: it gets the service's `long_timeout_s` instead of `timeout_s`."""
    untrusted: bool = False
    """What it returns was written by strangers: marked so, and stripped of invisible Unicode."""
    ttl_s: float | None = None
    """For how long a result may be given again to the principal that asked, for the same
    arguments, unless a tool of the same namespace that is not read-only runs meanwhile; None: not
    at all."""
    preview: Preview | None = None
    cost: str | None = None
    """What a call costs, in a few words for the person who is asked."""
    risk: str | None = None
    """What there is to lose beyond what the hints say, in a few words for that person."""
    gathers: Gathers | None = None
    """What the hub brings it of another spoke's source; None: nothing."""

    def __post_init__(self) -> None:
        check_tool_name(self.name)
        if self.ttl_s is not None and not (self.read_only and 0.001 <= self.ttl_s <= MAX_TTL_S):
            raise ValueError(
                f"tool {self.name!r}: ttl_s is for read-only tools, 0.001 to {MAX_TTL_S}"
            )


def reads(
    name: str,
    run: Run,
    *,
    title: str | None = None,
    open_world: bool = False,
    long: bool = False,
    untrusted: bool = False,
    ttl_s: float | None = None,
    gathers: Gathers | None = None,
) -> Tool:
    """A tool that changes nothing."""
    return Tool(
        name=name,
        run=run,
        title=title,
        read_only=True,
        idempotent=True,
        open_world=open_world,
        long=long,
        untrusted=untrusted,
        ttl_s=ttl_s,
        gathers=gathers,
    )


def writes(
    name: str,
    run: Run,
    *,
    title: str | None = None,
    idempotent: bool = False,
    open_world: bool = False,
    approval: bool = False,
    long: bool = False,
    untrusted: bool = False,
    preview: Preview | None = None,
    cost: str | None = None,
    risk: str | None = None,
) -> Tool:
    """A tool that adds or changes things and loses nothing."""
    return Tool(
        name=name,
        run=run,
        title=title,
        idempotent=idempotent,
        open_world=open_world,
        approval=approval,
        long=long,
        untrusted=untrusted,
        preview=preview,
        cost=cost,
        risk=risk,
    )


def destroys(
    name: str,
    run: Run,
    *,
    title: str | None = None,
    idempotent: bool = False,
    open_world: bool = False,
    approval: bool = True,
    long: bool = False,
    untrusted: bool = False,
    preview: Preview | None = None,
    cost: str | None = None,
    risk: str | None = None,
) -> Tool:
    """A tool that may lose or break something; waits for a person unless `approval=False`."""
    return Tool(
        name=name,
        run=run,
        title=title,
        destructive=True,
        idempotent=idempotent,
        open_world=open_world,
        approval=approval,
        long=long,
        untrusted=untrusted,
        preview=preview,
        cost=cost,
        risk=risk,
    )
