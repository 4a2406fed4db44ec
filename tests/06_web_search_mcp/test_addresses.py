"""When two addresses are the same page."""

import base64
from time import process_time
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tld import get_fld

from web_search.addresses import identity, plainness, shown, site

PAGE = "https://example.org/a-page?id=7"


def of_bing(url: str) -> str:
    coded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return f"https://www.bing.com/ck/a?!&&p=ab12&ptn=3&u=a1{coded}&ntb=1"


@pytest.mark.parametrize(
    "wrapped",
    [
        f"//duckduckgo.com/l/?uddg={quote(PAGE, safe='')}&rut=0a1b",
        f"https://html.duckduckgo.com/l/?kh=-1&uddg={quote(PAGE, safe='')}",
        of_bing(PAGE),
        f"https://www.google.com/url?sa=t&q={quote(PAGE, safe='')}&ved=2",
        f"https://www.google.co.uk/url?url={quote(PAGE, safe='')}",
        "https://www.google.com/amp/s/example.org/a-page?id=7",
        "https://example-org.cdn.ampproject.org/c/s/example.org/a-page?id=7",
        f"https://r.search.yahoo.com/_ylt=Aw/RE=17/RU={quote(PAGE, safe='')}/RK=2/RS=x-",
        of_bing(f"https://duckduckgo.com/l/?uddg={quote(PAGE, safe='')}"),
        f"{PAGE}&utm_source=x&UTM_Medium=y&gclid=1&fbclid=2&msclkid=3&mc_eid=4&igshid=5",
        "HTTPS://Example.ORG:443/a-page?id=7",
        f"{PAGE}#:~:text=marked",
    ],
)
def test_redirects_of_engines_and_tracking_leave_the_page_itself(wrapped) -> None:
    assert shown(wrapped) == PAGE


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "ftp://example.org/",
        "mailto:a@example.org",
        "/relative",
        "",
        "https://",
        "https://user@example.org/",
        "https://www.paypal.com@evil.example/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://exa mple.org/",
        "https://example.org\\@evil.example/",
        "https://example.org/a\nb",
        "https://example.org/\ud800",
        "https://[::1/",
        f"https://example.org/{'a' * 3000}",
        f"https://www.google.com/url?q={quote('javascript:alert(1)', safe='')}",
        of_bing("file:///etc/passwd"),
        "https://duckduckgo.com/y.js?ad_domain=shop.example&u3=x",
        "https://www.bing.com/aclick?ld=1",
        "https://www.googleadservices.com/pagead/aclk?sa=L",
    ],
)
def test_what_is_no_page_or_an_advert_is_none(url) -> None:
    assert shown(url) is None


def test_redirects_within_redirects_end() -> None:
    url = PAGE
    for _ in range(10):
        url = f"https://duckduckgo.com/l/?uddg={quote(url, safe='')}"
    assert shown(url) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org", "https://www.example.org/"),
        ("https://example.org/a/", "https://example.org/a#part"),
        ("https://example.org:443/a", "http://example.org:80/a"),
        ("https://example.org/?a=1&b=2", "https://example.org/?b=2&a=1"),
        ("https://m.example.org/x", "https://example.org/x"),
        ("https://en.m.wikipedia.org/wiki/Tea", "https://en.wikipedia.org/wiki/Tea"),
        ("https://example.org/some-story/amp/", "https://example.org/some-story"),
        ("https://amp.example.org/some-story", "https://example.org/some-story?amp=1"),
        ("https://example.org/%7Eann/%c3%a4", "https://example.org/~ann/ä"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://www.example.co.uk/", "https://example.co.uk/"),
    ],
)
def test_spellings_of_one_page_are_one(one, other) -> None:
    assert identity(shown(one) or "") == identity(shown(other) or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.org/a", "https://example.org/A"),
        ("https://example.org/?a=1&a=2", "https://example.org/?a=2&a=1"),
        ("https://example.org/a%2Fb", "https://example.org/a/b"),
        ("https://www.co.uk/x", "https://co.uk/x"),
        ("https://m.com.au/x", "https://com.au/x"),
        ("https://example.org:8080/", "https://example.org/"),
        ("https://example.org/wiki/amp", "https://example.org/wiki"),
        ("https://example.org/?ref=main", "https://example.org/?ref=dev"),
        ("https://straße.example/", "https://strasse.example/"),
        ("https://аррӏе.example/", "https://apple.example/"),
        ("https://metro.example.org/", "https://example.org/"),
    ],
)
def test_other_pages_stay_others(one, other) -> None:
    assert identity(shown(one) or "one") != identity(shown(other) or "other")


