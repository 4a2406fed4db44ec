"""`config/profiles.yaml`: what each kind of client is shown of the fleet, and under which names.

A profile fits a client, it guards nothing: who may call what is for policy to say.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flotilla.settings import Misconfigured

Naming = Literal["safe", "dotted"]

DEFAULT = "default"
"""The profile that `/mcp` shows."""
DEFAULT_FILE = "profiles.yaml"
SEARCH, DESCRIBE, CALL = "master.tools.search", "master.tools.describe", "master.tools.call"
FINDERS = (SEARCH, DESCRIBE, CALL)
"""In reach in every profile; listed where little else is."""
MAX_FILE_BYTES = 1024 * 1024

_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_Glob = Annotated[str, Field(min_length=1, max_length=200)]
_T = TypeVar("_T")
_WILD = re.compile(r"[*?\[]")


class Profile(BaseModel):
    """Which tools, under which names, listed or found by searching."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    description: str = Field(default="", max_length=500)
    """Told to the client's model."""
    mode: Literal["list", "search"] = "list"
    """`search` lists the three tools that find the others, and the pinned ones."""
    naming: Naming = "safe"
    include: tuple[_Glob, ...] = ("*",)
    """Patterns of canonical names, `os.linux.*`; the star stands for dots too."""
    exclude: tuple[_Glob, ...] = ()
    read_only: bool = False
    """Only tools that change nothing. An external server's word counts where `include` names the
    tool in full."""
    pinned: tuple[_Glob, ...] = ()
    """Canonical names, listed first and in this order."""

    @model_validator(mode="after")
    def _pins_what_it_has(self) -> "Profile":
        for name in self.pinned:
            if name not in FINDERS and not self.takes(name):
                raise ValueError(f"pinned has {name}, which include and exclude leave out")
        return self

    def takes(self, name: str) -> bool:
        """Whether a canonical name is among those of this profile."""
        return self._included.match(name) is not None and self._excluded.match(name) is None

    def may_list(self, space: str) -> bool:
        """Whether its list of tools may show any whose canonical name begins so (`os.linux.`)."""
        shown = self.pinned if self.mode == "search" else self.include
        return any(_may_match(glob, space) for glob in shown)

    def may_take(self, space: str) -> bool:
        """Whether it may take any tool whose canonical name begins so."""
        return any(_may_match(glob, space) for glob in self.include)

    def arranged(self, tools: Mapping[str, _T]) -> list[_T]:
        """Which of the tools of this profile are listed, in which order; by canonical name."""
        first = dict.fromkeys((*FINDERS, *self.pinned) if self.mode == "search" else self.pinned)
        head = [tools[name] for name in first if name in tools]
        if self.mode == "search":
            return head
        return head + [
            tool for name, tool in tools.items() if name not in first and name not in FINDERS
        ]

    @cached_property
    def _included(self) -> re.Pattern[str]:
        return _any_of(self.include)

    @cached_property
    def _excluded(self) -> re.Pattern[str]:
        return _any_of(self.exclude)


def _any_of(globs: Collection[str]) -> re.Pattern[str]:
    """Matches what one of the patterns does; nothing where there are none."""
    return re.compile("|".join(map(translate, globs)) or r"(?!)")


def _may_match(glob: str, start: str) -> bool:
    """Whether a pattern may match a name that begins so; it errs on that side."""
    literal = _WILD.split(glob, maxsplit=1)[0]
    return literal.startswith(start) or (literal != glob and start.startswith(literal))


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profiles: dict[Annotated[str, Field(pattern=_NAME)], Profile]


class Profiles:
    """The profiles by name; one named `default` is always there."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = {DEFAULT: Profile(), **profiles}

    @classmethod
    def built_in(cls) -> "Profiles":
        """Those of a fleet without a file."""
        return cls({"search": Profile(mode="search", description="Find tools by searching.")})

    @classmethod
    def load(cls, file: Path) -> "Profiles":
        """Read the file, the built-in ones where there is none.

        Misconfigured names the file and the key that is wrong.
        """
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            return cls.built_in()
        except OSError as error:
            raise Misconfigured(f"cannot read {file}: {error.strerror}") from None
        if len(raw) > MAX_FILE_BYTES:
            raise Misconfigured(f"{file} has {len(raw)} bytes; at most {MAX_FILE_BYTES} are read")
        try:
            parsed: Any = yaml.safe_load(raw)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            where = " ".join(str(error).split())
            raise Misconfigured(f"{file} is not valid YAML: {where}") from None
        try:
            return cls(_File.model_validate(parsed).profiles)
        except ValidationError as error:
            raise Misconfigured(f"{file}: {_told(error)}") from None

    def __getitem__(self, name: str) -> Profile:
        return self._profiles[name]

    def __contains__(self, name: object) -> bool:
        return name in self._profiles

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)


def _told(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, mistake['loc'])) or 'the file'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False, include_input=False, include_context=False)
    )
