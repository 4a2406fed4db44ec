"""What a server says on standard error, into the logs: redacted, cut, and a few lines a second."""

from collections.abc import Callable
from time import monotonic

import structlog

from flotilla.redaction import Redactor
from master.external.lines import LineSplitter, TooLong

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 4096
BURST_LINES = 100
LINES_PER_S = 20.0
KEPT_LINES = 5
"""Of the last ones, to tell why a server ended."""


class StderrLog:
    """Takes the bytes of one server's standard error; `event="external_stderr"` in the logs.

    After a burst of 100 lines 20 a second are logged; how many were left out is logged with the
    next one.
    """

    def __init__(
        self, server: str, redactor: Redactor, clock: Callable[[], float] = monotonic
    ) -> None:
        self._server = server
        self._redactor = redactor
        self._clock = clock
        self._lines = LineSplitter(MAX_LINE_BYTES)
        self._allowance = float(BURST_LINES)
        self._at = clock()
        self._left_out = 0
        self._last: list[str] = []

    def take(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._log(line)

    def end(self) -> None:
        """The stream has ended; a last line without a line break is logged as well."""
        if (line := self._lines.end()) is not None:
            self._log(line)
        if self._left_out:
            log.warning("external_stderr_left_out", server=self._server, lines=self._left_out)

    def last_words(self) -> str:
        """The last few lines, redacted, at most 1,000 characters."""
        return " | ".join(self._last)[-1000:]

    def _log(self, said: bytes | TooLong) -> None:
        long = isinstance(said, TooLong)
        raw, cut = (said.beginning, {"bytes": said.length}) if long else (said, {})
        line = self._redactor.text(raw.decode(errors="backslashreplace").rstrip())
        self._last = [*self._last[-KEPT_LINES + 1 :], line]
        now = self._clock()
        self._allowance = min(BURST_LINES, self._allowance + (now - self._at) * LINES_PER_S)
        self._at = now
        if self._allowance < 1:
            self._left_out += 1
            return
        self._allowance -= 1
        more = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        log.info("external_stderr", server=self._server, line=line, **cut, **more)
