"""Each style of OpenAPI's table, and that what a tool takes is what a server reads."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import InvalidArgument
from master.external.openapi.style import Style, in_header, in_pairs, in_path, text_of

LIST = ["blue", "black"]
OBJECT = {"R": 100, "G": True}


@pytest.mark.parametrize(
    ("name", "explode", "value", "text"),
    [
        ("simple", False, "blue", "blue"),
        ("simple", False, LIST, "blue,black"),
        ("simple", False, OBJECT, "R,100,G,true"),
        ("simple", True, OBJECT, "R=100,G=true"),
        ("label", False, "blue", ".blue"),
        ("label", False, LIST, ".blue,black"),
        ("label", True, LIST, ".blue.black"),
        ("label", False, OBJECT, ".R,100,G,true"),
        ("label", True, OBJECT, ".R=100.G=true"),
        ("matrix", False, "blue", ";color=blue"),
        ("matrix", False, "", ";color"),
        ("matrix", False, LIST, ";color=blue,black"),
        ("matrix", True, LIST, ";color=blue;color=black"),
        ("matrix", False, OBJECT, ";color=R,100,G,true"),
        ("matrix", True, OBJECT, ";R=100;G=true"),
        ("simple", False, "a/b?c#d,é", "a%2Fb%3Fc%23d%2C%C3%A9"),
        ("simple", False, 1.5, "1.5"),
    ],
)
def test_a_path_parameter_in_each_style(name: str, explode: bool, value: Any, text: str) -> None:
    assert in_path("color", value, Style(name, explode)) == text


@pytest.mark.parametrize(
    ("name", "explode", "value", "query"),
    [
        ("form", True, "", "color="),
        ("form", True, "blue", "color=blue"),
        ("form", True, LIST, "color=blue&color=black"),
        ("form", False, LIST, "color=blue,black"),
        ("form", True, OBJECT, "R=100&G=true"),
        ("form", False, OBJECT, "color=R,100,G,true"),
        ("form", True, [], ""),
        ("form", False, {}, ""),
        ("spaceDelimited", False, LIST, "color=blue%20black"),
        ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20true"),
        ("pipeDelimited", False, LIST, "color=blue%7Cblack"),
        ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7Ctrue"),
        ("spaceDelimited", True, LIST, "color=blue&color=black"),
        ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=true"),
        ("deepObject", True, {"a": {"b": [1, 2]}}, "color%5Ba%5D%5Bb%5D=1&color%5Ba%5D%5Bb%5D=2"),
        ("form", True, "a&b=c+d#e", "color=a%26b%3Dc%2Bd%23e"),
    ],
)
def test_a_query_parameter_in_each_style(name: str, explode: bool, value: Any, query: str) -> None:
    pairs = in_pairs("color", value, Style(name, explode))
    assert "&".join(f"{key}={text}" for key, text in pairs) == query


def test_reserved_characters_stay_where_they_may_but_never_end_the_value() -> None:
    style = Style("form", explode=True, allow_reserved=True)
    assert in_pairs("q", "/a:b?c&d=e#f+g", style) == [("q", "/a:b?c%26d%3De%23f%2Bg")]


@pytest.mark.parametrize(("explode", "text"), [(False, "R,100,G,true"), (True, "R=100,G=true")])
def test_a_header_is_written_simply_and_not_encoded(explode: bool, text: str) -> None:
    assert in_header("X", OBJECT, Style("simple", explode)) == text
    assert in_header("X", "a b%é", Style("simple", explode)) == "a b%é"


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", "a\0", "\x7f", ["a", "\r"]])
def test_a_header_cannot_be_ended_by_its_value(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="control characters"):
        in_header("X", value, Style("simple", explode=False))


@pytest.mark.parametrize("style", ["form", "spaceDelimited", "pipeDelimited", "simple"])
def test_what_a_style_cannot_say_is_refused(style: str) -> None:
    with pytest.raises(InvalidArgument, match="nests deeper"):
        in_pairs("q", {"a": {"b": 1}}, Style(style, explode=True))
    with pytest.raises(InvalidArgument, match="nests deeper"):
        in_pairs("q", [[1]], Style(style, explode=True))


def test_an_empty_part_of_a_path_is_refused() -> None:
    for value in ("", [], {}):
        with pytest.raises(InvalidArgument, match="must not be empty"):
            in_path("id", value, Style("simple", explode=False))


_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_scalars = _texts | st.integers() | st.booleans()


@given(name=_texts.filter(bool), value=st.lists(_scalars, max_size=4))
def test_a_server_that_decodes_a_query_reads_what_was_given(name: str, value: list[Any]) -> None:
    pairs = in_pairs(name, value, Style("form", explode=True))
    query = "&".join(f"{key}={text}" for key, text in pairs)
    assert parse_qsl(query, keep_blank_values=True) == [(name, text_of(name, x)) for x in value]


@given(value=st.lists(_scalars, min_size=1, max_size=4), name=st.sampled_from(["simple", "label"]))
def test_a_server_that_splits_a_path_reads_what_was_given(value: list[Any], name: str) -> None:
    try:
        text = in_path("p", value, Style(name, explode=False))
    except InvalidArgument:
        assert value == [""]
        return
    assert "/" not in text and "?" not in text and "#" not in text
    parts = [unquote(part) for part in text.removeprefix("." if name == "label" else "").split(",")]
    assert parts == [text_of("p", each) for each in value]


@given(value=st.dictionaries(_texts, _scalars, max_size=4))
def test_a_deep_object_keeps_its_members(value: dict[str, Any]) -> None:
    pairs = in_pairs("p", value, Style("deepObject", explode=True))
    read = {unquote(key)[2:-1]: unquote(text) for key, text in pairs}
    assert read == {key: text_of("p", each) for key, each in value.items()}
