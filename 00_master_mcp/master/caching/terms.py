"""Which calls a kept result may answer, and for how long one is kept. Pure."""

from flotilla import meta
from flotilla.names import namespace_of
from flotilla.resilience import Resilience
from flotilla.tool import MAX_TTL_S
from master.call import Call
from master.catalogue import Entry

_KNOWN = frozenset({"name", "arguments", "_meta"})
"""A call with other members means more than its arguments say: an answer to a question, a task."""


def kept_s(entry: Entry, settings: Resilience) -> float:
    """For how many seconds a result of the tool may be given again; 0.0: not at all.

    services.yaml goes before what the tool says; what an external server says counts for nothing.
    """
    said = settings.cache.get(entry.name)
    if said is None:
        said = 0.0 if entry.origin.external else _said_s(entry)
    # Last, since most tools say nothing and this is asked for every call.
    return said if said and entry.only_reads and not entry.needs_approval else 0.0


def may_hold(entry: Entry, settings: Resilience) -> bool:
    """Whether results may be kept in the tool's group: an external server has none unasked."""
    return not entry.origin.external or bool(settings.cache)


def is_plain(call: Call) -> bool:
    """Whether the call asks for what its arguments say and for nothing else."""
    return call.params.keys() <= _KNOWN


def group_of(entry: Entry) -> str:
    """What a call that may write drops as one: the tool's namespace, `ext.<server>` outside."""
    return namespace_of(entry.name)


def _said_s(entry: Entry) -> float:
    ttl_ms = meta.marks_of(entry.listed).get(meta.TTL_MS)
    if not isinstance(ttl_ms, (int, float)) or not 0 < ttl_ms <= MAX_TTL_S * 1000:
        return 0.0
    return ttl_ms / 1000
