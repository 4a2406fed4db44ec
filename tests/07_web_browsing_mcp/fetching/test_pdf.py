"""PDFs are read as text by page, and what cannot be is told as what it is."""

from io import BytesIO
from itertools import count

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from flotilla import UpstreamError
from web_browsing.fetching.pdf import read_pdf

from .conftest import Site, Tools, answer


def a_pdf(*pages: str, password: str | None = None, title: str = "The paper") -> bytes:
    """A page of text each, made here; an empty string is a page without text."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(300, 300)
        if not text:
            continue
        drawn = DecodedStreamObject()
        lines = " T* ".join(f"({line}) Tj" for line in text.split("\n"))
        drawn.set_data(f"BT /F1 12 Tf 14 TL 20 250 Td {lines} ET".encode())
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        page[NameObject("/Contents")] = drawn
    writer.add_metadata({"/Title": title, "/Author": "Ann Other"})
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    made = BytesIO()
    writer.write(made)
    return made.getvalue()


def test_text_comes_by_page_with_a_title() -> None:
    read = read_pdf(a_pdf("Hello there\nand more", "The end"))
    assert read.text == "## Page 1\n\nHello there\nand more\n\n## Page 2\n\nThe end"
    assert (read.about.title, read.about.author) == ("The paper", "Ann Other")
    assert read.notes == ("A PDF of 2 pages.",)


def test_pages_that_are_pictures_are_said_to_be() -> None:
    assert any("pictures" in note for note in read_pdf(a_pdf("", "")).notes)
    assert any("1 pages have no text" in note for note in read_pdf(a_pdf("", "words")).notes)


def test_one_locked_with_a_password_is_said_to_be_and_one_without_is_read() -> None:
    with pytest.raises(UpstreamError) as caught:
        read_pdf(a_pdf("secret", password="open sesame"))
    assert caught.value.details == {"reason": "locked_pdf"}
    assert "free" in read_pdf(a_pdf("free", password="")).text


@pytest.mark.parametrize(
    "body",
    [b"", b"%PDF-1.7\n", b"%PDF-1.4 junk" * 100, b"<html>no</html>", a_pdf("x")[:200]],
)
def test_a_broken_one_is_said_to_be(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_pdf(body)
    assert caught.value.details == {"reason": "broken_pdf"}


def test_reading_stops_when_it_has_taken_long_enough() -> None:
    seconds = count(0, 3)
    read = read_pdf(a_pdf(*["words"] * 20), clock=lambda: float(next(seconds)))
    assert "## Page 3" in read.text
    assert "## Page 20" not in read.text
    assert any("first" in note for note in read.notes)


def test_pages_that_point_at_themselves_come_to_an_end() -> None:
    body = a_pdf("x")
    writer = PdfWriter(clone_from=PdfReader(BytesIO(body)))
    kids = writer.root_object["/Pages"]["/Kids"]  # pyright: ignore
    kids.append(writer.root_object.raw_get("/Pages"))  # pyright: ignore
    made = BytesIO()
    writer.write(made)
    try:
        read_pdf(made.getvalue())
    except UpstreamError as error:
        assert error.details == {"reason": "broken_pdf"}


@pytest.mark.anyio
async def test_a_pdf_is_a_page_like_others(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(a_pdf("Hello there", "The end"), content_type="application/pdf")
    page = await tools.fetch(site.url + "/a")
    assert page["text"] == "## Page 1\n\nHello there\n\n## Page 2\n\nThe end"
    assert (page["title"], page["contentType"]) == ("The paper", "application/pdf")
    site.pages["/b"] = answer(b"%PDF-1.4 and nothing", content_type="application/octet-stream")
    error = await tools.fetch(site.url + "/b")
    assert (error["code"], error["reason"]) == ("upstream_error", "broken_pdf")
