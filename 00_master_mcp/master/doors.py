"""The ways into the hub and, behind them, the way of a call."""

from functools import partial

from flotilla.fleet import HUB
from flotilla.toolbox import Toolbox
from master.approvals.tools import ApprovalTools
from master.audit.query import AuditQuery
from master.audit.reading import Rows
from master.external.servers import ExternalServers
from master.gathering.gatherer import Gatherer
from master.north.door import Door
from master.north.methods import Methods
from master.north.sessions import new_session_id
from master.north.subscriptions import Subscriptions
from master.offer import Offer
from master.others import Others
from master.parts import Parts
from master.pipeline import pipeline
from master.policy.seam import Open
from master.search.tools import ToolSearch, own_listing
from master.services import Services
from master.workers.lent import Lent, lent_way
from master.workers.questions import answered_where_asked

INSTRUCTIONS = (
    "Flotilla operates infrastructure through many services behind this one endpoint. Tool names "
    "are category_subcategory_action. Errors carry a stable code, a hint and a correlationId."
)


def doors(parts: Parts, external: Others) -> tuple[Door, Lent | None]:
    """That of clients; and that of the hub's other processes, where there are any to lend to."""
    catalogue, colleagues, by_service = parts.catalogue, parts.colleagues, parts.links.by_service

    def limits(service: str) -> tuple[float, float]:
        if (known := external.limits(service)) is not None:
            return known
        entry = parts.fleet.service(service)
        return entry.timeout_s, entry.long_timeout_s

    here = external.linked if isinstance(external, ExternalServers) else ()
    answered = partial(answered_where_asked, colleagues=colleagues, here=here)
    ways = pipeline(
        catalogue=catalogue,
        limits=limits,
        links=by_service,
        own=own_tools(parts),
        steadiness=parts.steadiness,
        metrics=parts.metrics,
        redactor=parts.redactor,
        approvals_off=parts.settings.approvals == "off",
        policy=parts.policy,
        audit=parts.audit,
        handles=parts.handles,
        released=parts.released,
        credentials=parts.outbound,
        gatherer=Gatherer(parts.operations, catalogue, parts.policy, parts.audit),
        approvals=parts.approvals,
        asking=parts.asking,
        answered=answered,
    )
    parts.runs.way = ways.of_stored
    parts.asking.previews.way = ways.of_previews
    methods = partial(
        Methods,
        catalogue=catalogue,
        subscriptions=Subscriptions(parts.links.watch, parts.links.watched),
        log_level=parts.links.log_level,
        drain=parts.drain,
        redactor=parts.redactor,
        instructions=INSTRUCTIONS,
        consent_s=parts.approval_settings.client_wait_s,
    )
    door = Door(
        methods(answer=ways.of_clients, policy=parts.policy, audit=parts.audit),
        catalogue,
        lambda: colleagues.named(new_session_id()),
    )
    parts.metrics.watch(
        HUB, running=lambda: parts.drain.running, sessions=lambda: door.open_sessions
    )
    if not isinstance(external, ExternalServers) or colleagues.place.alone:
        return door, None
    # Their clients' process has judged already; to it the list is whole.
    way = lent_way(by_service, catalogue, limits, answered, parts.outbound)
    brought = methods(answer=way, policy=Open())
    return door, Lent(colleagues.tag, external, brought, catalogue, by_service)


def own_tools(parts: Parts) -> Toolbox:
    """The hub's own tools, which are in its catalogue like everybody's."""
    overview = Services(
        fleet=parts.fleet,
        links=parts.links.by_service,
        catalogue=parts.catalogue,
        metrics=parts.metrics,
        steadiness=parts.steadiness,
    )
    search = ToolSearch(parts.catalogue, parts.policy)
    audit = AuditQuery(Rows(parts.database), parts.audit_settings.readers)
    approvals = ApprovalTools(parts.approvals)
    tools = (*overview.tools(), *search.tools(), *audit.tools(), *approvals.tools())
    own = Toolbox(tools, parts.redactor)
    parts.catalogue.offer(HUB, Offer({"tools": tuple(own_listing(own))}, {"tools": {}}))
    return own
