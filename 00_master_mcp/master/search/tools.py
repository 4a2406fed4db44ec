"""The hub's tools that find, describe and call other tools, for clients that list few of them."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, RootModel

from flotilla import Context, InvalidArgument, Model, Tool, meta, reads
from flotilla.json_text import to_json
from flotilla.toolbox import Toolbox
from master.catalogue import Catalogue
from master.entry import Entry, View
from master.policy.seam import Open, Policy
from master.profiles import CALL, DESCRIBE, FINDERS, SEARCH
from master.search.finder import Finder
from master.stages.authorise import denial

MAX_SUMMARY = 200
MAX_SCHEMAS_BYTES = 40_000
"""What a tool's schemas may have together before its output schema is left out."""
MAX_FINDERS = 64
"""Views whose index is kept; a fleet has a handful of profiles."""

Name = Annotated[
    str, Field(min_length=1, max_length=500, description="As master.tools.search or a list has it.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientContext(Context):
    """The context of a call of the hub's own tools: also what part of the fleet its client sees."""

    view: View
    interactive: bool = False
    """A person sits at the client: its token is no robot's."""


class FoundTool(Model):
    """A tool that fits; the higher the score the better, comparable within one answer alone."""

    name: str
    title: str | None = None
    summary: str
    read_only: bool
    destructive: bool
    needs_approval: bool
    score: float


class FoundTools(Model):
    """`truncated`: more tools have some of the words; ask more precisely or for more."""

    items: list[FoundTool]
    returned: int
    total: int
    truncated: bool
    hint: str | None = None


class DescribedTool(Model):
    """A tool as a list would show it."""

    name: str
    canonical_name: str
    service: str
    title: str | None = None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any]
    needs_approval: bool
    missing_settings: str | None = None


class Called(RootModel[dict[str, Any]]):
    """Whatever the tool that was called returns."""


class ToolSearch:
    """Finds in the catalogue what the client that asks may call."""

    def __init__(self, catalogue: Catalogue, policy: Policy | None = None) -> None:
        self._catalogue = catalogue
        self._policy = policy or Open()
        self._finders: dict[tuple[str | None, str], tuple[tuple[Entry, ...], Finder]] = {}
        self._making = asyncio.Lock()

    def tools(self) -> tuple[Tool, ...]:
        return (
            # They repeat what strangers say of their tools.
            reads(SEARCH, self.search, title="Find a tool", untrusted=True),
            reads(DESCRIBE, self.describe, title="Describe a tool", untrusted=True),
            # It may do whatever any tool does.
            Tool(name=CALL, run=self.call, title="Call a tool", destructive=True, open_world=True),
        )

    async def search(
        self,
        query: Annotated[
            str,
            Field(
                min_length=1,
                max_length=300,
                description="What to do and to what, in plain words, or a part of a name.",
            ),
        ],
        limit: Annotated[int, Field(ge=1, le=50, description="Tools to return at most.")] = 5,
        *,
        context: Context,
    ) -> FoundTools:
        """Find tools by what they do, the best first.

        Returns names, one-line summaries and whether a tool only reads or may destroy. Look at one
        with master.tools.describe before you call it, by its own name or by master.tools.call.
        """
        view = _view_of(context)
        finder = await self._finder(view)
        # Beside the loop, as below: many unknown words among very many known ones take 0.2 s.
        fitting = await asyncio.to_thread(finder.find, query)
        sees = self._policy.sight(context.principal).sees
        found = [(tool, score) for tool, score in fitting if sees(tool)]
        items = [_found(tool, score, view) for tool, score in found[:limit]]
        none = "No tool has any of these words. Say what to do and to what, such as 'list pods'."
        return FoundTools(
            items=items,
            returned=len(items),
            total=len(found),
            truncated=len(found) > limit,
            hint=None if items else none,
        )

    async def describe(self, name: Name, *, context: Context) -> DescribedTool:
        """Show one tool whole: what it does, its input and output schemas, its annotations."""
        view = _view_of(context)
        sight = self._policy.sight(context.principal)
        tool = self._catalogue.find(name, view, sight=sight)
        if not sight.sees(tool):
            raise denial(self._policy.judge(context.principal, tool, {}), context.principal, tool)
        schemas = [meta.members(tool.listed.get(key)) for key in ("inputSchema", "outputSchema")]
        fits = len(to_json(schemas)) <= MAX_SCHEMAS_BYTES
        return DescribedTool(
            name=tool.shown_name(view),
            canonical_name=tool.name,
            service=tool.service,
            title=_text(tool, "title") or None,
            description=_text(tool, "description"),
            input_schema=dict(schemas[0]),
            output_schema=dict(schemas[1]) if schemas[1] and fits else None,
            annotations=dict(meta.members(tool.listed.get("annotations"))),
            needs_approval=tool.needs_approval,
            missing_settings=tool.missing_settings,
        )

    async def call(
        self,
        name: Name,
        arguments: Annotated[
            dict[str, Any] | None, Field(description="As the tool's input schema says.")
        ] = None,
    ) -> Called:
        """Call a tool by its name as if it had been listed: same rules, approval and result.

        Returns what that tool returns. Find it with master.tools.search and look at its input
        schema with master.tools.describe first.
        """
        # The stage `resolve` puts the tool in the place of this one before anything runs.
        raise InvalidArgument(
            f"{CALL} cannot call {name[:100]!r} from here", hint="Call it itself."
        )

    async def _finder(self, view: View) -> Finder:
        key = (view.service, view.profile)
        async with self._making:
            tools = self._catalogue.tools(view)
            made = self._finders.pop(key, None)
            if made is None or made[0] is not tools:
                searched = [tool for tool in tools if tool.name not in FINDERS]
                # Beside the loop: strangers may offer thousands of tools.
                made = (tools, await asyncio.to_thread(Finder, searched))
            self._finders[key] = made
            while len(self._finders) > MAX_FINDERS:
                del self._finders[next(iter(self._finders))]
        return made[1]


def own_listing(own: Toolbox) -> list[dict[str, Any]]:
    """The hub's own tools as listed. What `master.tools.call` returns has the schema of another."""
    return [
        {key: value for key, value in tool.items() if key != "outputSchema" or tool["name"] != CALL}
        for tool in own.listing()
    ]


def _view_of(context: Context) -> View:
    if not isinstance(context, ClientContext):
        raise TypeError("the stage `forward` gives the hub's own tools a ClientContext")
    return context.view


def _found(tool: Entry, score: float, view: View) -> FoundTool:
    return FoundTool(
        name=tool.shown_name(view),
        title=_text(tool, "title")[:MAX_SUMMARY] or None,
        summary=summary_of(_text(tool, "description")),
        read_only=tool.only_reads,
        destructive=tool.hints("destructiveHint"),
        needs_approval=tool.needs_approval,
        score=round(score, 2),
    )


def summary_of(description: str) -> str:
    """The first paragraph in one line of at most 200 characters, cut between words."""
    line = " ".join(description.strip().split("\n\n", 1)[0].split())
    if len(line) <= MAX_SUMMARY:
        return line
    return f"{line[: MAX_SUMMARY - 1].rsplit(' ', 1)[0]}…"


def _text(tool: Entry, member: str) -> str:
    found = tool.listed.get(member)
    return found if isinstance(found, str) else ""
