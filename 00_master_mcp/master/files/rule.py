"""How large a file may be and of which type, for one service. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from flotilla import FlotillaError, NotAllowed, TooLarge
from flotilla.resilience import Files

TEXT, BLOB = "text/plain", "application/octet-stream"
"""The types of a text and of bytes that have none."""
EVERY = "*/*"
BESIDE_FILES_BYTES = 64 * 1024
"""What arguments may have beside one file of the largest size."""

_MAX_SHOWN = 80
_WIDEST_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class File:
    """One file as far as it was read: its size in bytes, decoded, and what it says it is.

    It has several types where whoever wrote it said several: which of them counts would be up to
    each reader, so all must be allowed.
    """

    size_bytes: int
    types: Collection[str]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be carried to one service and back."""

    files: Files
    setting: str
    """Where services.yaml says it: `services.cmdb.files`."""
    types: frozenset[str]
    """The allowed patterns in lower case; empty where every type is."""
    free_chars: int
    """A JSON text of so many characters cannot break the rule, whatever is in it; -1: any may."""

    @classmethod
    def of(cls, files: Files, setting: str) -> "Rule":
        types = frozenset(_plain(each) for each in files.allowed_types)
        if EVERY in types:
            return cls(files, setting, frozenset(), files.max_file_size // _WIDEST_CHARACTER)
        return cls(files, setting, types, -1)

    @property
    def most_bytes(self) -> int:
        return self.files.max_file_size

    @property
    def most_arguments_bytes(self) -> int:
        """Of the JSON text of all arguments: one file in base64, and what stands beside it."""
        return self.most_bytes * 4 // 3 + BESIDE_FILES_BYTES

    def allows(self, mime_type: str) -> bool:
        if not self.types:
            return True
        plain = _plain(mime_type)
        kind, slash, _ = plain.partition("/")
        return plain in self.types or (bool(slash) and f"{kind}/*" in self.types)

    def objection(self, file: File) -> FlotillaError | None:
        """TooLarge or NotAllowed for what may not be carried; None for what may."""
        if file.size_bytes > self.most_bytes:
            size = f"{'' if file.whole else 'over '}{file.size_bytes} bytes"
            return TooLarge(
                f"a file ({_shown(file.types)}) of {size} is over the limit of {self.most_bytes}",
                hint=f"services.yaml: {self.setting}.max_file_size sets the limit.",
            )
        if all(map(self.allows, file.types)):
            return None
        return NotAllowed(
            f"a file of type {_shown(file.types)} is not carried; allowed are "
            f"{', '.join(sorted(self.types)) or 'none'}",
            hint=f"services.yaml: {self.setting}.allowed_types lists what is.",
        )


def _plain(mime_type: str) -> str:
    """A MIME type without its parameters, in lower case."""
    return mime_type.partition(";")[0].strip().lower()


def _shown(types: Collection[str]) -> str:
    """Types as they may stand in a message: strangers write them."""
    told = ", ".join(re.sub(r"[^A-Za-z0-9.+*/_-]", "?", _plain(each)) for each in types)
    return told[:_MAX_SHOWN] or "without type"
