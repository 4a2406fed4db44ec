"""infra.vmware.listEvents: what vCenter recorded, newest first, as a small table."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Page,
    Tool,
    cut,
    decode_cursor,
    encode_cursor,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from vmware.link import Links
from vmware.listing import fitting
from vmware.machines import KIND, VmId, VmName, found
from vmware.names import VCenterName

if TYPE_CHECKING:
    from vmware.reading import Vc

MESSAGE_BYTES = 400
MAX_READ = 1000
"""Events in one answer of a collector; vCenter takes no more."""
MAX_ROUNDS = 10
SAME = timedelta(seconds=1)
"""Events of the same moment may be on both sides of a page's end; their numbers tell them apart."""


class Event(Model):
    """Something that happened; `type` is vSphere's own name of it, `targetId` what it was about."""

    vcenter: str
    event_id: int
    at: datetime
    type: str
    message: str
    user: str | None
    target: str | None
    target_id: str | None


class Events:
    """The tool of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (reads("infra.vmware.listEvents", self.list_events, title="Events", untrusted=True),)

    async def list_events(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        types: Annotated[
            list[Annotated[str, Field(min_length=1, max_length=100)]] | None,
            Field(max_length=20, description="Only these, such as VmPoweredOffEvent."),
        ] = None,
        since: Annotated[datetime | None, Field(description="Only from this moment on.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Event]:
        """List what a vCenter recorded, newest first: of one virtual machine, or of all it has.

        Give vmId or name for one machine. Messages hold names and words of users and guests.
        """
        link = self._links.to(vcenter)
        kind = f"events|{link.alias}|{vm_id}|{name}|{types}|{since}"
        before = None if cursor is None else _position(decode_cursor(kind, cursor))
        earliest = None if since is None else _utc(since)

        def work(vc: "Vc") -> Page[Event]:
            machine = None
            if vm_id is not None or name is not None:
                machine = vc.ref(KIND, found(vc, vm_id, name))
            spec = _filter(vc, machine, types, earliest, before)
            wanted: list[Event] = []
            for event in _newest(vc, spec, limit + 1):
                if before is not None and event.key >= before[0]:
                    continue
                if earliest is not None and event.createdTime < earliest:
                    break
                wanted.append(event_row(vc.alias, event))
                if len(wanted) > limit:
                    break
            return _page(kind, wanted, limit)

        return await link.use(context.deadline, work)


def event_row(alias: str, event: Any) -> Event:
    about = _about(event)
    return Event(
        vcenter=alias,
        event_id=event.key,
        at=event.createdTime,
        type=getattr(event, "eventTypeId", None) or type(event).__name__.rpartition(".")[2],
        message=cut(" ".join(str(event.fullFormattedMessage or "").split()), MESSAGE_BYTES)[0],
        user=event.userName or None,
        target=None if about is None else about[0],
        target_id=None if about is None else about[1],
    )


def _page(kind: str, wanted: list[Event], limit: int) -> Page[Event]:
    shown = fitting(wanted[:limit])
    more = len(wanted) > shown
    last = wanted[shown - 1] if shown else None
    position = None if last is None else [last.event_id, last.at.isoformat()]
    return Page[Event](
        items=wanted[:shown],
        returned=shown,
        next_cursor=encode_cursor(kind, position) if more else None,
        truncated=more,
    )


def _filter(
    vc: "Vc",
    machine: Any,
    types: Iterable[str] | None,
    since: datetime | None,
    before: tuple[int, datetime] | None,
) -> Any:
    event = vc.vim.event.EventFilterSpec
    spec = event()
    if machine is not None:
        spec.entity = event.ByEntity(entity=machine, recursion="self")
    if types:
        spec.eventTypeId = list(types)
    if since is not None or before is not None:
        spec.time = event.ByTime(
            beginTime=since, endTime=None if before is None else before[1] + SAME
        )
    return spec


def _newest(vc: "Vc", spec: Any, size: int) -> Iterator[Any]:
    """Events that fit a filter, newest first, read as they are taken; the collector is ended."""
    collector = vc.content.eventManager.CreateCollectorForEvents(spec)
    try:
        step = min(max(size, 100), MAX_READ)
        collector.SetCollectorPageSize(step)
        kind, mo_id = collector._wsdlName, collector._moId
        latest = vc.leaves(kind, mo_id, ("latestPage", "filter")).get("latestPage") or ()
        yield from _by_age(latest)
        if len(latest) < step:
            return
        # The collector reads back from before its latest page.
        collector.ResetCollector()
        for _ in range(MAX_ROUNDS):
            older = collector.ReadPreviousEvents(step)
            if not older:
                return
            yield from _by_age(older)
    finally:
        collector.DestroyCollector()


def _by_age(events: Iterable[Any]) -> list[Any]:
    return sorted(events, key=lambda event: event.key, reverse=True)


_TARGETS = ("vm", "host", "computeResource", "ds", "net", "dvs", "datacenter")


def _about(event: Any) -> tuple[str, str] | None:
    """The name and the ID of the most special thing that an event is about."""
    for member in _TARGETS:
        argument = getattr(event, member, None)
        if argument is None:
            continue
        ref = getattr(argument, member, None) or getattr(argument, _LONG.get(member, ""), None)
        return str(argument.name), "" if ref is None else ref._moId
    return None


_LONG = {"ds": "datastore", "net": "network"}


def _position(position: Any) -> tuple[int, datetime]:
    match position:
        case [int(key), str(at)]:
            try:
                return key, datetime.fromisoformat(at)
            except ValueError:
                pass
        case _:
            pass
    raise InvalidArgument("cursor is not one that this tool gave out")


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
