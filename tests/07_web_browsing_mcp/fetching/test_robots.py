"""robots.txt as RFC 9309 reads it."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web_browsing.fetching.robots import ALL_SHUT, product_of, read_robots
from web_browsing.fetching.wildcards import matches

EXAMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""
"""Of RFC 9309, section 5.1."""


@pytest.mark.parametrize(
    ("product", "path", "allowed"),
    [
        ("anybot", "/publications/a", True),
        ("anybot", "/example/x", False),
        ("anybot", "/a/b.gif", False),
        ("anybot", "/a/b.gif?x", True),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/else", False),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/example/other.gif", True),
        ("quxbot", "/example/x", True),
    ],
)
def test_the_example_of_the_rfc(product: str, path: str, allowed: bool) -> None:
    assert read_robots(EXAMPLE, product).allows(path) is allowed


def test_the_longest_rule_wins_and_of_equal_ones_that_which_allows() -> None:
    robots = read_robots(
        "User-agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"
        "Disallow: /same\nAllow: /same",
        "x",
    )
    assert robots.allows("/example/page/a")
    assert not robots.allows("/example/page/disallowed.gif")
    assert robots.allows("/same")


def test_several_groups_for_one_crawler_are_one() -> None:
    robots = read_robots(
        "user-agent: me\ndisallow: /a\n\nuser-agent: *\ndisallow: /\n\nuser-agent: ME/2.0\n"
        "disallow: /b",
        "me",
    )
    assert [robots.allows(path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_comments_other_lines_marks_and_line_ends_do_not_matter() -> None:
    robots = read_robots(
        "\ufeff# hello\r\nUSER-AGENT : * # all\rSitemap: https://x/\r\ncrawl-delay: 3\r\n"
        "  Disallow :  /secret # keep out\nnonsense",
        "x",
    )
    assert not robots.allows("/secret/x")
    assert robots.allows("/")


def test_an_empty_disallow_forbids_nothing_and_robots_txt_itself_is_always_allowed() -> None:
    assert read_robots("user-agent: *\ndisallow:", "x").allows("/")
    everything = read_robots("user-agent: *\ndisallow: /", "x")
    assert not everything.allows("/")
    assert everything.allows("/robots.txt")
    assert not ALL_SHUT.allows("/robots.txt")


def test_escapes_are_compared_in_one_spelling() -> None:
    robots = read_robots("user-agent: *\ndisallow: /ä/%7Ejoe/a%2fb", "x")
    assert not robots.allows("/%C3%A4/~joe/a%2Fb")
    assert not robots.allows("/%c3%a4/%7ejoe/a%2fb")
    assert robots.allows("/%C3%A4/~joe/a/b")


def test_the_first_word_of_the_user_agent_is_what_groups_name() -> None:
    assert product_of("Flotilla/0.1 (+fetchPage)") == "flotilla"
    assert product_of("") == "*"


def test_wildcards_that_make_regular_expressions_hang_take_no_time() -> None:
    hostile = "user-agent: *\n" + "".join(f"disallow: /{'*a' * 300}b{n}$\n" for n in range(700))
    robots = read_robots(hostile, "x")
    started = perf_counter()
    assert robots.allows("/" + "a" * 3900)
    assert perf_counter() - started < 2


@given(st.text(max_size=400), st.text(max_size=60))
def test_no_file_makes_it_raise(text: str, path: str) -> None:
    read_robots("user-agent: *\ndisallow: " + text, "x").allows("/" + path)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8), st.booleans())
def test_wildcards_match_as_a_search_through_all_ways_does(
    pattern: str, text: str, whole: bool
) -> None:
    def slowly(rest: str, left: str) -> bool:
        if not rest:
            return not whole or not left
        if rest[0] == "*":
            return any(slowly(rest[1:], left[at:]) for at in range(len(left) + 1))
        return bool(left) and left[0] == rest[0] and slowly(rest[1:], left[1:])

    assert matches(pattern, text, whole=whole) == slowly(pattern, text)
