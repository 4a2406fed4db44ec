from hypothesis import given
from hypothesis import strategies as st

from flotilla.sizes import cut, strip_invisible


@given(st.text(), st.integers(0, 50))
def test_a_cut_text_is_a_prefix_within_its_bytes(text: str, most: int) -> None:
    kept, truncated = cut(text, most)
    assert text.startswith(kept)
    assert len(kept.encode()) <= most
    assert truncated == (kept != text)


def test_invisible_characters_go_and_visible_ones_stay() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all")
    assert strip_invisible(f"pay\u200b {hidden}the\u202e b\ufeffill") == "pay the bill"
    assert strip_invisible("žluťoučký kůň, 日本語, 👍") == "žluťoučký kůň, 日本語, 👍"
