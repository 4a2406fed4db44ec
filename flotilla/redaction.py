"""What must never be read outside: known secrets by value, and everything shaped like one. Pure."""

import json
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, cast

import orjson

from flotilla.known_values import Known
from flotilla.known_values import forms_of as forms_of
from flotilla.secret_shapes import may_have_shapes, names_a_secret, without_shapes

REDACTED = "[redacted]"


class Redactor:
    """Replaces secrets in text and in JSON by `[redacted]`: known values and what looks like one.

    One serves a whole process, its log too: what one part learns, none tells.
    """

    def __init__(self, secrets: Iterable[str] = (), clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._for_good: frozenset[str] = frozenset()
        self._passing: dict[str, float] = {}
        self._known = Known()
        self.learn(secrets)

    @property
    def known(self) -> Known:
        """All values that are known just now."""
        return self._known

    def learn(self, secrets: Iterable[str]) -> None:
        """From now on these values are known too, for good."""
        known = self._for_good.union(secrets)
        if known != self._for_good:
            self._for_good = known
            self._look_for_all()

    def learn_for(self, secrets: Iterable[str], seconds: float) -> None:
        """These values are known for so long at least, from now."""
        now = self._clock()
        for secret in secrets:
            self._passing[secret] = max(now + seconds, self._passing.get(secret, now))
        if self._known.secrets.issuperset(self._passing):
            return
        self._passing = {each: until for each, until in self._passing.items() if until >= now}
        self._look_for_all()

    @property
    def passing(self) -> int:
        """How many values are known for a while alone."""
        return len(self._passing)

    def _look_for_all(self) -> None:
        self._known = Known(self._for_good.union(self._passing))

    def text(self, text: str) -> str:
        if self._known.may_be_in(text):
            text = self._known.hidden(text, REDACTED)
        return without_shapes(text, REDACTED)

    def data(self, value: Any) -> Any:
        """The same JSON with every string in it redacted, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            members = cast("dict[Any, Any]", value).items()
            return {self.data(key): self._member(key, inner) for key, inner in members}
        if isinstance(value, (list, tuple)):
            return [self.data(inner) for inner in cast("list[Any]", value)]
        return value

    def _member(self, name: Any, value: Any) -> Any:
        if isinstance(value, str):
            if isinstance(name, str) and names_a_secret(name, value):
                return REDACTED
            return self.text(value)
        return self.data(value)

    def json(self, value: Any) -> str:
        """The JSON text of `value` with every string in it redacted, keys too.

        What JSON does not know stands there as its `str`.
        """
        try:
            text = orjson.dumps(value, default=str).decode()
        except TypeError:
            # Half a surrogate pair, a number beyond 64 bits, a key that is no string.
            return json.dumps(self.data(json.loads(json.dumps(value, default=str))))
        # What is in a string is in the string as JSON writes it, but for what it escapes.
        if not may_have_shapes(text) and not self._known.may_be_in(text):
            return text
        return orjson.dumps(self.data(orjson.loads(text))).decode()


def without(value: Any, known: Known) -> Any:
    """The same JSON without these values, in keys too."""
    if isinstance(value, str):
        return known.hidden(value, REDACTED)
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value).items()
        return {without(key, known): without(inner, known) for key, inner in members}
    if isinstance(value, list):
        return [without(inner, known) for inner in cast("list[Any]", value)]
    return value
