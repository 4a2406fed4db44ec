"""The members of `_meta` that are ours; all start with `io.flotilla/`."""

from collections.abc import Mapping
from typing import Any, cast

NAME = "io.flotilla/name"
"""A listed tool's canonical name."""
APPROVAL = "io.flotilla/approval"
"""A listed tool: `required` where a person must say yes."""
PREVIEW = "io.flotilla/preview"
"""A listed tool: the read-only tool of its service that says beforehand what a call would do, as
`{"tool": name, "taken": {parameter: argument}, "fixed": {parameter: value}}`, or with `operation`
in the place of `tool` what the hub alone may have it do for that."""
GATHERS = "io.flotilla/gathers"
"""A listed tool that takes what another service's source sees: the argument that names the source
and the operations by which the hub brings it, as `flotilla.tool.Gathers` has them."""
RISK = "io.flotilla/risk"
"""A listed tool: what there is to lose, in a few words for the person who is asked."""
COST = "io.flotilla/cost"
"""A listed tool: what a call costs, in a few words for the person who is asked."""
LONG = "io.flotilla/long"
"""A listed tool that may take minutes."""
TTL_MS = "io.flotilla/ttlMs"
"""A listed tool whose results may be kept: for how many milliseconds, for the principal that asked
and the same arguments."""
CACHE = "io.flotilla/cache"
"""A result that was not made for this call: `{"hit": true, "ageMs": 1200}` where it was kept from
an earlier one, `{"joined": true}` where it answers several that came at once."""
STALE = "io.flotilla/stale"
"""A listed tool whose service is away just now."""
UNTRUSTED = "io.flotilla/untrusted"
"""A result written by strangers."""
ERROR = "io.flotilla/error"
"""A tool error as an object: code, message, hint, correlationId, retryable."""
WITHHELD = "io.flotilla/withheld"
"""A result: how many files of it were left out."""
CORRELATION_ID = "io.flotilla/correlationId"
"""A call and its result: the ID under which every log line of it stands."""
TIMEOUT_MS = "io.flotilla/timeoutMs"
"""A call: how many milliseconds its caller still waits."""
NOT_CONFIGURED = "io.flotilla/notConfigured"
"""A listed tool whose service lacks its settings; the value says what to set."""


def members(value: Any) -> Mapping[str, Any]:
    """`value` where it is a JSON object, else an empty one: strangers may send anything."""
    # What was read from JSON is a dict, and to ask for that costs a tenth of asking for a Mapping.
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101
        return cast("Mapping[str, Any]", value)
    return {}


def marks_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `_meta` of a tool, a request's params or a result."""
    return members(message.get("_meta"))