def test_a_name_that_looks_like_another_is_shown_in_the_letters_of_the_dns() -> None:
    assert (shown("https://аррӏе.example/") or "").startswith("https://xn--")


def test_of_one_page_the_encrypted_address_for_every_screen_is_the_plainest() -> None:
    addresses = [
        "http://example.org/a",
        "https://m.example.org/a",
        "https://www.example.org/a",
        "http://m.example.org/a",
    ]
    assert min(addresses, key=plainness) == "https://www.example.org/a"
    assert site("https://www.example.org/a") == "example.org"


LABEL = st.sampled_from(
    ["www", "m", "mobile", "amp", "a", "example", "shop-1", "co", "x_y", "wikipedia", "google"]
)
SUFFIX = st.sampled_from(
    ["com", "org", "net", "de", "co.uk", "org.uk", "com.au", "co.jp", "com.br", "gv.at", "co.nz",
     "ac.in", "gov.pl", "edu.cn", "io", "com.tr", "co.za", "gob.mx", "or.kr", "net.il"]
)  # fmt: skip
HOST = st.tuples(st.lists(LABEL, min_size=1, max_size=4), SUFFIX).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)
TAIL = st.text("abAB%2fF0/?&=#+~;.-_:äß é[]|<\"'amp", max_size=40)
URLS = st.builds(
    lambda scheme, host, port, tail: f"{scheme}://{host}{port}/{tail}",
    st.sampled_from(["http", "https", "HTTPS"]),
    HOST,
    st.sampled_from(["", ":80", ":443", ":8080"]),
    TAIL,
)


@given(URLS)
def test_what_was_cleaned_once_is_clean(url) -> None:
    clean = shown(url)
    assert clean is None or shown(clean) == clean
    if clean is not None:
        assert clean.isascii()
        assert identity(identity(clean)) == identity(clean)


@given(URLS)
@example("http://www.co.com/")
def test_no_page_is_taken_for_one_of_somebody_else(url) -> None:
    clean = shown(url)
    if clean is None:
        return
    before = get_fld(url, fail_silently=True)
    if "google" not in urlsplit(url).netloc:  # whose redirects lead away on purpose
        assert get_fld(clean, fail_silently=True) == before
    assert get_fld(identity(clean), fail_silently=True) == get_fld(clean, fail_silently=True)


@given(st.text(max_size=200))
def test_any_text_is_an_answer_or_none(text) -> None:
    clean = shown(text)
    assert clean is None or clean.startswith(("http://", "https://"))


@given(URLS, st.sampled_from(["utm_source", "gclid", "fbclid", "MSCLKID", "mc_eid"]))
def test_a_tracking_parameter_makes_no_other_page(url, name) -> None:
    url = url.strip()
    tracked = f"{url}{'&' if '?' in url.partition('#')[0] else '?'}{name}=abc"
    if "#" not in url:
        assert shown(tracked) == shown(url)


@pytest.mark.parametrize(
    "url",
    [
        f"https://a.example/{'-' * 2000}",
        f"https://a.example{'/a-1/amp' * 250}",
        f"https://{'ä' * 2000}.example/",
        f"https://{'www.' * 60}example/",
        f"https://a.example/?{'&' * 2000}",
        f"https://a.example/{'%' * 600}",
        f"https://duckduckgo.com/l/?{'uddg=x&' * 250}",
        f"https://r.search.yahoo.com{'/RU=' * 400}",
    ],
)
def test_no_address_takes_long_to_read(url) -> None:
    started = process_time()
    for _ in range(20):
        identity(shown(url) or url)
    assert process_time() - started < 0.3
