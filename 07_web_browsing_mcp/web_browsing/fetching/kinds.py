"""What a body is: what its server says, unless its first bytes say better. Pure.

Source: WHATWG MIME Sniffing, sections 5 and 6, in so far as a reader of text needs it.
"""

from typing import Literal

Kind = Literal["html", "xml", "json", "markdown", "plain", "pdf", "binary"]
"""`xml` is feeds and other XML; `plain` is text of any other kind."""

HEAD_BYTES = 1024
_HTML = {"text/html", "application/xhtml+xml"}
_MARKDOWN = {"text/markdown", "text/x-markdown"}
_TEXTS = {
    "application/javascript",
    "application/ecmascript",
    "application/x-yaml",
    "application/yaml",
    "application/toml",
    "application/x-sh",
    "application/sql",
    "application/x-ndjson",
    "application/graphql",
    "application/x-tex",
}
_UNSURE = {"", "application/octet-stream", "application/unknown", "unknown/unknown", "text/plain"}
_NEVER_TEXT = ("image/", "audio/", "video/", "font/")
_MAGIC = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"PK\x03\x04", b"PK\x05\x06"),
    *(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"\x7fELF"),
    *(b"Rar!\x1a\x07", b"OggS", b"ID3", b"wOFF", b"wOF2", b"\x00\x00\x01\x00", b"MZ\x90\x00"),
)
_BINARY_BYTES = bytes({*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)})
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<meta")


def media_type(content_type: str) -> str:
    """`text/html` of `Text/HTML; charset=utf-8`."""
    return content_type.partition(";")[0].partition(",")[0].strip().lower()


def is_binary_type(content_type: str) -> bool:
    """Whether a server says that there is nothing to read, so that it need not be fetched."""
    named = media_type(content_type)
    if named.startswith(_NEVER_TEXT):
        return named != "image/svg+xml"
    return named.startswith("application/") and named not in _UNSURE and _named(named) is None


def kind_of(content_type: str, body: bytes) -> Kind:
    """What the body is; `binary` is what has no text that could be read."""
    named, head = media_type(content_type), body[:HEAD_BYTES]
    if b"%PDF-" in head and (named in _UNSURE or named == "application/pdf"):
        return "pdf"
    kind = _named(named)
    if kind is None and named not in _UNSURE:
        return "binary"
    # No text begins so, whatever it is called.
    if kind != "pdf" and head.startswith(_MAGIC):
        return "binary"
    if kind is not None and named != "text/plain":
        return kind
    if not head.startswith((b"\xff\xfe", b"\xfe\xff")) and head != head.translate(
        None, _BINARY_BYTES
    ):
        return "plain" if "utf-16" in content_type.lower() or wide_codec(head) else "binary"
    return "plain" if named == "text/plain" else _guessed(head)


def wide_codec(sample: bytes) -> str | None:
    """Which UTF-16 it is, where it is one without a mark: the upper bytes of a text in few scripts
    are few, NUL among them for blanks and western letters, and no lower byte is NUL."""
    for codec, upper, lower in (
        ("utf-16-le", sample[1::2], sample[::2]),
        ("utf-16-be", sample[::2], sample[1::2]),
    ):
        blanks = upper.count(0)
        if blanks >= 3 and blanks * 40 > len(sample) and len(set(upper)) <= 8 and 0 not in lower:
            return codec
    return None


def _named(named: str) -> Kind | None:
    if named in _HTML:
        return "html"
    if named in _MARKDOWN:
        return "markdown"
    if named == "application/pdf":
        return "pdf"
    if named.endswith(("/json", "+json")):
        return "json"
    if named.endswith(("/xml", "+xml")):
        return "xml"
    return "plain" if named.startswith("text/") or named in _TEXTS else None


def _guessed(head: bytes) -> Kind:
    """Of a text that nobody gave a type."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_HTML_STARTS) or (start.startswith(b"<!--") and b"<html" in start):
        return "html"
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start else "xml"
    return "json" if start.startswith((b"{", b"[")) else "plain"
