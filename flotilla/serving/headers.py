"""The headers of a request, read once for the gates and for whatever stands behind them."""

from collections.abc import Iterable

from starlette.types import Scope

HEADERS = "flotilla.headers"
"""Where the ASGI scope of a request holds its `RequestHeaders` once `headers_of` was asked."""


class RequestHeaders(dict[str, str]):
    """The headers by name, in lower case; of one that came twice, the first.

    `lines` holds every header as it came, in order.
    """

    __slots__ = ("lines",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        # httptools leaves the blanks around a value, which are no part of it (RFC 9110 §5.5).
        self.lines = [
            (str(name, "latin-1"), str(value, "latin-1").strip(" \t")) for name, value in raw
        ]
        super().__init__(reversed(self.lines))

    def only(self, name: str) -> str | None:
        """The value of a header that came exactly once."""
        value = self.get(name)
        if value is None or len(self) == len(self.lines):
            return value
        return value if sum(each == name for each, _ in self.lines) == 1 else None


def headers_of(scope: Scope) -> RequestHeaders:
    """The headers of an HTTP request; whoever changes `scope["headers"]` later is not heard."""
    found: RequestHeaders | None = scope.get(HEADERS)
    if found is None:
        found = scope[HEADERS] = RequestHeaders(scope["headers"])
    return found
