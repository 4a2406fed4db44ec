"""What people were shown of a session's pages when they were asked, so that nothing else is done.

Whoever is asked twice about one element may have seen two things and allows either: so where two
things were shown of it while an approval may last, neither is done.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from flotilla import Conflict, TooLarge

SHOWN_S = 1800.0
"""An approval is decided and used within this."""
MAX_SHOWN = 100

Key = tuple[str, str, str]
"""How a call named it: reference, selector and tab."""
FORM = "Click its button instead: what it sends is held, and submitForm with that heldId shows it."

_NOTHING, _SEVERAL = "(nothing yet)", "(several)"


@dataclass
class Shown:
    """Of one session. Where nobody was ever asked, approvals are off, and everything goes."""

    clock: Callable[[], float] = monotonic
    _asked: bool = False
    _shown: dict[Key, tuple[float, str]] = field(default_factory=dict[Key, tuple[float, str]])

    def begin(self, key: Key) -> None:
        """Somebody is asked; what they are shown is not known yet. Raises TooLarge."""
        self._asked = True
        now = self.clock()
        self._shown = {at: each for at, each in self._shown.items() if now - each[0] < SHOWN_S}
        if key in self._shown:
            return
        if len(self._shown) >= MAX_SHOWN:
            raise TooLarge(f"a person was shown {MAX_SHOWN} things of this session lately")
        self._shown[key] = (now, _NOTHING)

    def show(self, key: Key, digest: str) -> None:
        """This is what they are shown."""
        _, known = self._shown.get(key, (0.0, _NOTHING))
        same = known in (_NOTHING, digest)
        self._shown[key] = (self.clock(), digest if same else _SEVERAL)

    def check(self, key: Key, digest: str, what: str = "the form", hint: str = FORM) -> None:
        """Raises Conflict unless this was shown, and this alone."""
        if self._asked and self._shown.get(key, (0.0, ""))[1] != digest:
            raise Conflict(
                f"{what} is not as it was when a person was shown it",
                hint=hint,
                details={"reason": "changed"},
            )


def key_of(ref: str | None, selector: str | None, tab: str | None) -> Key:
    return ref or "", selector or "", tab or ""
