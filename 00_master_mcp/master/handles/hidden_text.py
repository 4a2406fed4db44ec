"""JSON texts without known values; what holds none is the same object. Pure."""

from collections.abc import Mapping

from flotilla.known_values import Known
from master.streaming.scrub import Scrubber


def hidden_text(text: str, known: Known) -> str:
    """A JSON text without the values."""
    # Only these two ways to escape hide a value from a look at the text as it is written.
    if "\\u" not in text and "\\/" not in text and not known.may_be_in(text):
        return text
    raw = text.encode(errors="surrogatepass")
    scrubber = Scrubber(known)
    clean = scrubber.feed(raw) + scrubber.finish()
    return text if clean == raw else clean.decode(errors="surrogatepass")


def hidden_texts(texts: Mapping[str, str], known: Known) -> dict[str, str]:
    return {name: hidden_text(text, known) for name, text in texts.items()}
