"""The tools that tell ServiceNow of items of ours, and what doing so would change."""

from typing import Annotated

from pydantic import Field

from cmdb.items import fitting
from cmdb.seeding import Catalogues
from cmdb.servicenow.estate import Estate, InstanceName
from cmdb.servicenow.foreseeing import foreseen
from cmdb.servicenow.identification import Outcome, State
from cmdb.servicenow.pushing import MAX_ITEMS, Push, Pushing
from cmdb.store import Store
from cmdb.values import ItemId
from flotilla import Context, Deadline, Model, Preview, Principal, Tool, reads, writes
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Foreseen

SHOWN_BYTES = 40 * 1024
FORESEE = "servicenow.foreseePush"
FORESEE_S = 7.5
"""The hub waits a little longer for a preview."""


class ItemVersion(Model):
    """An item, and the version that was looked at: another one is not pushed."""

    id: ItemId
    expected_version: Annotated[int, Field(ge=1)]


Items = Annotated[list[ItemVersion], Field(min_length=1, max_length=MAX_ITEMS)]


class Asked(Model):
    """The arguments of a push."""

    items: Items
    relations: bool = True
    instance: str | None = None


class Pushed(Model):
    """What ServiceNow did with each item, or (`committed` false) would do."""

    instance: str
    data_source: str
    committed: bool
    counts: dict[str, int]
    """How many items are in each state."""
    items: list[Outcome]
    """Those that went wrong come first."""
    relations_made: int
    relations_unchanged: int
    relation_errors: list[str]
    stopped_by: str | None = None
    """Why items of later batches were not sent."""
    truncated: bool


class PushTools:
    """data.cmdb.previewServiceNowPush, pushServiceNow."""

    def __init__(self, store: Store, catalogues: Catalogues, estate: Estate) -> None:
        self._pushing = Pushing(store, catalogues, estate.hidden)
        self._estate = estate

    def tools(self) -> tuple[Tool, ...]:
        same = {name: name for name in ("items", "relations", "instance")}
        return (
            reads(
                "data.cmdb.previewServiceNowPush",
                self.preview_service_now_push,
                title="Preview a push to ServiceNow",
                open_world=True,
                untrusted=True,
                long=True,
            ),
            writes(
                "data.cmdb.pushServiceNow",
                self.push_service_now,
                title="Push to ServiceNow",
                open_world=True,
                approval=True,
                untrusted=True,
                long=True,
                preview=Preview(operation=FORESEE, taken=same),
                risk="CIs of ServiceNow's production CMDB are made or changed",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        """What the hub asks before it asks a person about a push."""
        return (Operation(name=FORESEE, takes=Asked, run=self.foresee, role=HUB_ROLE),)

    async def foresee(self, asked: Asked) -> Foreseen:
        """The dry run of a push, in the words of an approval."""
        connection = self._estate.chosen(asked.instance)
        # It changes nothing and keeps nothing, so it matters to nobody whose it is.
        context = Context(
            principal=Principal("hub"), correlation_id="", deadline=Deadline.after(FORESEE_S)
        )
        wanted = {one.id: one.expected_version for one in asked.items}
        done = await self._pushing.previewed(
            context, connection, wanted, len(asked.items), relations=asked.relations
        )
        place = f"{connection.alias} ({connection.instance.url})"
        return foreseen(place, connection.instance.data_source, done)

    async def preview_service_now_push(
        self,
        context: Context,
        items: Items,
        relations: bool = True,
        instance: InstanceName = None,
    ) -> Pushed:
        """Ask ServiceNow what pushServiceNow would do with these items; nothing changes anywhere.

        Its own identification rules answer: per item whether a CI would be made or changed, by
        which rule it was found, and field by field what would be another.
        """
        connection = self._estate.chosen(instance)
        wanted = {one.id: one.expected_version for one in items}
        done = await self._pushing.previewed(
            context, connection, wanted, len(items), relations=relations
        )
        return _told(connection.alias, connection.instance.data_source, done, committed=False)

    async def push_service_now(
        self,
        context: Context,
        items: Items,
        relations: bool = True,
        instance: InstanceName = None,
    ) -> Pushed:
        """Tell ServiceNow of items by its Identification and Reconciliation API.

        Name each with the version that was looked at; one that has changed since is a conflict and
        nothing is sent. Items that the rules refuse are left out and told, the others are sent,
        with `relations` those between them, and read back. Their sys_ids are kept here. Attributes
        that an item lacks stay as they are there; nothing is deleted.
        """
        connection = self._estate.chosen(instance)
        wanted = {one.id: one.expected_version for one in items}
        done = await self._pushing.pushed(
            context, connection, wanted, len(items), relations=relations
        )
        return _told(connection.alias, connection.instance.data_source, done, committed=True)


_WORST_FIRST: tuple[State, ...] = (
    "unknown",
    "error",
    "unconfirmed",
    "incomplete",
    "notSent",
    "update",
    "insert",
    "unchanged",
)


def _told(alias: str, source: str, done: Push, *, committed: bool) -> Pushed:
    counts: dict[str, int] = {}
    for one in done.outcomes:
        counts[one.state] = counts.get(one.state, 0) + 1
    items = sorted(done.outcomes, key=lambda one: _WORST_FIRST.index(one.state))
    shown = fitting(items, SHOWN_BYTES)
    return Pushed(
        instance=alias,
        data_source=source,
        committed=committed,
        counts=counts,
        items=items[:shown],
        relations_made=done.relations_made,
        relations_unchanged=done.relations_unchanged,
        relation_errors=done.relation_errors[:10],
        stopped_by=done.stopped_by,
        truncated=shown < len(items),
    )
