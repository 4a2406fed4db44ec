"""The text of a PDF, page by page. Blocks; it belongs into the reader's process.

What is no text (scans), what is locked and what is broken is told as that. Source: ISO 32000-1.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from flotilla import UpstreamError
from flotilla.sizes import strip_invisible
from web_browsing.reading.shapes import About

MAX_PAGES = 1000
MAX_CHARS = 4_000_000
WITHIN_S = 12.0
"""After so long it is enough: what has been read by then is answered."""
_TITLE_CHARS = 300


@dataclass(frozen=True, slots=True)
class PdfText:
    about: About
    text: str
    """`## Page N` before each page."""
    notes: tuple[str, ...]


def read_pdf(body: bytes, clock: Callable[[], float] = monotonic) -> PdfText:
    """Raises UpstreamError for what is no PDF (`broken_pdf`) or is locked (`locked_pdf`)."""
    until = clock() + WITHIN_S
    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UpstreamError(
                "the PDF is locked with a password", details={"reason": "locked_pdf"}
            )
        pages = len(reader.pages)
    except MemoryError:
        raise
    except UpstreamError:
        raise
    except Exception as error:  # a broken file makes pypdf raise anything
        raise _broken() from error
    texts: list[str] = []
    failed, empty, chars = 0, 0, 0
    for index in range(min(pages, MAX_PAGES)):
        if clock() >= until or chars >= MAX_CHARS:
            break
        try:
            text = _tidy(reader.pages[index].extract_text())
        except (PyPdfError, ArithmeticError, AttributeError, LookupError, RecursionError):
            text, failed = "", failed + 1
        except (OSError, TypeError, ValueError):
            text, failed = "", failed + 1
        empty += not text
        chars += len(text)
        texts.append(f"## Page {index + 1}\n\n{text}".rstrip())
    return PdfText(
        about=_about(reader),
        text="\n\n".join(texts),
        notes=_notes(pages, len(texts), failed, empty),
    )


def _notes(pages: int, read: int, failed: int, empty: int) -> tuple[str, ...]:
    return (
        f"A PDF of {pages} pages.",
        *([f"Only the first {read} pages were read."] if read < pages else []),
        *([f"{failed} pages are broken and were left out."] if failed else []),
        *(
            [
                "No page has text: they are pictures, as scanners make them, and are not read here."
                if empty == read
                else f"{empty - failed} pages have no text: they are empty or pictures."
            ]
            if empty > failed
            else []
        ),
    )


def _about(reader: PdfReader) -> About:
    try:
        told = reader.metadata
        if told is None:
            return About()
        created = told.creation_date
        return About(
            title=_line(told.title),
            author=_line(told.author),
            published_at=created.isoformat() if created else None,
        )
    except Exception:  # noqa: BLE001 - what a file says of itself is often broken
        return About()


def _line(text: str | None) -> str | None:
    return strip_invisible(" ".join(str(text or "").split()))[:_TITLE_CHARS] or None


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in strip_invisible(text).splitlines())
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip()


def _broken() -> UpstreamError:
    return UpstreamError(
        "it is called a PDF and cannot be read as one", details={"reason": "broken_pdf"}
    )
