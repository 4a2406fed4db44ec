"""The way of a call, stage around stage: record, resolve, approve, forward."""

from collections.abc import Mapping

from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from master.call import Stage
from master.catalogue import Catalogue
from master.stages.approve import approved
from master.stages.forward import forwarded
from master.stages.record import recorded
from master.stages.resolve import Limits, resolved
from master.upstream.link import Link


def pipeline(
    *,
    catalogue: Catalogue,
    limits: Limits,
    links: Mapping[str, Link],
    own: Toolbox,
    metrics: Metrics,
    redactor: Redactor,
    approvals_off: bool,
) -> Stage:
    call = forwarded(links, own)
    call = approved(call, approvals_off=approvals_off)
    call = resolved(call, catalogue, limits)
    return recorded(call, catalogue, metrics, redactor)
