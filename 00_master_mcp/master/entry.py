"""One thing that a service offers, whose it is, and which part of the fleet a client sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flotilla import meta
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

    @property
    def upstream_name(self) -> str:
        return self.given or self.name

    @property
    def needs_approval(self) -> bool:
        if self.kind != "tools":
            return False
        if not self.origin.external:
            return self._marks.get(meta.APPROVAL) == "required"
        if self.origin.approval != "destructive":
            return self.origin.approval == "always"
        return self.hints("destructiveHint")

    @property
    def is_long(self) -> bool:
        return self._marks.get(meta.LONG) is True

    @property
    def missing_settings(self) -> str | None:
        """What to set before it can work, None where nothing is missing."""
        missing = self._marks.get(meta.NOT_CONFIGURED)
        return None if missing is None else str(missing)

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

    @property
    def _marks(self) -> Mapping[str, Any]:
        return {} if self.origin.external else meta.marks_of(self.listed)
