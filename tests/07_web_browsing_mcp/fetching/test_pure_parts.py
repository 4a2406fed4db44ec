"""Small decisions: URLs, JSON's layout, feeds, heads, freshness."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from flotilla import InvalidArgument, NotAllowed
from web_browsing.fetching.bodies import read_body
from web_browsing.fetching.feeds import MAX_ITEMS, read_feed
from web_browsing.fetching.heads import head_of
from web_browsing.fetching.json_layout import laid_out
from web_browsing.fetching.kept import conditions_of, fresh_s
from web_browsing.fetching.orders import Order
from web_browsing.fetching.targets import next_target, same_site, target_of
from web_browsing.fetching.wire import Answer, Hop


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://example.org/",
            "javascript:alert(1)",
            "view-source:http://x",
        ),
        *("data:text/html,x", "example.org", "//example.org/", "http://", "https:///path", ""),
        *("http://user@example.org/", "http://user:secret@example.org/", "http://:@example.org/"),
        *("http://example.org:99999/", "http://example.org:x/", "http://exa mple.org/"),
        *("http://example.org/\u200bx", "http://example.org/\nx", "http://[::1", "http://a:0/"),
        "http://example.org/" + "a" * 5000,
    ],
)
def test_only_whole_http_urls_without_credentials_are_asked_for(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        target_of(url)
    assert "secret" not in caught.value.message


def test_a_url_keeps_its_query_and_loses_its_fragment() -> None:
    assert str(target_of(" https://Example.org/a?b=%20c#d ")) == "https://example.org/a?b=%20c"
    assert target_of("https://bücher.example/").raw_host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://x/", "http://u:p@x/", "javascript:1", "http://[", "http://x:0/"],
)
def test_a_redirect_to_what_may_not_be_asked_for_is_refused(location: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        next_target(URL("https://example.org/a"), location)
    assert caught.value.details == {"reason": "bad_redirect"}
    assert location not in caught.value.message


def test_a_redirect_is_read_from_where_it_stands() -> None:
    base = URL("https://example.org/a/b?c")
    assert str(next_target(base, "../d#e")) == "https://example.org/d"
    assert str(next_target(base, "//other.example/")) == "https://other.example/"
    assert str(next_target(base, "?x")) == "https://example.org/a/b?x"


def test_hosts_above_and_below_each_other_are_one_site() -> None:
    assert same_site("www.example.org", "EXAMPLE.org")
    assert same_site("docs.example.org", "example.org")
    assert not same_site("example.org", "badexample.org")


def test_json_is_laid_out_without_a_change_to_what_it_says() -> None:
    source = '{"n":1.50,"big":123456789012345678901,"a":1,"a":[ ],"s":"x, {y}: \\"z\\""}'
    laid = laid_out(source)
    assert laid is not None
    assert '"n": 1.50' in laid
    assert '"big": 123456789012345678901' in laid
    assert laid.count('"a"') == 2
    assert laid.splitlines()[1] == '  "n": 1.50,'


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_laid_out_json_is_the_same_json(value: object) -> None:
    laid = laid_out(json.dumps(value))
    assert laid is not None
    assert json.loads(laid) == value
    assert laid == json.dumps(value, indent=2) or "[]" in laid or "{}" in laid


def test_what_is_no_json_or_nests_too_deep_is_none() -> None:
    assert laid_out("{") is None
    assert laid_out("[" * 100_000 + "]" * 100_000) is None


RSS = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">
<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<rss version="2.0"><channel><title>News &x;</title><description>All of it &b;</description>
<item><title>One &lt;b&gt;bold&lt;/b&gt;</title><link>/one</link>
<pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate>
<description>&lt;p&gt;Words&lt;/p&gt;&lt;script&gt;evil()&lt;/script&gt;</description></item>
<item><title>Two</title><link>javascript:alert(1)</link></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Atom</title>
<entry><title>A</title><link rel="self" href="/self"/><link href="https://e.org/a"/>
<updated>2024-01-01T00:00:00Z</updated><summary>S</summary></entry></feed>"""


def test_rss_becomes_a_list_and_its_entities_nothing() -> None:
    feed = read_feed(RSS.encode(), "https://e.org/feed")
    assert feed is not None
    assert feed.title == "News &x;"
    assert [each.url for each in feed.items] == ["https://e.org/one", None]
    assert feed.items[0].title == "One bold"
    text = feed.markdown()
    assert "## [One bold](https://e.org/one)" in text
    assert "Words" in text
    assert "evil" not in text
    assert "root:" not in text
    assert "aaaa" not in text


