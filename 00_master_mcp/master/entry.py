"""One thing that a service offers, whose it is, and which part of the fleet a client sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flotilla import meta
from flotilla.json_text import to_json
from flotilla.secret_text import MARK
from master.offer import Kind, Listed
from master.profiles import DEFAULT, Naming

Approval = Literal["always", "destructive", "never"]


@dataclass(frozen=True, slots=True)
class View:
    """What one URL shows: what a profile takes of all services, or one service alone and whole."""

    naming: Naming = "safe"
    service: str | None = None
    profile: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose offers these are, and so how they are named and how far they are trusted."""

    namespaces: frozenset[str] = frozenset()
    external: bool = False
    """Somebody else's server: its names stand below `ext.<server>`, its marks count for nothing."""
    approval: Approval = "destructive"
    """Of an external server: which of its tools wait for a person."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template of one service.

    `name` is the canonical name (of a resource its URI), `given` what its server calls it, `listed`
    its form in the server's list.
    """

    name: str
    service: str
    listed: Listed
    kind: Kind = "tools"
    given: str = ""
    safe: str = ""
    origin: Origin = Origin()
    declares_headers: bool = False
    """Its input schema has members that a client repeats in `Mcp-Param-*` headers."""

    needs_approval: bool = field(init=False, compare=False)
    is_long: bool = field(init=False, compare=False)
    missing_settings: str | None = field(init=False, compare=False)
    """What to set before it can work, None where nothing is missing."""
    only_reads: bool = field(init=False, compare=False)
    """A call of it changes nothing. A prompt, a resource and a completion are only read."""
    may_be_repeated: bool = field(init=False, compare=False)
    """A second call does no more than the first."""
    takes_secrets: bool = field(init=False, compare=False)
    """Some of its arguments are secrets, in whose place a handle may stand."""

    def __post_init__(self) -> None:
        # Worked out once: every call asks for them. What is not said means the worse.
        marks: Mapping[str, Any] = {} if self.origin.external else meta.marks_of(self.listed)
        missing = marks.get(meta.NOT_CONFIGURED)
        only_reads = self.kind != "tools" or self.hints("readOnlyHint")
        found: Mapping[str, Any] = {
            "needs_approval": self.kind == "tools" and self._waits(marks),
            "is_long": marks.get(meta.LONG) is True,
            "missing_settings": None if missing is None else str(missing),
            "only_reads": only_reads,
            "may_be_repeated": only_reads or self.hints("idempotentHint"),
            "takes_secrets": self.kind == "tools" and not self.origin.external and self._marks(),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def upstream_name(self) -> str:
        return self.given or self.name

    def hints(self, annotation: str) -> bool:
        """Whether the tool's server says so of it (`readOnlyHint`); what it leaves out is no."""
        return meta.members(self.listed.get("annotations")).get(annotation) is True

    def shown_name(self, view: View) -> str:
        """Its name in a view."""
        if view.naming == "safe":
            return self.safe
        if view.service is not None and self.origin.external:
            return self.given
        return self.name

    def _marks(self) -> bool:
        """Whether its input schema marks anything as a secret."""
        return MARK.encode() in to_json(self.listed.get("inputSchema"))

    def _waits(self, marks: Mapping[str, Any]) -> bool:
        """Whether a person must say yes first."""
        if not self.origin.external:
            return marks.get(meta.APPROVAL) == "required"
        if self.origin.approval != "destructive":
            return self.origin.approval == "always"
        return self.hints("destructiveHint")
