"""From the bytes of an answer to what they say, whatever they are. Blocks; runs in the reader's
process, since a page may be made so that it takes for ever."""

from flotilla.persuasion import notes_on
from flotilla.sizes import strip_invisible
from web_browsing.fetching.charsets import Decoded, decoded
from web_browsing.fetching.feeds import read_feed
from web_browsing.fetching.heads import head_of
from web_browsing.fetching.json_layout import laid_out
from web_browsing.fetching.orders import Order, Reading
from web_browsing.fetching.pdf import read_pdf
from web_browsing.reading.page import read_html
from web_browsing.reading.shapes import About, Link

MAX_JUDGED_CHARS = 200_000


def read_body(order: Order, body: bytes) -> Reading:
    """Raises UpstreamError for a PDF that cannot be read; nothing for any other body."""
    if order.kind == "pdf":
        pdf = read_pdf(body)
        return Reading(text=pdf.text, about=pdf.about, notes=(*pdf.notes, *_suspicions(pdf.text)))
    if order.kind == "xml":
        feed = read_feed(body, order.url)
        if feed is not None:
            links = {each.url: Link(each.url, each.title) for each in feed.items if each.url}
            left = (f"{feed.more} more entries are left out.",) if feed.more else ()
            text = strip_invisible(feed.markdown())
            return Reading(
                text=text,
                about=About(title=feed.title[:300], description=feed.description),
                links=tuple(links.values()),
                notes=("A feed: its entries are listed.", *left, *_suspicions(text)),
            )
    characters = decoded(body, order.content_type)
    if order.kind == "html":
        return _page(order, characters)
    note = [characters.note] if characters.note else []
    text = characters.text
    if order.kind == "json":
        laid = laid_out(text)
        if laid is None:
            note.append("It is called JSON and is not; it is shown as it is.")
        text = laid or text
    text = strip_invisible(text).replace("\x00", "")
    return Reading(text=text, notes=(*note, *_suspicions(text)))


def _suspicions(text: str) -> tuple[str, ...]:
    """What in a text that is no HTML speaks to a model; of HTML its own reader says so."""
    return notes_on(text[:MAX_JUDGED_CHARS])


def _page(order: Order, characters: Decoded) -> Reading:
    read = read_html(characters.text, order.url, order.form, whole=order.whole)
    return Reading(
        text=read.text,
        about=read.about,
        links=read.links,
        notes=(*([characters.note] if characters.note else []), *read.notes),
        needs_script=read.needs_script,
        head=head_of(characters.text, order.url) if order.with_head else None,
    )
