"""Known values, in every form and however they are torn apart."""

import base64
import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.known_values import MIN_LENGTH, Known, forms_of

SECRET = st.text(alphabet='QXZ0123789"\\/+=%üß€😀', min_size=MIN_LENGTH, max_size=40)
AROUND = st.text(alphabet="mnop .,:{}[]é😀", max_size=40)
GAPS = st.lists(
    st.sampled_from(["", "", "", "\n", "\r\n", " ", "\n    ", "\t", "\\n", "\\\\n"]), min_size=1
)


def torn(text: str, gaps: list[str]) -> str:
    return "".join(
        character + gaps[at % len(gaps)] if at < len(text) - 1 else character
        for at, character in enumerate(text)
    )


@given(SECRET, AROUND, AROUND, GAPS, st.data())
def test_a_value_is_found_in_every_form_however_it_is_torn_apart(
    secret: str, before: str, after: str, gaps: list[str], data: st.DataObject
) -> None:
    known = Known([secret])
    form = data.draw(st.sampled_from(sorted(set(forms_of(secret)))))
    # What is torn within an escape of its own is that form no more.
    written = form if "\\" in form else torn(form, gaps)
    text = before + written + after
    assert known.may_be_in(text)
    assert known.hidden(text, "#") == f"{before}#{after}"


@given(SECRET, AROUND, st.integers(1, 4))
def test_a_value_is_found_in_json_within_json(secret: str, before: str, depth: int) -> None:
    # A backslash at either end cannot be told from one that escapes what stands there.
    text = secret = f"QQQQQQQQ{secret}Q"
    for _ in range(depth):
        text = json.dumps({"a": before, "b": text})
    known = Known([secret])
    assert known.may_be_in(text)
    shown = known.hidden(text, "#")
    for _ in range(depth):
        shown = json.loads(shown)["b"]
    assert shown == "#"


@given(st.lists(SECRET, max_size=4), AROUND)
def test_a_text_without_a_value_is_the_same_object(secrets: list[str], text: str) -> None:
    assert Known(secrets).hidden(text, "#") is text


@given(st.lists(SECRET, min_size=2, max_size=4), AROUND)
def test_of_values_that_overlap_nothing_is_left(secrets: list[str], around: str) -> None:
    longer = [*secrets, secrets[0] + secrets[1], secrets[1][:-1] + secrets[0]]
    text = around.join(longer)
    shown = Known(longer).hidden(text, "\0")
    assert not any(secret in shown for secret in longer)
    assert set(shown) <= {"\0", *around}


@given(st.text(), st.lists(st.text(min_size=MIN_LENGTH), max_size=3))
def test_no_text_breaks_the_search(text: str, secrets: list[str]) -> None:
    known = Known(secrets)
    hidden = known.hidden(text, "")
    assert known.may_be_in(text) or hidden == text


def test_what_base64_and_terminals_wrap_is_found() -> None:
    value = "correct-horse/battery+staple"
    known = Known([value])
    encoded = base64.encodebytes((f"user:{value}\n" * 9).encode()).decode()
    assert "\n" in encoded.strip() and known.hidden(encoded, "#").count("#") == 9
    narrow = "\n".join(textwrap.wrap(f"the value is {value} and no other", 7))
    assert "horse" not in known.hidden(narrow, "#")
    dumped = " ".join(value.encode().hex()[at : at + 2] for at in range(0, len(value) * 2, 2))
    assert known.hidden(dumped, "#") == "#"


def test_the_lines_of_a_key_are_known_each_by_itself() -> None:
    lines = ["-----BEGIN X-----", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAA", "short"]
    known = Known(["\n".join(lines)])
    assert known.hidden(f"line 2: {lines[1]}", "#") == "line 2: #"
    assert known.hidden("it is short", "#") == "it is short"


def test_a_short_value_is_not_looked_for() -> None:
    known = Known(["short", ""])
    assert not known and not known.may_be_in("short")


@pytest.mark.parametrize("size", [1, 64 * 1024])
def test_a_large_value_is_found_whole(size: int) -> None:
    value = "Zx81kk/+" * max(1, size // 8)
    known = Known([value])
    assert known.hidden(f"a {value} b", "#") == "a # b"
    assert known.hidden(f"a {value.encode().hex()} b", "#") == "a # b"


def test_hundreds_of_values_are_found_by_one_look() -> None:
    values = [f"value-{number:04}-of-a-secret" for number in range(500)]
    known = Known(values)
    assert known.hidden(" ".join(values), "#") == " ".join("#" * 500)
    assert not known.may_be_in("value-0500-of-a-secret")
