"""The host keys that the owner trusts, by alias, in a file of the spoke's own."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from flotilla import Misconfigured, Model


class Pin(Model):
    """The one key that a host may show: its kind and SHA-256 fingerprint (RFC 4253, 8)."""

    algorithm: str
    fingerprint: str
    trusted_at: datetime


_PINS = TypeAdapter(dict[str, Pin])


class Pins:
    """The pins in a file of mode 0600, replaced whole; Misconfigured when it cannot be read.

    A file that is damaged is never taken for an empty one: that would ask the owner to trust anew,
    perhaps somebody else.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pins = self._read()

    def get(self, alias: str) -> Pin | None:
        return self._pins.get(alias)

    def all(self) -> Mapping[str, Pin]:
        return dict(self._pins)

    def put(self, alias: str, pin: Pin) -> None:
        self._save({**self._pins, alias: pin})

    def forget(self, alias: str) -> bool:
        """Whether there was one."""
        if alias not in self._pins:
            return False
        self._save({name: pin for name, pin in self._pins.items() if name != alias})
        return True

    def _read(self) -> dict[str, Pin]:
        try:
            return _PINS.validate_json(self._file.read_bytes(), by_alias=True)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            raise Misconfigured(
                f"{self._file} cannot be read as the list of trusted host keys; restore it, or "
                "remove it and trust each host anew by `python3 -m flotilla hosts trust`"
            ) from None

    def _save(self, pins: dict[str, Pin]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(_PINS.dump_json(pins, by_alias=True, indent=1))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)
        self._pins = pins
