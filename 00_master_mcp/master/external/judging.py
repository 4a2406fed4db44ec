"""The rug-pull guard's judgement: which tools of a listing are offered, and which wait. Pure.

Trust on first use: what a server offers when it is first met is offered and remembered, unless the
scan finds something severe in it; from then on only that. The person who adds a server is the one
who judges its first listing. Held back is a tool whose definition changed, or in which something
severe was found, until exactly that definition is accepted.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from flotilla import Model
from flotilla.sizes import strip_invisible
from master.external.scan import Finding, scan, shown

PARTS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What a model reads of a tool, or the fleet decides by."""
MAX_KEPT_BYTES = 64 * 1024
"""Of a definition, to show later what changed; of a larger one only the digest is kept."""
MAX_CHANGES = 50
_MAX_SHOWN = 500
_NOTHING = object()
"""Where there is no such member, which is not the same as one that is null."""


class Change(Model):
    """One part of a tool that is not what it was; None where there was, or is, nothing."""

    part: str
    old: str | None
    new: str | None


class Held(Model):
    """A tool that is not offered: why, and what a person needs to decide."""

    server: str
    tool: str
    digest: str
    reason: Literal["changed", "suspicious", "ambiguous"]
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a tool: its digest, and the definition if that was small enough."""

    digest: str
    parts: Mapping[str, Any] | None
    accepted: bool = False
    """A person has read it, findings and all."""


@dataclass(frozen=True)
class Reviewed:
    """What a server's listing comes to."""

    offered: tuple[dict[str, Any], ...]
    """Whole definitions, without invisible characters; the names are as the server has them."""
    held: tuple[Held, ...]
    notices: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict[str, Any])
    """Findings in tools that are offered, by the tool's name."""
    learned: Mapping[str, Known] = field(default_factory=dict[str, Known])
    """What is now remembered for the first time."""

    def without_learned(self) -> "Reviewed":
        """The same with nothing offered that was not known before."""
        offered = tuple(tool for tool in self.offered if tool["name"] not in self.learned)
        notices = {name: each for name, each in self.notices.items() if name not in self.learned}
        return Reviewed(offered, self.held, notices)


def judge(
    server: str,
    tools: Sequence[Mapping[str, Any]],
    known: Mapping[str, Known],
    foreign: Collection[str] = (),
) -> Reviewed:
    """Decide on a listing by what is remembered of the server; pure.

    `foreign` are the names of other servers' tools. What has no name is left out, and a name that
    stands for two different tools is held back.
    """
    named = [tool for tool in tools if isinstance(tool.get("name"), str)]
    own = {str(tool["name"]) for tool in named}
    offered: dict[str, dict[str, Any]] = {}
    held: dict[str, Held] = {}
    notices: dict[str, tuple[Finding, ...]] = {}
    learned: dict[str, Known] = {}
    digests: dict[str, str] = {}
    for tool in named:
        name, digest = str(tool["name"]), digest_of(tool)
        if digests.setdefault(name, digest) != digest:
            offered.pop(name, None)
            learned.pop(name, None)
            held[name] = Held(server=server, tool=name, digest=digest, reason="ambiguous")
            continue
        if name in held or name in offered:
            continue
        findings = scan(tool, own, foreign)
        reason = _reason(digest, known.get(name), findings)
        if reason is not None:
            changes = _changes(known.get(name), tool)
            held[name] = Held(
                server=server,
                tool=name,
                digest=digest,
                reason=reason,
                changes=changes,
                findings=findings,
            )
            continue
        offered[name] = {**_visible(dict(tool)), "name": name}
        if findings:
            notices[name] = findings
        if name not in known:
            learned[name] = Known(digest, parts_of(tool))
    return Reviewed(tuple(offered.values()), tuple(held.values()), notices, learned)


def _reason(
    digest: str, known: Known | None, findings: Sequence[Finding]
) -> Literal["changed", "suspicious"] | None:
    if known is not None and known.digest != digest:
        return "changed"
    severe = any(finding.severity == "severe" for finding in findings)
    # Also for one that is known: a newer scan may see what an older one did not.
    return "suspicious" if severe and not (known and known.accepted) else None


def digest_of(tool: Mapping[str, Any]) -> str:
    """The SHA-256 of a tool's definition as canonical JSON, in hexadecimal."""
    told = {part: tool[part] for part in PARTS if tool.get(part) is not None}
    return hashlib.sha256(_canonical(told).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def parts_of(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is kept of a definition, None when it is too large."""
    told = {part: tool[part] for part in PARTS if tool.get(part) is not None}
    return told if len(json.dumps(told)) <= MAX_KEPT_BYTES else None


def changes_between(old: Any, new: Any, part: str = "") -> list[Change]:
    """What differs, leaf by leaf, as `inputSchema.properties.path.description`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new)
        keys = [*before, *(key for key in after if key not in before)]
        return [
            change
            for key in keys
            for change in changes_between(
                before.get(key, _NOTHING),
                after.get(key, _NOTHING),
                f"{part}.{shown(key)}" if part else shown(key),
            )
        ]
    # By the text, since to Python 1 and True are equal.
    if old is not _NOTHING and new is not _NOTHING and _canonical(old) == _canonical(new):
        return []
    return [Change(part=part, old=_told(old), new=_told(new))]


def _changes(known: Known | None, tool: Mapping[str, Any]) -> tuple[Change, ...]:
    if known is None or known.digest == digest_of(tool):
        return ()
    if known.parts is None:
        return (Change(part="definition", old=f"SHA-256 {known.digest}", new=None),)
    now = {part: tool[part] for part in PARTS if tool.get(part) is not None}
    return tuple(changes_between(known.parts, now)[:MAX_CHANGES])


def _told(value: Any) -> str | None:
    if value is _NOTHING:
        return None
    text = shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"


def _visible(value: Any) -> Any:
    """The same JSON without invisible characters in any text, names of members included."""
    if isinstance(value, str):
        return strip_invisible(value)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {strip_invisible(key): _visible(inner) for key, inner in members}
    if isinstance(value, list):
        return [_visible(inner) for inner in cast("list[Any]", value)]
    return value
