"""What a call shows an external server in its principal's name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flotilla import NotConfigured
from flotilla.redaction import Redactor
from master.handles.released import Released


@dataclass(frozen=True, slots=True)
class Shown:
    """Headers, and what hides their secret in whatever the server says."""

    headers: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)
    hiding: Released = field(repr=False)


class Missing(NotConfigured):
    """A principal has no credentials for a server.

    `by_page`: the person can give them on a page of the hub's.
    """

    def __init__(self, message: str, *, hint: str, reason: str, by_page: bool = False) -> None:
        super().__init__(message, hint=hint, details={"reason": reason})
        self.by_page = by_page


def shown(header: str, prefix: str, secret: str) -> Shown:
    hiding = Released(Redactor())
    hiding.add([secret])
    return Shown({header.lower(): f"{prefix}{secret}"}, secret, hiding)
