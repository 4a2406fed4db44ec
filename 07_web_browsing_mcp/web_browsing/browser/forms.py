"""What the body of a request says, for a person who decides about it. Pure.

Nothing is guessed: a body that does not read as what it says it is is shown as text or, where it is
none, by its size and digest. Values that are secrets are shown by their length alone.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, quote

from flotilla.known_values import forms_of
from flotilla.secret_shapes import names_a_secret

Kind = Literal["none", "form", "json", "text", "binary"]
MAX_FIELDS = 200
MAX_TEXT_CHARS = 12_000
MAX_DEPTH = 20
_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:pass|pin|pin_?code|otp|totp|mfa|2fa|cvv2?|cvc2?|csc|ssn|iban)(?:$|[^a-z])|"
    r"pass_?(?:word|wd|phrase|code)|pwd|secret|token|card_?(?:no|num)|one_?time_?code",
    re.IGNORECASE,
)
# As browsers write them and not otherwise: of what has a second name, boundary or charset the site
# may read the one, and a person would have been shown the other.
_URLENCODED = re.compile(
    r"application/x-www-form-urlencoded(?:\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE
)
_MULTIPART = re.compile(
    r'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE
)
_DISPOSITION = re.compile(
    rb'Content-Disposition: form-data; name="([^"\r\n]*)"'
    rb'(?:; filename="([^"\r\n]*)"(?:\r\nContent-Type: ([!-~ ]*))?)?',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field as it goes out; `value` is text, or what a file holds."""

    name: str
    value: str = ""
    file_name: str | None = None
    mime_type: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field as a person sees it."""

    name: str
    shown: str
    secret: bool = False
    file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """`text` is what there is to read where it has no fields; `whole`: everything is shown."""

    kind: Kind
    size_bytes: int
    digest: str
    fields: tuple[Field, ...] = ()
    text: str = ""
    whole: bool = True

    @property
    def has_secrets(self) -> bool:
        return any(field.secret for field in self.fields)


def body_of(content_type: str, body: bytes, concealed: Collection[str] = ()) -> Body:
    """How a body is shown; `concealed` are values that never are."""
    size, digest = len(body), sha256(body).hexdigest()
    if not body:
        return Body(kind="none", size_bytes=0, digest=digest)
    parts = parts_of(content_type, body)
    if parts is not None:
        fields = tuple(_field(each, concealed) for each in parts[:MAX_FIELDS])
        return Body(
            kind="form",
            size_bytes=size,
            digest=digest,
            fields=fields,
            whole=len(parts) <= MAX_FIELDS,
        )
    text = _text(body)
    if text is None:
        return Body(kind="binary", size_bytes=size, digest=digest, whole=False)
    if (value := _json(text)) is not None:
        leaves = list(_leaves(value[0]))
        fields = tuple(shown(name, leaf, concealed) for name, leaf in leaves[:MAX_FIELDS])
        whole = len(leaves) <= MAX_FIELDS
        return Body(kind="json", size_bytes=size, digest=digest, fields=fields, whole=whole)
    return Body(
        kind="text",
        size_bytes=size,
        digest=digest,
        text=without(text, concealed)[:MAX_TEXT_CHARS],
        whole=len(text) <= MAX_TEXT_CHARS,
    )


def parts_of(content_type: str, body: bytes) -> list[Part] | None:
    """The fields of a form as HTML's forms are encoded; None where it is none, or broken."""
    if _URLENCODED.fullmatch(content_type.strip()):
        return _urlencoded(body)
    found = _MULTIPART.fullmatch(content_type.strip())
    return None if found is None else _multipart(body, (found[1] or found[2]).encode())


def query_of(query: str, concealed: Collection[str] = ()) -> tuple[Field, ...]:
    """The fields that a URL's query carries."""
    parts = _urlencoded(query.encode()) or []
    return tuple(_field(each, concealed) for each in parts[:MAX_FIELDS])


