"""One HTTP/1.1 response, read from bytes as they come. Pure: it knows no sockets.

The parser is llhttp, in its strict form; what it leaves open is decided here: which responses end
with the connection, how large a head may be, and whether anything may follow.
"""

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade
from httptools import HttpResponseParser as Parser

from master.upstream.transport.client import MAX_HEAD_BYTES, MAX_HEADERS

MAX_INTERIM = 20
"""Responses of status 1xx before the one that counts."""


class Broken(Exception):
    """What came is no HTTP response that we take."""


class Answer:
    """Fed with bytes until `ended`; what has come of the body is taken out."""

    __slots__ = (
        "_barren",
        "_bodiless",
        "_interim",
        "_open_ended",
        "_parser",
        "_parts",
        "_raw",
        "ended",
        "headed",
        "headers",
        "held",
        "reusable",
        "status",
    )

    def __init__(self, *, bodiless: bool = False) -> None:
        """`bodiless`: the response to HEAD, whose headers speak of a body that does not come."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.headed = False
        """Whether the status and headers are there."""
        self.ended = False
        """Whether all of it has come."""
        self.held = 0
        """Bytes of the body that have come and were not taken."""
        self.reusable = False
        """Once ended: whether its connection can carry another request."""
        self._bodiless = bodiless
        self._open_ended = False
        self._interim = 0
        self._barren = 0
        self._raw: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._parser: Parser | None = Parser(self)

    def feed(self, data: bytes) -> None:
        """Raises Broken."""
        parser = self._parser
        if parser is None:  # it has ended
            self.reusable = False
            return
        held = self.held
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._refuse("it switched to another protocol")
        except HttpParserCallbackError as error:
            self._refuse(str(error.__context__ or error))
        except HttpParserError as error:
            self._refuse(str(error))
        if self.ended:
            # The parser refers to this object: without this, both would wait for the collector.
            self._parser = None
        elif self.held != held:
            self._barren = 0
        else:
            # Heads and trailers are the parser's until they are whole.
            self._barren += len(data)
            if self._barren > MAX_HEAD_BYTES:
                self._refuse("its headers are too large")

    def finish(self) -> bool:
        """The connection has ended; whether the response is whole by that."""
        if self.headed and self._open_ended:
            self.ended = True
        self.drop()
        return self.ended

    def drop(self) -> None:
        """Nothing more will be fed: what has come is no whole response."""
        self._parser = None

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        parts = self._parts
        taken = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.held = 0
        return taken

    def on_message_begin(self) -> None:
        if self.ended:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:  # trailers are nobody's business
            self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        parser, raw = self._parser, self._raw
        if self.ended or parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            self._interim += 1
            if status < 100 or status == 101 or self._interim > MAX_INTERIM:
                raise Broken(f"nobody asked for a status of {status}")
            raw.clear()
            return
        size = 0
        headers = self.headers
        for name, value in raw:
            size += len(name) + len(value)
            key = name.decode("latin-1").lower()
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if size > MAX_HEAD_BYTES or len(raw) > MAX_HEADERS:
            raise Broken("its headers are too large or too many")
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise Broken("it used a transfer coding that was not offered")
        self.status = status
        self.headed = True
        self.reusable = parser.should_keep_alive()
        self._barren = 0
        self._open_ended = coding is None and "content-length" not in headers
        if self._bodiless:
            self.ended = True

    def on_body(self, body: bytes) -> None:
        if self.ended:  # after the answer to HEAD
            self.reusable = False
            return
        self._parts.append(body)
        self.held += len(body)

    def on_message_complete(self) -> None:
        if self.headed:
            self.ended = True

    def _refuse(self, how: str) -> None:
        """Broken, unless the response was whole before it."""
        self.reusable = False
        self._parser = None
        if not self.ended:
            raise Broken(how)
