"""Blocks become Markdown that says what the page says: tables, code, lists, notes, formulas."""

import pytest

from web_browsing.reading.page import read_html

URL = "https://a.example/docs/page.html"


def markdown(body: str) -> str:
    return read_html(f"<body>{body}</body>", URL, whole=True).text


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2>A <b>b</b></h2><p>x", "## A **b**\n\nx"),
        ("<p>a\n  b&nbsp;c<br>d", "a b c\nd"),
        ("<p>a <strong>b </strong>c <em> d</em>", "a **b** c *d*"),
        ("<p>a <del>b</del> <q>c</q>", "a ~~b~~ “c”"),
        ("<p># no heading<p>1. no list<p>- none<p>&gt; none", None),
        ("<p><code>a`b</code> and <kbd>Ctrl</kbd>", "``a`b`` and `Ctrl`"),
        ("<p>10<sup>6</sup> H<sub>2</sub>O", "10^6 H2O"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("<p>a<hr><p>b", "a\n\n---\n\nb"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "**a**\n: b\n**c**\n: d"),
        ("<details><summary>a</summary><p>b</details>", "**a**\n\nb"),
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul><li>d</ul>", "- a\n  - b\n    1. c\n- d"),
        ("<ol start=7><li>a<li><p>b<p>c</ol>", "7. a\n8. b\n\n   c"),
        ("<ul><li><input type=checkbox checked>a<li><input type=checkbox>b</ul>", None),
        ("<p>a<figure><img src=/i.png alt=x><figcaption>c</figure>", None),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢 (kan)"),
        ("<div>a<p>b</p>c</div>", "a\n\nb\n\nc"),
        ("<b><p>a</p><p>b</p></b>", "a\n\nb"),
    ],
)
def test_each_element_has_its_form(html: str, expected: str | None) -> None:
    special = {
        "<p># no": "\\# no heading\n\n1\\. no list\n\n\\- none\n\n\\> none",
        "<ul><li><i": "- [x] a\n- [ ] b",
        "<p>a<fig": "a\n\n![x](https://a.example/i.png)\n\nc",
    }
    wanted = expected or next(text for start, text in special.items() if html.startswith(start))
    assert markdown(html) == wanted


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<a href=other.html>a</a>", "[a](https://a.example/docs/other.html)"),
        ("<a href=//b.example/x>a [b]</a>", "[a \\[b\\]](https://b.example/x)"),
        ("<a href='x (1).html'>a</a>", "[a](https://a.example/docs/x%20%281%29.html)"),
        ("<a href=#part>a</a>", "a"),
        ("<a href='page.html#part'>a</a>", "a"),
        ("<a href='javascript:alert(1)'>a</a>", "a"),
        ("<a href=' java\tscript:alert(1)'>a</a>", "a"),
        ("<a href='data:text/html,x'>a</a>", "a"),
        ("<a href='file:///etc/passwd'>a</a>", "a"),
        ("<a href='mailto:a@b.example'>a</a>", "a"),
        ("<a href='http://[::1'>a</a>", "a"),
        ("<a href='https:///b.example/x'>a</a>", "[a](https://b.example/x)"),
        ("<a href='\\\\b.example\\x?a\\b'>a</a>", "[a](https://b.example/x?a%5Cb)"),
        (f"<a href='https://a.example/{'x' * 3000}'>a</a>", "a"),
        ("<a href=/x><img src=i.png alt=i></a>", None),
        ("<a href=https://a.example/x>https://a.example/x</a>", "<https://a.example/x>"),
        ("<a href=/x></a>a", "a"),
        ("<a href=/x><h3>a</h3><p>b</p></a>", None),
    ],
)
def test_links_lead_to_the_web_or_nowhere(html: str, expected: str | None) -> None:
    special = {
        "<a href=/x><img": "[![i](https://a.example/docs/i.png)](https://a.example/x)",
        "<a href=/x><h3": "### [a](https://a.example/x)\n\n[b](https://a.example/x)",
    }
    wanted = expected or next(text for start, text in special.items() if html.startswith(start))
    assert markdown(html) == wanted