def shown(name: str, value: str, concealed: Collection[str] = (), *, secret: bool = False) -> Field:
    """A field as it may be shown: of a secret only how long it is."""
    is_secret = (
        secret
        or value in concealed
        or names_a_secret(name, value)
        or (bool(value) and _SECRET_NAME.search(name) is not None)
    )
    named = without(name, concealed)
    if is_secret:
        return Field(name=named, shown=f"({len(value)} characters)", secret=True)
    clean = without(value, concealed)
    return Field(name=named, shown=clean, secret=(named, clean) != (name, value))


def without(text: str, concealed: Collection[str]) -> str:
    """The text with what is concealed shown by its length, also where it is written as in a URL, in
    base64 or hexadecimal; what is shorter than 4 is in too many texts to be told apart."""
    for value in sorted(concealed, key=len, reverse=True):
        if len(value) < 4:
            continue
        forms = {value, quote(value, safe="", errors="replace"), *forms_of(value)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, f"({len(value)} characters)")
    return text


def _field(part: Part, concealed: Collection[str]) -> Field:
    if part.file_name is None:
        return shown(part.name, part.value, concealed)
    if not part.file_name and not part.data:
        return Field(name=part.name, shown="(no file)", file=True)
    digest = sha256(part.data).hexdigest()[:16]
    told = f"file {part.file_name!r}, {part.mime_type}, {len(part.data)} bytes, SHA-256 {digest}..."
    return Field(name=without(part.name, concealed), shown=without(told, concealed), file=True)


def _urlencoded(body: bytes) -> list[Part] | None:
    """WHATWG URL, "application/x-www-form-urlencoded parsing"; None for what is not UTF-8."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10_000
        )
    except (UnicodeError, ValueError):
        return None
    return [Part(name=name, value=value) for name, value in pairs]


def _multipart(body: bytes, boundary: bytes) -> list[Part] | None:
    """RFC 7578 as browsers write it, and nothing that reads otherwise."""
    if not body.startswith(b"--" + boundary + b"\r\n"):
        return None
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if pieces[0] or pieces[-1] not in (b"--", b"--\r\n"):
        return None
    parts: list[Part] = []
    for piece in pieces[1:-1]:
        head, cut, data = piece.partition(b"\r\n\r\n")
        part = _part(head, data) if cut and head.startswith(b"\r\n") else None
        if part is None:
            return None
        parts.append(part)
    return parts


def _part(head: bytes, data: bytes) -> Part | None:
    found = _DISPOSITION.fullmatch(head.removeprefix(b"\r\n"))
    if found is None:
        return None
    name, file_name, kind = found.groups()
    try:
        called = _unescaped(name)
        if file_name is None:
            return Part(name=called, value=data.decode())
        mime_type = (kind or b"").decode()
        return Part(name=called, file_name=_unescaped(file_name), mime_type=mime_type, data=data)
    except UnicodeError:
        return None


def _unescaped(name: bytes) -> str:
    """HTML, "multipart/form-data encoding algorithm": three characters are escaped in names."""
    plain = name.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
    return plain.decode()


def _text(body: bytes) -> str | None:
    """What can be read as text; None where it has characters that no text has."""
    try:
        text = body.decode()
    except UnicodeError:
        return None
    return None if any(ord(each) < 32 and each not in "\t\r\n" for each in text) else text


def _json(text: str) -> tuple[Any] | None:
    """The value of an object or array, its numbers as they are spelled; None for what is not one,
    for what two readers would read in two ways (a name twice, NaN), or for no text (half of a
    surrogate pair)."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_float=str,
            parse_int=str,
            parse_constant=_no_constant,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return (value,)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands there twice")
    return members


def _leaves(value: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth < MAX_DEPTH and isinstance(value, dict) and value:
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _leaves(inner, f"{at}.{name}" if at else name, depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, list) and value:
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _leaves(inner, f"{at}[{index}]", depth + 1)
    else:
        yield at, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
