"""What happened in a cluster: listEvents.

Events come in the order of their names, so that the newest can only be known when all of them are:
a bounded number is read, the newest first, and the same one told often is one entry.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, Page, Tool, reads
from flotilla.context import Deadline
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.fitting import fitting_page
from k8s.kinds import EVENTS
from k8s.objects import Object, members, number, objects, text
from k8s.parameters import AllNamespaces, ClusterName, Namespace, ObjectName, scope_of

MAX_READ = 2000
CHUNK = 500
MAX_MESSAGE_CHARS = 600


class EventEntry(Model):
    """The same event, told `count` times, last at `last_at`."""

    last_at: str
    type: str
    reason: str
    kind: str
    name: str
    namespace: str | None = None
    message: str
    count: int
    source: str | None = None


class EventPage(Page[EventEntry]):
    """`incomplete`: there are more events than were looked at; ask for fewer."""

    incomplete: bool = False


class Events:
    """Reads events."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("infra.k8s.listEvents", self.list_events, title="List events", untrusted=True),
        )

    async def list_events(
        self,
        context: Context,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        all_namespaces: AllNamespaces = False,
        kind: Annotated[
            str | None,
            Field(max_length=63, pattern="^[A-Za-z]+$", description="Of a `Pod`, `Node`, ..."),
        ] = None,
        name: ObjectName | None = None,
        type: Literal["Normal", "Warning"] | None = None,  # noqa: A002 - the API's own word
        since_s: Annotated[int | None, Field(ge=1, le=604_800)] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> EventPage:
        """List events, the newest first; the same one told often is one entry with its count.

        Of one namespace, or of all with allNamespaces; of one object with kind (as in its manifest)
        and name. At most 2000 events are looked at. Clusters forget events after about an hour.
        """
        client = await self._clusters.client(cluster)
        where = scope_of(namespace, all_namespaces, client.namespace)
        wanted = {"involvedObject.kind": kind, "involvedObject.name": name, "type": type}
        selector = ",".join(f"{key}={value}" for key, value in wanted.items() if value)
        found, incomplete = await read_events(client, where, selector, context.deadline)
        entries = newest_first(found)
        if since_s is not None:
            oldest = (datetime.now(UTC) - timedelta(seconds=since_s)).strftime("%Y-%m-%dT%H:%M:%S")
            entries = [each for each in entries if each.last_at >= oldest]
        page = fitting_page("k8s_events", entries, limit=limit, cursor=cursor)
        return EventPage(**dict(page), incomplete=incomplete)


async def read_events(
    cluster: Cluster, namespace: str | None, selector: str, due: Deadline, most: int = MAX_READ
) -> tuple[list[Object], bool]:
    """At most so many events, and whether there are more."""
    found: list[Object] = []
    more = ""
    while len(found) < most:
        query = {"limit": CHUNK, "fieldSelector": selector or None, "continue": more or None}
        answer = await cluster.request("GET", EVENTS.path(namespace), due=due, query=query)
        found += objects(members(answer).get("items"))
        more = text(members(answer, "metadata").get("continue"))
        if not more:
            return found, False
    return found[:most], True


def newest_first(events: Iterable[Object]) -> list[EventEntry]:
    """Events as entries, those that say the same of the same object as one. Pure."""
    found: dict[tuple[str, ...], EventEntry] = {}
    for event in events:
        entry = _entry(event)
        key = (entry.type, entry.reason, entry.kind, entry.namespace or "", entry.name)
        key = (*key, entry.message)
        known = found.get(key)
        if known is not None:
            last_at = max(known.last_at, entry.last_at)
            count = known.count + entry.count
            entry = entry.model_copy(update={"last_at": last_at, "count": count})
        found[key] = entry
    return sorted(found.values(), key=lambda entry: entry.last_at, reverse=True)


def _entry(event: Object) -> EventEntry:
    about, meta = members(event, "involvedObject"), members(event, "metadata")
    series = members(event, "series")
    last_at = (
        text(series.get("lastObservedTime"))
        or text(event.get("lastTimestamp"))
        or text(event.get("eventTime"))
        or text(meta.get("creationTimestamp"))
    )
    source = text(event.get("reportingComponent")) or text(
        members(event, "source").get("component")
    )
    return EventEntry(
        last_at=last_at,
        type=text(event.get("type")),
        reason=text(event.get("reason")),
        kind=text(about.get("kind")),
        name=text(about.get("name")),
        namespace=text(about.get("namespace")) or None,
        message=text(event.get("message")).strip()[:MAX_MESSAGE_CHARS],
        count=number(series.get("count")) or number(event.get("count")) or 1,
        source=source or None,
    )