def test_atom_becomes_a_list_by_its_links_for_people() -> None:
    feed = read_feed(ATOM.encode(), "https://e.org/feed")
    assert feed is not None
    (item,) = feed.items
    assert (item.title, item.url, item.at) == ("A", "https://e.org/a", "2024-01-01T00:00:00Z")


def test_a_feed_without_end_is_cut_and_other_xml_is_none() -> None:
    many = "<rss><channel>" + "<item><title>x</title></item>" * (MAX_ITEMS + 7) + "</channel></rss>"
    feed = read_feed(many.encode(), "https://e.org/")
    assert feed is not None
    assert (len(feed.items), feed.more) == (MAX_ITEMS, 7)
    assert read_feed(b"<svg/>", "https://e.org/") is None
    assert read_feed(b"", "https://e.org/") is None
    assert read_feed(b"\x00<<<&&", "https://e.org/") is None


def test_other_xml_is_shown_as_it_is() -> None:
    order = Order(kind="xml", url="https://e.org/", content_type="text/xml")
    assert read_body(order, b"<a><b>1</b></a>").text == "<a><b>1</b></a>"


def test_json_that_is_none_is_shown_as_it_is_and_that_is_said() -> None:
    reading = read_body(Order(kind="json", url="https://e.org/"), b"{not json\x00")
    assert reading.text == "{not json"
    assert any("JSON" in note for note in reading.notes)


def test_a_head_tells_feeds_icons_robots_cards_and_types() -> None:
    head = head_of(
        """<head><link rel="alternate" type="application/rss+xml" href="/feed">
        <link rel="shortcut icon" href="i.png"><link rel=icon href="javascript:x">
        <link rel=alternate hreflang=de href="/de"><meta name=ROBOTS content="noindex">
        <meta property="og:type" content="article"><script type="application/ld+json">
        {"@graph": [{"@type": ["NewsArticle", "Thing"], "author": {"@type": "Person"}}]}</script>
        <script type="application/ld+json">{broken</script></head>""",
        "https://e.org/a/",
    )
    assert head.feeds == ("https://e.org/feed",)
    assert head.icons == ("https://e.org/a/i.png",)
    assert head.languages == {"de": "https://e.org/de"}
    assert head.robots == "noindex"
    assert head.open_graph == {"og:type": "article"}
    assert head.schema_types == ("NewsArticle", "Thing", "Person")


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answered(hops: tuple[Hop, ...] = (), **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(url=URL("https://e.org/"), status=200, headers=named, hops=hops, at=NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"cache_control": "max-age=60"}, 60),
        ({"cache_control": 'public, Max-Age="60"'}, 60),
        ({"cache_control": "max-age=60", "age": "50"}, 10),
        ({"cache_control": "max-age=60", "age": "500"}, 0),
        ({"cache_control": "max-age=99999999"}, 3600),
        ({"cache_control": "max-age=-5"}, 0),
        ({"cache_control": "max-age=x"}, 0),
        ({"cache_control": "max-age=60, no-store"}, 0),
        ({"cache_control": "no-cache, max-age=60"}, 0),
        ({"cache_control": "max-age=60", "vary": "*"}, 0),
        ({"cache_control": "max-age=60", "vary": "Accept-Encoding"}, 60),
        ({"expires": "Thu, 01 Jan 2026 00:01:00 GMT"}, 60),
        (
            {
                "expires": "Thu, 01 Jan 2026 00:01:00 GMT",
                "date": "Thu, 01 Jan 2026 00:00:30 GMT",
            },
            30,
        ),
        ({"expires": "0"}, 0),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"cache_control": "max-age=5", "expires": "Thu, 01 Jan 2026 00:01:00 GMT"}, 5),
    ],
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str], seconds: int) -> None:
    assert fresh_s(answered(**headers)) == seconds


def test_a_redirect_for_now_makes_its_page_stale_at_once() -> None:
    for status, seconds in ((301, 60), (308, 60), (302, 0), (307, 0)):
        hops = (Hop(status, "https://e.org/a"),)
        assert fresh_s(answered(hops, cache_control="max-age=60")) == seconds


def test_validators_go_to_the_url_that_they_are_of() -> None:
    asked = conditions_of(answered(etag='W/"1"', last_modified="Thu, 01 Jan 2026 00:00:00 GMT"))
    assert asked == {
        "https://e.org/": {
            "If-None-Match": 'W/"1"',
            "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
    }
    assert conditions_of(answered(etag='"1"', cache_control="no-store")) == {}
    assert conditions_of(answered()) == {}
