"""What a body is, by what is said of it and by what it is."""

import pytest

from web_browsing.fetching.kinds import is_binary_type, kind_of


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("text/html; charset=utf-8", b"<p>hello", "html"),
        ("application/xhtml+xml", b"<?xml version='1.0'?><html/>", "html"),
        ("TEXT/HTML", b"", "html"),
        ("", b"  \n<!DOCTYPE HTML><p>x", "html"),
        ("", b"<!-- hi --><html>", "html"),
        ("", b"\xef\xbb\xbf<html>", "html"),
        ("", b"just words", "plain"),
        ("", b"", "plain"),
        ("", b'{"a": 1}', "json"),
        ("", b"<?xml version='1.0'?><rss/>", "xml"),
        ("", b"\x7fELF\x02\x01", "binary"),
        ("application/octet-stream", b"words alone", "plain"),
        ("application/octet-stream", b"%PDF-1.7\n", "pdf"),
        ("application/octet-stream", b"\x00\x01\x02", "binary"),
        ("text/plain", b"<html> is not one here", "plain"),
        ("text/plain", b"\x89PNG\r\n\x1a\n", "binary"),
        ("text/plain; charset=utf-16", "wide words".encode("utf-16-le"), "plain"),
        ("", "Это слова, и ещё слова".encode("utf-16-be"), "plain"),
        ("text/plain", b"a\x00\x01b\x02", "binary"),
        ("text/html", b"\x1f\x8b\x08", "binary"),
        ("text/html", b"PK\x03\x04", "binary"),
        ("text/markdown", b"# hello", "markdown"),
        ("text/x-python", b"print()", "plain"),
        ("application/json", b"[]", "json"),
        ("application/ld+json", b"[]", "json"),
        ("application/rss+xml", b"<rss/>", "xml"),
        ("application/atom+xml", b"<feed/>", "xml"),
        ("application/pdf", b"%PDF-1.4", "pdf"),
        ("application/pdf", b"\xef\xbb\xbf junk %PDF-1.4", "pdf"),
        ("application/pdf", b"<html>not found</html>", "pdf"),
        ("image/png", b"<html>", "binary"),
        ("application/zip", b"", "binary"),
        ("image/svg+xml", b"<svg/>", "xml"),
    ],
)
def test_the_kind_of_a_body(content_type: str, body: bytes, kind: str) -> None:
    assert kind_of(content_type, body) == kind


def test_only_what_is_surely_no_text_is_left_unfetched() -> None:
    assert is_binary_type("image/png")
    assert is_binary_type("application/zip")
    assert is_binary_type("video/mp4; codecs=x")
    for text in ("", "text/html", "application/octet-stream", "application/json", "image/svg+xml"):
        assert not is_binary_type(text)
    assert not is_binary_type("application/pdf")
