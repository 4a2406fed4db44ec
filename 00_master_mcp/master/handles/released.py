"""Values that have left the secrets spoke: from then on nothing in the fleet may show them."""

import asyncio
from collections.abc import Iterable, Mapping

from flotilla.known_values import Known
from flotilla.redaction import Redactor
from master.handles.hidden_text import hidden_texts

KEPT_S = 24 * 3600.0
"""For how long after it was last released a value is looked for."""
MOST_VALUES = 2000
"""Beyond it no further value is released: to forget one instead would let it be read back."""


class Released:
    """What this process must hide, in memory alone; the secrets spoke tells it again at each start.

    While there is nothing, nothing is looked for.
    """

    def __init__(self, redactor: Redactor, most_values: int = MOST_VALUES) -> None:
        """`redactor` is that of the process, which learns them too."""
        self._redactor = redactor
        self._own = Redactor()
        self.whole = asyncio.Event()
        """Not set while values may be out that are not known here: no call goes on meanwhile."""
        self.whole.set()
        self._most_values = most_values

    @property
    def full(self) -> bool:
        return self._own.passing >= self._most_values

    @property
    def known(self) -> Known:
        return self._own.known

    def hidden(self, texts: Mapping[str, str]) -> dict[str, str]:
        """JSON texts without them."""
        known = self._own.known
        return hidden_texts(texts, known) if known else dict(texts)

    def add(self, values: Iterable[str]) -> None:
        """From now on these are known, before anybody else may have them."""
        fresh = list(values)
        self._own.learn_for(fresh, KEPT_S)
        self._redactor.learn_for(fresh, KEPT_S)
