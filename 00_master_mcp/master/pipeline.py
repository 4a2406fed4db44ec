"""The way of a call, stage around stage, as DESIGN draws it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from master.approvals.asking.preview import unasked
from master.approvals.service import ApprovalService
from master.audit.seam import AuditBook
from master.call import Stage
from master.catalogue import Catalogue
from master.gathering.gatherer import Gatherer
from master.handles.released import Released
from master.handles.resolving import Handles
from master.policy.seam import Policy
from master.stages.approve import Asking, approved
from master.stages.audit import audited, intended
from master.stages.authorise import authorised
from master.stages.cache import cached
from master.stages.content import checked
from master.stages.forward import forwarded
from master.stages.gather import gathered
from master.stages.hide import hidden
from master.stages.limit import limited
from master.stages.record import recorded
from master.stages.resolve import Limits, resolved
from master.stages.reveal import revealed
from master.stages.shed import shed
from master.stages.sign_in import Credentials, signed_in
from master.stages.steady import steady
from master.stages.unchanged import unchanged
from master.stages.validate import validated
from master.steadiness.parts import Steadiness
from master.upstream.link import Link


@dataclass(frozen=True, slots=True)
class Ways:
    """The way of a call of a client, and that of one that was stored until a person allowed it."""

    of_clients: Stage
    of_stored: Stage
    of_previews: Stage
    """What a person is told of a call beforehand; it only reads, and asks nobody."""


def pipeline(
    *,
    catalogue: Catalogue,
    limits: Limits,
    links: Mapping[str, Link],
    own: Toolbox,
    steadiness: Steadiness,
    metrics: Metrics,
    redactor: Redactor,
    approvals_off: bool,
    policy: Policy,
    approvals: ApprovalService,
    asking: Asking,
    audit: AuditBook,
    handles: Handles,
    released: Released,
    credentials: Credentials,
    gatherer: Gatherer,
    answered: Callable[[Stage], Stage] = lambda inner: inner,
) -> Ways:
    """`answered` stands around the stage that sends: it brings answers to whoever asked."""

    def connected(service: str) -> bool:
        link = links.get(service)
        return link is not None and link.connected

    def told(call: Stage) -> Stage:
        call = audited(hidden(call, released), audit, approvals_off=approvals_off)
        return recorded(call, catalogue, metrics, redactor)

    state, resilience, meters = steadiness.state, steadiness.resilience, steadiness.meters
    call = answered(forwarded(links, own))
    call = steady(call, steadiness.keepers, limits, connected, meters)
    # Within the cache, so that no value is kept in it; and around it, below.
    call = hidden(revealed(call, handles), released)
    call = cached(call, state.cache, resilience, meters)
    looked = checked(unasked(call), resilience)
    call = gathered(call, gatherer)
    call = intended(call, audit, approvals_off=approvals_off)
    call = approved(call, asking, approvals_off=approvals_off)
    # Before a person allows it: what cannot run is not to be decided.
    call = signed_in(call, credentials)
    call = validated(call, asking.fits, approvals_off=approvals_off)
    call = checked(call, resilience)
    call = authorised(call, policy)
    # What was stored was counted when it was asked for; it is authorised once more.
    stored = resolved(unchanged(call, approvals.running.digest), catalogue, limits)
    call = limited(call, state.limits, resilience, meters)
    call = resolved(call, catalogue, limits, policy)
    call = shed(call, steadiness.load, meters, catalogue)
    return Ways(
        of_clients=told(call),
        of_stored=told(stored),
        of_previews=told(resolved(authorised(looked, policy), catalogue, limits)),
    )
