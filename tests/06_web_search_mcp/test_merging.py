"""Reciprocal rank fusion of what engines found."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from web_search.engine import Found
from web_search.merging import K, Voice, merged


def found(url: str, title: str = "", snippet: str = "") -> Found:
    return Found(title=title or url, url=url, snippet=snippet)


def pages(*names: str) -> list[Found]:
    return [found(f"https://{name}.example/") for name in names]


def order(lists, weights=None) -> list[str]:
    return [
        each.best.url.removeprefix("https://").removesuffix(".example/")
        for each in merged(lists, "web", weights or {})[0]
    ]


def test_what_several_engines_have_goes_before_what_one_has_first() -> None:
    lists = {"one": pages("a", "shared"), "two": pages("b", "c", "shared")}
    assert order(lists) == ["shared", "a", "b", "c"]
    first = merged(lists, "web", {})[0][0]
    assert first.voices == (Voice("one", 2), Voice("two", 3))
    assert first.score == 1 / (K + 2) + 1 / (K + 3)


def test_an_engine_that_counts_more_is_heard_more() -> None:
    lists = {"one": pages("a", "b"), "two": pages("b", "a")}
    assert order(lists, {"one": 2.0}) == ["a", "b"]
    assert order(lists, {"two": 2.0}) == ["b", "a"]


def test_an_engine_that_says_a_page_twice_is_one_voice_at_its_better_place() -> None:
    twice = [
        found("https://a.example/"),
        found("https://b.example/"),
        found("http://www.a.example"),
    ]
    (first, _), left_out = merged({"one": twice}, "web", {})
    assert first.voices == (Voice("one", 1),)
    assert first.score == 1 / (K + 1)
    assert left_out == 0


def test_the_best_words_of_all_are_kept() -> None:
    when = datetime(2026, 5, 1, tzinfo=UTC)
    lists = {
        "one": [found("http://m.a.example/x?utm_source=one", "All about t...", "short")],
        "two": [
            *pages("z"),
            replace(
                found("https://a.example/x", "All about tea", "a longer text about tea"),
                source="The Tea Times",
                published_at=when,
            ),
        ],
    }
    best = merged(lists, "web", {})[0][0].best
    assert best.title == "All about tea"
    assert best.snippet == "a longer text about tea"
    assert best.url == "https://a.example/x"
    assert best.source == "The Tea Times"
    assert best.published_at == when


def test_adverts_and_what_is_no_page_are_left_out_and_counted() -> None:
    lists = {"one": [found("javascript:alert(1)"), *pages("a"), found("https://x@evil.example/")]}
    results, left_out = merged(lists, "web", {})
    assert [each.voices for each in results] == [(Voice("one", 2),)]
    assert left_out == 2


def test_images_are_told_apart_by_the_image_and_not_by_the_page() -> None:
    page = "https://a.example/gallery"
    images = [
        Found(title=name, url=page, image_url=f"https://a.example/{name}.png")
        for name in ("one", "two")
    ]
    unseen = Found(title="no image", url=page, image_url="data:image/png;base64,AA")
    results, left_out = merged({"one": [*images, unseen]}, "images", {})
    assert [each.best.title for each in results] == ["one", "two"]
    assert left_out == 1


def test_suggestions_are_the_same_in_small_and_large_letters() -> None:
    lists = {
        "one": [Found(title="Tea pot", url=""), Found(title=" ", url="")],
        "two": [Found(title="tea  POT", url="")],
    }
    (only,), _ = merged(lists, "suggest", {})
    assert only.best.title == "Tea pot"
    assert len(only.voices) == 2


NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)


@given(st.dictionaries(st.sampled_from(["one", "two", "three"]), NAMES))
def test_the_order_depends_on_the_lists_and_not_on_who_came_first(names) -> None:
    lists = {engine: pages(*given_names) for engine, given_names in names.items()}
    backwards = {engine: lists[engine] for engine in reversed(lists)}
    assert merged(lists, "web", {}) == merged(backwards, "web", {})
    results, _ = merged(lists, "web", {})
    assert {each.best.url for each in results} == {
        each.url for found_list in lists.values() for each in found_list
    }
    scores = [each.score for each in results]
    assert scores == sorted(scores, reverse=True)


@given(NAMES)
def test_one_engine_alone_keeps_its_order(names) -> None:
    assert order({"one": pages(*names)}) == names
