"""A JSON value checked while it passes, whatever its size. Pure."""

from functools import lru_cache

from flotilla import UpstreamError
from master.streaming import grammar

MAX_DEPTH = 512
MAX_WORD_BYTES = 4400
"""The longest number; Python refuses integers of more than 4300 digits as well."""

_SPACES = b" \t\n\r"
_CONTROLS = bytes(range(32))
_COMMA, _COLON, _QUOTE = b',:"'
_OPENERS = b"[{"
_CACHED_BYTES = 24
_CLOSER_OF = bytes.maketrans(_OPENERS, b"]}")

# Where in the value the next byte stands; plain integers, since this is asked for every token.
_VALUE, _FIRST_VALUE, _NAME, _FIRST_NAME, _COLON_NEXT, _AFTER, _STRING, _NAME_STRING = range(8)


class ValueScanner:
    """Finds the end of one JSON value and checks every byte up to there.

    It keeps nothing of the value but which containers are open. UpstreamError says what is wrong.
    UTF-8 is not its business.
    """

    def __init__(self) -> None:
        self._open = bytearray()
        """The kinds of the containers that are open, innermost last."""
        self._next = _VALUE
        self.done = False

    def scan(self, data: bytes, at: int) -> int:
        """How far the value goes in `data`; `done` when that is its end.

        Else the bytes from there on (at most MAX_WORD_BYTES) must come again with more behind them.
        """
        end = len(data)
        while True:
            if self._next == _AFTER:
                at = self._after(data, at)
                if self._next == _AFTER and not self._open:
                    self.done = True
                    return at
            if self._next < _STRING and at < end and data[at] in _SPACES:
                at = skip_space(data, at)
            if at == end:
                return at
            before, state = at, self._next
            at = self._token(data, at)
            if at == before and self._next == state:
                return at

    def _after(self, data: bytes, at: int) -> int:
        """Past all that can be taken in large steps after a value."""
        opened = self._open
        while opened:
            kind = opened[-1]
            shallow = len(opened) + grammar.NESTED <= MAX_DEPTH
            further = (grammar.FURTHER if shallow else grammar.FURTHER_SCALARS)[kind]
            taken = further.match(data, at)
            if taken is None:
                return at
            at, turn = taken.end(), taken.lastindex
            if turn is None:
                return at
            if turn == 1:
                # The same as `_close`, for what is nearly always so.
                run = taken[1]
                if opened.endswith(run[::-1]):
                    del opened[-len(run) :]
                else:
                    at = self._close(run, data, taken.start(1))
                continue
            self._enter(taken[2], taken[3])
            if turn == 2:
                return at
            self._next = _AFTER
        return at

    def _token(self, data: bytes, at: int) -> int:
        """Past one token; the same position when the rest of it has not come yet."""
        byte, state = data[at], self._next
        if state >= _STRING:
            return self._string(data, at)
        if state <= _FIRST_VALUE:
            return self._value(data, at, byte)
        if state == _AFTER and byte == _COMMA:
            self._next = _VALUE if self._open[-1] == grammar.LIST else _NAME
        elif state == _COLON_NEXT and byte == _COLON:
            self._next = _VALUE
        elif state in (_NAME, _FIRST_NAME) and byte == _QUOTE:
            self._next = _NAME_STRING
        elif state == _FIRST_NAME and byte == grammar.OBJECT:
            return self._close(b"}", data, at)
        else:
            raise malformed("a list or an object does not go on as one")
        return at + 1

    def _value(self, data: bytes, at: int, byte: int) -> int:
        if byte == _QUOTE:
            self._next = _STRING
            return at + 1
        if byte in _OPENERS:
            return self._container(data, at, byte)
        if byte == grammar.LIST and self._next == _FIRST_VALUE:
            return self._close(b"]", data, at)
        word = grammar.WORD.match(data, at) or grammar.HALF_WORD.match(data, at)
        if word is None:
            raise malformed("a value is missing")
        if word.end() - at > MAX_WORD_BYTES:
            raise malformed("a number is too long")
        if word.re is grammar.WORD:
            self._next = _AFTER
            return word.end()
        if word.end() < len(data):
            raise malformed("a value is none that JSON has")
        return at

    def _container(self, data: bytes, at: int, byte: int) -> int:
        if len(self._open) + grammar.NESTED <= MAX_DEPTH:
            whole = grammar.VALUE.match(data, at)
            if whole is not None:
                self._next = _AFTER
                return whole.end()
        entered = grammar.ENTERED.match(data, at)
        if entered is None:
            self._enter(data[at : at + 1], None)
            self._next = _FIRST_VALUE if byte == _OPENERS[0] else _FIRST_NAME
            return at + 1
        self._enter(entered[1], entered[2])
        if entered.lastindex == 2:
            self._next = _AFTER
        return entered.end()

    def _enter(self, text: bytes, first: bytes | None) -> None:
        opened = self._open
        opened += _closers_of(text) if len(text) < _CACHED_BYTES else _find_closers_of(text)
        deep = len(opened) >= MAX_DEPTH and first is not None and first[0] in _OPENERS
        if deep or len(opened) > MAX_DEPTH:
            raise malformed(f"it nests deeper than {MAX_DEPTH}")
        self._next = _FIRST_VALUE if opened[-1] == grammar.LIST else _VALUE

    def _close(self, run: bytes, data: bytes, at: int) -> int:
        """Past those of the closers that stand from `at` on which close something of this value."""
        self._next = _AFTER
        if self._open.endswith(run[::-1]):
            del self._open[-len(run) :]
            return at + len(run)
        # There are spaces in it, or brackets that belong to whoever reads around this value.
        closers = run.translate(None, _SPACES)
        count = min(len(closers), len(self._open))
        if bytes(self._open[: -count - 1 : -1]) != closers[:count]:
            raise malformed("its brackets do not match")
        del self._open[-count:]
        if count == len(closers):
            return at + len(run)
        for _ in range(count):
            at = skip_space(data, at) + 1
        return at

    def _string(self, data: bytes, at: int) -> int:
        quote, end = data.find(b'"', at), len(data)
        until = end if quote < 0 else quote
        if data.find(b"\\", at, until) < 0:
            # Most long strings: two searches and a count, several times as fast as the pattern.
            text = data[at:until]
            if len(text.translate(None, _CONTROLS)) < len(text):
                raise malformed("a string holds a control character")
            at = until
        elif (inside := grammar.INSIDE.match(data, at)) is not None:
            at = inside.end()
        if at == end:
            return at
        if data[at] == _QUOTE:
            self._next = _COLON_NEXT if self._next == _NAME_STRING else _AFTER
            return at + 1
        if grammar.HALF_ESCAPE.fullmatch(data, at) is None:
            raise malformed("a string holds what no string may hold")
        return at


def _find_closers_of(openers: bytes) -> bytes:
    if b'"' in openers:
        openers = grammar.STRING.sub(b"", openers)
    return openers.translate(_CLOSER_OF, b" \t\n\r:")


_closers_of = lru_cache(maxsize=1024)(_find_closers_of)


def malformed(why: str) -> UpstreamError:
    return UpstreamError(f"the service sent something that is no JSON-RPC message: {why}")


def skip_space(data: bytes, at: int) -> int:
    spaces = grammar.SPACE.match(data, at)
    return at if spaces is None else spaces.end()
