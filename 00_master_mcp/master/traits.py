"""What a tool's annotations allow; what is missing means that it writes and is not to be repeated.

Source: MCP 2026-07-28, ToolAnnotations. A prompt, a resource and a completion are only read.
"""

from collections.abc import Mapping
from typing import Any

from flotilla import meta
from master.catalogue import Entry


def only_reads(entry: Entry) -> bool:
    """Whether a call of it changes nothing."""
    return entry.kind != "tools" or _hints(entry).get("readOnlyHint") is True


def may_be_repeated(entry: Entry) -> bool:
    """Whether a second call does no more than the first."""
    return only_reads(entry) or _hints(entry).get("idempotentHint") is True


def _hints(entry: Entry) -> Mapping[str, Any]:
    return meta.members(entry.listed.get("annotations"))
