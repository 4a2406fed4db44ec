"""A page is read for its main text, with what it says of itself and where it leads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web_browsing.reading.page import Form, read_html

URL = "https://a.example/guide/install.html"
PROSE = "It goes on at some length about the matter, so that anybody can see that this is prose. "

ARTICLE = f"""<!doctype html><html lang="en-GB"><head><title>Install — Example</title>
<meta name="description" content="How to install."><meta property="og:site_name" content="Example">
<link rel="canonical" href="/guide/install"></head><body>
<header><a href="/">Example</a><form><input name=q></form></header>
<nav><ul><li><a href="/docs">Docs</a><li><a href="/blog">Blog</a></ul></nav>
<main><article><h1>Install</h1><p>First of all: {PROSE * 3}</p>
<h2>By hand</h2><p>Then {PROSE * 3}</p><pre><code class="language-sh">make
make install</code></pre>
<h2>Flags</h2><p>There are two. {PROSE * 2}</p>
<table><tr><th>Flag<th>Means</tr><tr><td>-v<td>More words</tr><tr><td>-q<td>Fewer</tr></table>
<ul><li>one</li><li>two</li><li>three: {PROSE}</li></ul>
<p>At last: {PROSE * 3}</p></article>
<aside class="related"><h3>Related</h3><a href="/x">Uninstall everything now</a></aside>
<div class="newsletter"><h3>Newsletter</h3><p>Subscribe to get the news each week.</p></div>
</main><footer><p>Copyright Example Inc. All rights reserved.</p></footer></body></html>"""


def test_the_main_text_has_its_headings_code_tables_and_lists_and_no_frame() -> None:
    text = read_html(ARTICLE, URL).text
    for kept in (
        "First of all:",
        "## By hand",
        "```sh\nmake\nmake install\n```",
        "| Flag | Means |\n| --- | --- |\n| -v | More words |\n| -q | Fewer |",
        "- one\n- two\n- three:",
        "At last:",
    ):
        assert kept in text
    for left in ("Docs", "Blog", "Related", "Uninstall", "Newsletter", "Copyright", "# Install"):
        assert left not in text.replace("## ", "")


def test_the_whole_page_has_its_frame_too() -> None:
    text = read_html(ARTICLE, URL, whole=True).text
    for kept in ("Docs", "# Install", "Related", "Subscribe", "Copyright", "-q"):
        assert kept in text


def test_what_is_said_of_the_page_and_its_links_are_told() -> None:
    read = read_html(ARTICLE, URL)
    assert (read.about.title, read.about.language) == ("Install", "en-GB")
    assert read.about.site_name == "Example"
    assert read.about.description == "How to install."
    assert read.about.canonical_url == "https://a.example/guide/install"
    assert [(each.url, each.text) for each in read.links] == [
        ("https://a.example/", "Example"),
        ("https://a.example/docs", "Docs"),
        ("https://a.example/blog", "Blog"),
        ("https://a.example/x", "Uninstall everything now"),
    ]
    assert (read.notes, read.needs_script) == ((), False)


def test_code_and_tables_are_read_where_there_is_hardly_anything_else() -> None:
    rows = "".join(f"<tr><td>name{i}<td>{i}<td>{i * i}" for i in range(60))
    text = read_html(f"<body><h1>Squares</h1><table>{rows}</table></body>", URL).text
    assert "| name7 | 7 | 49 |" in text
    text = read_html(f"<body><pre>{'x = 1; ' * 40}</pre></body>", URL).text
    assert text.startswith("```\nx = 1;")


@pytest.mark.parametrize("around", ["{}", "<div class=wide>{}</div>"])
def test_a_text_may_end_with_a_table_and_code_of_its_own(around: str) -> None:
    table = "<table><tr><th>Day</th><th>High</th></tr><tr><td>Mon</td><td>4.2 m</td></tr></table>"
    page = (
        f"<main><h1>Tides</h1><p>{PROSE * 2}</p>{around.format(table)}<pre>tide --today</pre>"
        "<form><input name=q><button>Search</button></form></main>"
        "<footer><table><tr><td>Imprint</td></tr></table></footer>"
    )
    text = read_html(page, "https://example.org/").text
    assert "| Mon | 4.2 m |" in text
    assert "tide --today" in text
    assert "Imprint" not in text


def test_a_page_of_links_is_read_as_one() -> None:
    links = "".join(f"<li><a href='/{i}'>Story number {i} of the day</a>" for i in range(40))
    text = read_html(f"<nav>Menu</nav><div><ul>{links}</ul></div>", URL).text
    assert "[Story number 7 of the day](https://a.example/7)" in text
    assert "Menu" not in text


def test_a_long_page_is_read_without_the_library_that_is_slow_on_it() -> None:
    sections = "".join(
        f"<h2>Part {i}</h2><p>{PROSE}</p><p>And more: {PROSE}</p>" for i in range(5000)
    )
    html = f"<nav><a href=/>Home</a></nav><main>{sections}</main><footer>Imprint</footer>"
    text = read_html(html, URL).text
    assert text.count("## Part") == 5000
    assert "Home" not in text
    assert "Imprint" not in text


def test_headings_that_are_links_to_themselves_stay_and_buttons_go() -> None:
    html = (
        f"<title>Ways - The Book</title><h1>The Book</h1><main><h1><a href=#w>Ways</a></h1>"
        f"<p>{PROSE * 4}</p><h2 id=a><a href='#a'>The first</a> <button>Copy</button></h2>"
        f"<p>{PROSE * 4}</p><h2>Nothing below</h2></main>"
    )
    read = read_html(html, URL)
    assert read.about.title == "Ways"
    assert "## The first\n" in read.text
    for left in ("Ways", "Copy", "Nothing below"):
        assert left not in read.text
    assert "Copy" in read_html(html, URL, whole=True).text


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ("<div id=root></div><script src=app.js></script>", True),
        ("<div id=app>Loading…</div><script>x</script>", True),
        ("<app-root></app-root><script src=main.js></script>", True),
        (
            "<noscript>You need to enable JavaScript to run this app.</noscript><script></script>",
            True,
        ),
        ("<p>Please turn on JavaScript and reload the page.</p><script src=x></script>", True),
        ("<p>JavaScript is disabled in your browser.</p><script src=x></script>", True),
        ("<script src=x></script>", True),
        ("<div id=root></div>", False),
        (f"<div id=root><p>{PROSE * 4}</p></div><script src=app.js></script>", False),
        (f"<p>{PROSE * 12} Enable JavaScript for comments.</p><script src=x></script>", False),
        (f"<p>{PROSE * 2}</p><script src=x></script>", False),
    ],
)
def test_a_page_that_says_nothing_without_its_script_is_known(body: str, needs: bool) -> None:
    assert read_html(f"<html><body>{body}</body></html>", URL).needs_script is needs


def test_what_stands_for_those_without_scripts_is_read_where_it_is_all_there_is() -> None:
    html = f"<body><div id=app></div><script></script><noscript><p>{PROSE * 5}</p></noscript>"
    assert PROSE.strip() in read_html(html, URL).text


def ld(**thing: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(thing)}</script>'


def test_json_ld_tells_of_the_article() -> None:
    graph = [
        {"@type": "WebSite", "name": "Site"},
        {
            "@type": ["NewsArticle", "Thing"],
            "headline": "A headline",
            "author": [{"@type": "Person", "name": "Ann"}, {"name": "Bob"}, "Cy"],
            "datePublished": "2024-02-30",
            "dateModified": "2024-03-01T10:00:00Z",
            "publisher": {"name": "The Paper"},
        },
    ]
    about = read_html(f"<head>{ld(**{'@graph': graph})}</head><p>x", URL).about
    assert (about.title, about.author) == ("A headline", "Ann, Bob, Cy")
    assert (about.published_at, about.modified_at) == (None, "2024-03-01T10:00:00+00:00")
    assert (about.site_name, about.kind) == ("The Paper", "NewsArticle")


@pytest.mark.parametrize(
    "head",
    [
        ld(**{"@type": "Article", "headline": 7, "author": {"name": ["x"]}, "publisher": []}),
        ld(**{"@type": {"a": 1}, "datePublished": "soon"}),
        '<script type="application/ld+json">{"@type": "Article",</script>',
        f'<script type="application/ld+json">{"[" * 100_000}</script>',
        "<meta property=og:url content='javascript:alert(1)'>",
        "<link rel=canonical href='file:///etc/passwd'>",
        "<meta property=og:image content='data:image/png;base64,AAAA'>",
        "<html lang='x y z;drop'><meta name=author content='https://a.example/ann'>",
        "<meta property=article:published_time content='9999-99-99'>",
    ],
)
def test_what_a_page_says_wrongly_of_itself_is_left_out(head: str) -> None:
    about = read_html(f"<head>{head}</head><body><p>x", URL).about
    assert (about.author, about.published_at, about.language) == (None, None, None)
    assert (about.canonical_url, about.image_url, about.title) == (None, None, None)


def test_what_a_page_says_of_itself_is_short_and_in_one_line() -> None:
    title = "a\x1b[2Jb\n" + "long " * 1000
    about = read_html(f"<head><title>{title}</title></head><p>x", URL).about
    assert about.title is not None
    assert (len(about.title), about.title.isprintable()) == (500, True)
    assert about.title.startswith("a")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00+02:00"),
        ("2024/5/1", "2024-05-01"),
        ("2024-05-01 10:00:00 UTC", "2024-05-01"),
        ("yesterday", None),
    ],
)
def test_a_date_is_iso_or_nothing(said: str, told: str | None) -> None:
    html = f"<meta property='article:published_time' content='{said}'><p>x"
    assert read_html(html, URL).about.published_at == told


def test_links_are_told_once_in_order_and_at_most_two_thousand() -> None:
    html = "".join(f"<a href='/{i}' rel=nofollow>{i} {'x' * 300}</a>" for i in range(2500))
    links = read_html(f"<p><a href='/7'></a>{html}", URL).links
    assert len(links) == 2000
    assert [each.url for each in links[:3]] == [f"https://a.example/{i}" for i in (7, 0, 1)]
    assert links[0].text.startswith("7 x")
    assert {len(each.text) for each in links} == {200}
    assert links[1].rel == "nofollow"


_WORDS = (
    "<p> <div> </div> <table> <tr> <td> </table> <ul> <li> </ul> <a href=x> </a> <pre> </pre> <b>"
    " </b> <script> </script> <style>.a{display:none}</style> <p class=a> <div style='opacity:0'>"
    " <math> <img src=x alt=y> <h1> </h1> <br> <hr> <dl> <dt> <dd> <!-- --> <![CDATA[ & < > \" ' ="
    " &#0; &#x110000; \0 \ud800 \u200b 漢 text words `` ``` | # [ ] ( ) <sup> <blockquote>"
    " <noscript> <template> <select> <base href=//[> <ol start=-5> <td colspan=99999> <title>"
    " <meta name=a>"
    " <details> <summary> <figure> <form> <frameset> </html> <body> <svg> </svg>"
)
_PIECES = st.sampled_from(_WORDS.split())


@given(
    st.lists(_PIECES, max_size=60).map(" ".join) | st.text(),
    st.sampled_from(["markdown", "text", "html"]),
    st.booleans(),
)
def test_no_page_is_too_broken_to_be_read(html: str, form: Form, whole: bool) -> None:
    read = read_html(html, URL, form, whole=whole)
    assert "\u200b" not in read.text
    if form == "html":
        assert "<script" not in read.text
        assert "<style" not in read.text
