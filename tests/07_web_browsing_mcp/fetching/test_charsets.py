"""Bytes become the characters that were meant, whatever they are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web_browsing.fetching.charsets import codec_of, decoded

GERMAN = "Grüße aus Köln: „schön“ – 5 €"
JAPANESE = "日本語の文章です。これは文字コードの試験であり、十分な長さがあります。" * 8
RUSSIAN = "Съешь ещё этих мягких французских булок, да выпей же чаю. " * 8


def a_page(text: str, label: str) -> str:
    return f'<!doctype html><html><head><meta charset="{label}"><title>x</title></head>{text}'


@pytest.mark.parametrize(
    ("body", "content_type", "codec"),
    [
        (GERMAN.encode("cp1252"), "text/html; charset=windows-1252", "cp1252"),
        (GERMAN.encode("cp1252"), "text/html; charset=ISO-8859-1", "cp1252"),
        (GERMAN.encode("cp1252"), "text/html; charset='latin1'", "cp1252"),
        (JAPANESE.encode("cp932"), 'text/html; charset="Shift_JIS"', "cp932"),
        (JAPANESE.encode("euc-jp"), "text/html;charset=EUC-JP", "euc-jp"),
        (JAPANESE.encode("gb18030"), "text/html;charset=gb2312", "gb18030"),
        (GERMAN.encode("utf-16-le"), "text/html; charset=utf-16", "utf-16-le"),
        (GERMAN.encode("utf-8"), "text/html", "utf-8"),
        (RUSSIAN.encode("koi8-r"), "text/plain; format=flowed; charset=koi8-r", "koi8-r"),
    ],
)
def test_the_servers_word_is_taken_as_the_web_means_it(
    body: bytes, content_type: str, codec: str
) -> None:
    read = decoded(body, content_type)
    assert read.codec == codec
    assert read.text == body.decode(codec)
    assert "\ufffd" not in read.text


def test_a_byte_order_mark_wins_over_every_label() -> None:
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        read = decoded(mark + GERMAN.encode(codec), "text/html; charset=shift_jis")
        assert (read.text, read.codec) == (GERMAN, codec)
    assert decoded(b"\xef\xbb\xbf" + GERMAN.encode(), "charset=latin1").text == GERMAN


def test_a_page_that_says_its_charset_itself_is_believed() -> None:
    page = a_page(JAPANESE, "shift_jis")
    assert decoded(page.encode("cp932"), "text/html").text == page
    xml = f'<?xml version="1.0" encoding="windows-1251"?><a>{RUSSIAN}</a>'
    assert decoded(xml.encode("cp1251"), "text/xml").text == xml
    old = f'<meta http-equiv="content-type" content="text/html; charset=iso-8859-2">{GERMAN[:9]}'
    assert decoded(old.encode("iso8859-2"), "").text == old


def test_a_page_of_ascii_that_calls_itself_utf_16_is_not() -> None:
    page = a_page("plain", "utf-16")
    assert decoded(page.encode(), "text/html").text == page


def test_what_calls_itself_utf_8_and_is_not_is_read_as_what_it_is_and_that_is_said() -> None:
    body = (GERMAN * 20).encode("cp1252")
    read = decoded(body, "text/html; charset=utf-8")
    assert "Grüße aus Köln" in read.text
    assert read.note is not None
    assert "utf-8" in read.note


def test_utf_8_that_is_called_latin_1_is_read_as_utf_8() -> None:
    read = decoded(GERMAN.encode(), "text/html; charset=iso-8859-1")
    assert read.text == GERMAN
    assert read.note is not None


def test_a_single_broken_byte_makes_no_page_another_charset() -> None:
    body = (GERMAN * 50).encode() + b"\xff" + (GERMAN * 50).encode()
    read = decoded(body, "text/html; charset=utf-8")
    assert read.codec == "utf-8"
    assert read.text.count("\ufffd") == 1


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (JAPANESE, "utf-8"),
        (RUSSIAN, "utf-8"),
        (GERMAN * 10, "utf-8"),
        (RUSSIAN, "utf-16-le"),
        (GERMAN * 10, "utf-16-be"),
    ],
)
def test_what_nobody_labelled_is_looked_at(text: str, codec: str) -> None:
    assert decoded(text.encode(codec), "").text.strip() == text.strip()


def test_windows_1251_is_known_by_its_letters() -> None:
    assert decoded(RUSSIAN.encode("cp1251"), "text/html").text == RUSSIAN


def test_utf_8_cut_in_the_middle_of_a_character_is_still_utf_8() -> None:
    body = ("x" + "é" * 40_000).encode()
    assert decoded(body, "").codec == "utf-8"


@pytest.mark.parametrize("label", ["utf-7", "rot13", "zlib", "unicode_escape", "idna", "hex", ""])
def test_only_labels_of_the_web_choose_a_codec(label: str) -> None:
    assert codec_of(label) is None
    assert decoded(b"+ADw-script+AD4-", f"text/html; charset={label}").text == "+ADw-script+AD4-"


@given(st.binary(max_size=3000), st.text(max_size=60))
def test_nothing_makes_it_raise(body: bytes, content_type: str) -> None:
    decoded(body, content_type)
    decoded(body, "text/html; charset=" + content_type)