def test_the_pages_base_counts_where_it_is_one_of_the_web() -> None:
    text = read_html("<base href='/other/'><p><a href=x>a</a>", URL, whole=True).text
    assert text == "[a](https://a.example/other/x)"
    text = read_html("<base href='javascript:1'><p><a href=x>a</a>", URL, whole=True).text
    assert text == "[a](https://a.example/docs/x)"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<tr><th>a<th>b<tr><td>1<td>2|3", "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |"),
        ("<tr><td colspan=2>a<tr><td>1<td>2", "| a |  |\n| --- | --- |\n| 1 | 2 |"),
        ("<tr><td rowspan=2>a<td>b<tr><td>c", "| a | b |\n| --- | --- |\n|  | c |"),
        ("<tr><td>a<td>b<td>c<tr><td>1", "| a | b | c |\n| --- | --- | --- |\n| 1 |  |  |"),
        ("<tr><td>a<td>b<tr><td><td>2", "| a | b |\n| --- | --- |\n|  | 2 |"),
        ("<caption>C</caption><tr><th>a<th>b", "**C**\n\n| a | b |\n| --- | --- |"),
        ("<tr><td>a<br>b<td><ul><li>c<li>d</ul>", None),
        ("<tr><td><h2>a</h2><p>b<td>c", "## a\n\nb\n\nc"),
        ("<tr><td>only<tr><td>one column", "only\n\none column"),
    ],
)
def test_tables_are_tables_and_layout_is_not(html: str, expected: str | None) -> None:
    text = markdown(f"<table>{html}</table>")
    assert text == (expected or "|  |  |\n| --- | --- |\n| a b | c d |")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<pre>a\n  b\n</pre>", "```\na\n  b\n```"),
        ("<pre><code class='language-rust'>x | y</code></pre>", "```rust\nx | y\n```"),
        ("<div><pre class='hljs python'><span>a</span>\n<b>b</b></pre></div>", None),
        ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ("<pre><div>a</div><div>b</div></pre>", "```\na\nb\n```"),
        (
            "<table><tr><td class=gutter><pre>1\n2</pre><td class=code><pre>a\nb</pre></table>",
            "```\na\nb\n```",
        ),
        ("<pre><span class=lineno>1 </span>a</pre>", "```\na\n```"),
    ],
)
def test_code_keeps_its_lines_and_its_language(html: str, expected: str | None) -> None:
    assert markdown(html) == (expected or "```python\na\nb\n```")


def test_notes_at_the_foot_are_joined_to_their_marks() -> None:
    html = "<p>Said<sup><a href=#n1>[1]</a></sup>.<ol><li id=n1>By whom.<li>Other.</ol>"
    assert markdown(html) == "Said[^1].\n\n[^1]: By whom.\n2. Other."


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a <math alttext='x^2'><mi>x</mi></math>", "a $x^2$"),
        (
            "<math display=block><semantics><mi>x</mi>"
            "<annotation encoding='application/x-tex'>\\frac{a}{b}</annotation></semantics></math>",
            "$$\\frac{a}{b}$$",
        ),
        (
            "<span class=katex><span class=katex-mathml><math><annotation encoding="
            "application/x-tex>y</annotation></math></span><span class=katex-html aria-hidden=true>"
            "yy</span></span>",
            "$y$",
        ),
        ("<math><mi>a</mi><mo>=</mo><mn>1</mn></math>", "$a = 1$"),
    ],
)
def test_formulas_are_told_as_tex_where_the_page_has_it(html: str, expected: str) -> None:
    assert markdown(html) == expected


def test_pictures_are_told_by_their_words_and_data_is_cut() -> None:
    data = "data:image/png;base64," + "A" * 12_300
    assert markdown(f"<p>x <img src='{data}' alt=chart>") == (
        "x ![chart](data:image/png;… (12 KB cut))"
    )
    assert markdown(f"<p>x {data}") == "x data:image/png;… (12 KB cut)"
    assert markdown("<p>x <img src=i.png><img src=p.gif width=1 alt=t>") == "x"
    late = "<img src='data:image/gif;base64,R0' data-src=/late.png alt=l>"
    assert markdown(late) == "![l](https://a.example/late.png)"


def test_plain_text_has_no_marks() -> None:
    html = "<h1>A</h1><p><b>b</b> <a href=/x>c</a><table><tr><th>a<th>b|c</table><pre>x\ny</pre>"
    read = read_html(html, URL, "text", whole=True)
    assert read.text == "A\n\nb c\n\na\tb|c\n\nx\ny"


def test_html_keeps_harmless_elements_and_attributes_alone() -> None:
    html = (
        "<section onclick=a() style='color:red' class=c id=i><h2>A</h2>"
        "<p onmouseover=b()>b<script>c()</script><a href='javascript:d' onclick=e>e</a>"
        "<a href=/x target=_blank>f</a><img src=x.png onerror=g() alt='\"<b>'>"
        "<img src='data:image/svg+xml,<svg onload=1>'><form action=/s><button>h</button></form>"
        "<iframe src=/i></iframe><custom-el>i</custom-el> 1 &lt; 2 &amp; 3</section>"
    )
    assert read_html(html, URL, "html", whole=True).text == (
        '<section><h2>A</h2><p>be<a href="https://a.example/x">f</a>'
        '<img alt="&quot;&lt;b&gt;" src="https://a.example/docs/x.png"><img></p>h'
        "i 1 &lt; 2 &amp; 3</section>"
    )
