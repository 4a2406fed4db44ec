"""What really runs, as a spoke sees it, in the words of the CMDB; the hub brings it there.

A spoke that has a source gives `Spoke.discovery`. Two hub-only operations of it follow: one tells
of the source, the other gives a page. Nothing of it passes through a model or a client.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, JsonValue

from flotilla.model import Model
from flotilla.operations import HUB_ROLE, Operation, Told
from flotilla.sizes import strip_invisible, visible

DESCRIBE = "discovery.describe"
PAGE = "discovery.page"
MAX_PAGE_ITEMS = 1000
MAX_ITEMS = 50_000
"""Of one gathering."""


class Seen(Model):
    """An item as it really is.

    `name` is one of a kind within its class over all sources, so it is qualified by account,
    cluster or namespace where the provider lets two be called alike. `key` names the attribute
    (say `resource_id`) by which a renamed item is known again. Two items whose `provider` or
    `account` differ are two, whatever their names and keys.

    An attribute that is null is gone from the CMDB too, one that is left out stays as it is there:
    so what a thing may lose, an address or its tags, is told as null.
    """

    ci_class: str
    name: str
    key: str | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


class SeenEnd(Model):
    """An item by class and name, in this page, another one, or in the CMDB already."""

    ci_class: str
    name: str


class SeenRelation(Model):
    """A relation as it really is: the source `runs_on`, `contains`, `uses`, ... the target.

    All that a source tells of one type from one item to those of one class is what there is: older
    ones between items that it sees end. So let what moves be the relation's source.
    """

    source: SeenEnd
    type: str
    target: SeenEnd


class Asked(Model):
    """A page of what there is within a scope; `within` has the parameters of the source's tool."""

    within: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    cursor: str | None = None


class SeenPage(Told):
    """At most 1000 items; `next_cursor` until there is no more."""

    items: list[Seen] = Field(max_length=MAX_PAGE_ITEMS)
    relations: list[SeenRelation]
    next_cursor: str | None = None


class Covers(Model):
    """Which live items of the CMDB a scope speaks of: those of them not seen have gone.

    Only items of these very classes whose attributes have exactly these values, say
    `{"provider": "azure", "account": "<subscription ID>"}`; at least one is needed. What the source
    tells of these classes gets them where it lacks them, and must not differ.
    """

    ci_classes: list[str]
    attributes: dict[str, str]


class Described(Told):
    """What a source is. `tool` is the read-only tool that a caller must be allowed to call, with
    `within` as its arguments, to be given what the source sees."""

    tool: str
    covers: Covers
    within: dict[str, JsonValue]
    """The scope as the source understood it, with what was left out filled in."""


class Scope(Model):
    """What is to be described."""

    within: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


GatheringId = Annotated[str, Field(min_length=32, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class Gathering(Model):
    """What the hub has brought together for one call, by the ID that it chose for it."""

    gathering: GatheringId


class Gathered(Gathering):
    """One page of a source as the hub hands it on; the last one is `complete`."""

    principal: str
    """Who has it gathered, and alone may use it."""
    source: str
    """The service whose source it is."""
    covers: Covers
    page: int = Field(ge=0)
    items: list[Seen] = Field(max_length=MAX_PAGE_ITEMS)
    relations: list[SeenRelation]
    complete: bool


class Kept(Model):
    """How much of a gathering is there by now."""

    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A spoke's source: `describe` judges the scope (InvalidArgument), `page` reads one page."""

    describe: Callable[[Mapping[str, Any]], Awaitable[Described]]
    page: Callable[[Mapping[str, Any], str | None], Awaitable[SeenPage]]

    def operations(self) -> tuple[Operation, Operation]:
        async def describe(scope: Scope) -> Described:
            return await self.describe(scope.within)

        async def page(asked: Asked) -> SeenPage:
            return _visible(await self.page(asked.within, asked.cursor))

        return (
            Operation(name=DESCRIBE, takes=Scope, run=describe, role=HUB_ROLE, reads=True),
            Operation(name=PAGE, takes=Asked, run=page, role=HUB_ROLE, reads=True),
        )


def _visible(page: SeenPage) -> SeenPage:
    """What strangers named and tagged, as a person would see it: it is kept, and read by models."""
    items = [
        one.model_copy(
            update={
                "name": strip_invisible(one.name),
                "attributes": {key: visible(value) for key, value in one.attributes.items()},
            }
        )
        for one in page.items
    ]
    relations = [
        one.model_copy(update={"source": _named(one.source), "target": _named(one.target)})
        for one in page.relations
    ]
    return page.model_copy(update={"items": items, "relations": relations})


def _named(end: SeenEnd) -> SeenEnd:
    return end.model_copy(update={"name": strip_invisible(end.name)})
