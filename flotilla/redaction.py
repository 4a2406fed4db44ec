"""What must never be read outside: known secrets by value, and everything shaped like one. Pure."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote, quote_plus

import orjson

REDACTED = "[redacted]"

_MIN_SECRET_LENGTH = 8
"""Shorter values would redact ordinary words."""

_SHAPES = (
    # A private key in PEM, whole or cut off.
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,}\b"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    re.compile(r"\bflt_[A-Za-z0-9_-]{20,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
)
# The password in scheme://user:password@host.
_URL_PASSWORD = re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]{0,256}:)[^\s/@]{1,512}(?=@)")
_MARKERS = re.compile(r"PRIVATE KEY|AKIA|ASIA|gh[pousr]_|github_pat_|xox|sk-|AIza|flt_|eyJ|://")
_ESCAPE = re.compile("%[0-9A-F]{2}")


class Redactor:
    """Replaces secrets in text and in JSON by `[redacted]`.

    A known value is found as it is, in base64 (at each of the three alignments) and URL-encoded.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._known: re.Pattern[str] | None = None
        self._known_written: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """From now on these values are known too."""
        known = self._secrets.union(secrets)
        if known == self._secrets:
            return
        self._secrets = known
        forms = {form for secret in known for form in forms_of(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = _any_of(longest_first)
        # What JSON escapes, it escapes character by character: a text with a form in it is written
        # with the written form in it.
        self._known_written = _any_of(orjson.dumps(form).decode()[1:-1] for form in longest_first)

    def text(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        if _MARKERS.search(text) is None:
            return text
        for shape in _SHAPES:
            text = shape.sub(REDACTED, text)
        return _URL_PASSWORD.sub(rf"\g<keep>{REDACTED}", text)

    def data(self, value: Any) -> Any:
        """The same JSON with every string in it redacted, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            members = cast("dict[Any, Any]", value).items()
            return {self.data(key): self.data(inner) for key, inner in members}
        if isinstance(value, (list, tuple)):
            return [self.data(inner) for inner in cast("list[Any]", value)]
        return value

    def json(self, value: Any) -> str:
        """The JSON text of `value` with every string in it redacted, keys too.

        What JSON does not know stands there as its `str`.
        """
        try:
            text = orjson.dumps(value, default=str).decode()
        except TypeError:
            # Half a surrogate pair, a number beyond 64 bits, a key that is no string.
            return json.dumps(self.data(json.loads(json.dumps(value, default=str))))
        known = self._known_written
        if _MARKERS.search(text) is None and (known is None or known.search(text) is None):
            return text
        return orjson.dumps(self.data(orjson.loads(text))).decode()


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    pattern = "|".join(map(re.escape, texts))
    return re.compile(pattern) if pattern else None


def forms_of(secret: str) -> Iterable[str]:
    """How a known value may be written: as it is, URL-encoded, in base64; nothing for short ones.

    A form may come more than once.
    """
    if len(secret) < _MIN_SECRET_LENGTH:
        return
    yield secret
    for encoded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield encoded
        # The hexadecimal digits of an escape are as often in lower case.
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded)
    raw = secret.encode()
    for before in range(3):
        # Inside a longer text the bytes before shift the alignment; the characters that mix with
        # neighbours are cut off, the rest is the same whatever stands around.
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        start = (before * 8 + 5) // 6
        whole = (before + len(raw)) * 8 // 6
        core = encoded[start:whole]
        if len(core) >= _MIN_SECRET_LENGTH:
            yield core
            yield core.translate(str.maketrans("+/", "-_"))
