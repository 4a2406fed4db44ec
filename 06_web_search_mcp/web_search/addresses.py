"""When two addresses are the same page, and which of them to show. Pure.

`shown` is what a person opens: engines' own redirects unwrapped, tracking parameters gone, the rest
as the engine said it. `identity` is only for comparing: beyond that it knows no scheme, `www.`,
mobile host, AMP variant, order of parameters, trailing slash or fragment.
Sources: RFC 3986, section 6.2 (comparison), RFC 5891 (IDN, through yarl).
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

from yarl import URL

MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253
MAX_UNWRAPPED = 4
"""Redirects within redirects that are followed on paper."""

_TRACKING_PREFIXES = ("utm_", "pk_", "piwik_", "mtm_", "matomo_", "hsa_", "__hs", "oly_", "vero_")
_TRACKING = frozenset(
    {
        *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "srsltid", "_ga", "_gl"),
        *("fbclid", "msclkid", "yclid", "ysclid", "twclid", "ttclid", "li_fat_id"),
        *("igshid", "igsh", "mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi", "hsctatracking"),
        *("ref_src", "ref_url", "wickedid", "rb_clickid", "epik", "zanpid"),
        *("guccounter", "guce_referrer", "guce_referrer_sig", "cmpid", "ncid"),
    }
)
_AMP_PARAMETERS = frozenset({("amp", ""), ("amp", "1"), ("amp", "true"), ("outputtype", "amp")})
_MOBILE_LABELS = frozenset({"m", "mobile", "amp"})
# Only these keep `m` behind the language: en.m.wikipedia.org.
_WIKIS = frozenset(
    f"{name}.org"
    for name in ("wikipedia", "wiktionary", "wikivoyage", "wikibooks", "wikiquote", "wikisource")
)
# Where a country gives names below its own (co.uk, com.au), `www.co.uk` is a site like any other.
_SECOND_LEVELS = frozenset(
    {
        *("asso", "biz", "com", "edu", "firm", "gen", "gob", "gouv", "gov", "govt", "gub", "info"),
        *("int", "k12", "ltd", "med", "mil", "mod", "muni", "net", "nhs", "nom", "org", "plc"),
        *("police", "press", "priv", "pro", "sch", "school", "sci", "web"),
    }
)
# Below these, too, of the kind that anybody may register: companies let names there.
_LET_BELOW = frozenset(
    {
        *(f"{name}.com" for name in ("br", "cn", "co", "de", "eu", "gr", "hk", "it", "ru", "sa")),
        *(f"{name}.com" for name in ("uk", "us", "za")),
        *(f"{name}.net" for name in ("gb", "hu", "in", "jp", "ru", "se", "ts", "uk", "za")),
        *(f"{name}.org" for name in ("ae", "eu", "hk", "js", "us", "za")),
        "co.io",
    }
)
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_-]{1,63})*")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_IN_PATH = "/%:@!$&'()*+,;=~-._"
_IN_QUERY = f"{_IN_PATH}?"
_GOOGLE = re.compile(r"(www\.)?google\.([a-z]{2,3}|com?\.[a-z]{2})")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    fragment: str

    def joined(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        query = f"?{self.query}" if self.query else ""
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.scheme}://{host}{port}{self.path}{query}{fragment}"


def shown(url: str) -> str | None:
    """The address to open; None where it is no page: other schemes, user names in it, adverts."""
    parts = _read(url)
    for _ in range(MAX_UNWRAPPED):
        if parts is None or _is_advert(parts):
            return None
        inner = _wrapped(parts)
        if inner is None:
            address = _clean(parts).joined()
            return address if len(address) <= MAX_URL_CHARS else None
        parts = _read(inner)
    return None


def identity(url: str) -> str:
    """What all addresses of a page have in common; for what `shown` returned."""
    parts = _read(url)
    if parts is None:
        return url
    path = _without_amp(_unescaped(parts.path).rstrip("/")) or "/"
    kept = [
        each
        for each in _unescaped(_clean(parts).query).split("&")
        if each and _pair(each) not in _AMP_PARAMETERS
    ]
    # The order among the values of one name may mean something; that among names does not.
    query = "&".join(sorted(kept, key=lambda each: each.partition("=")[0]))
    port = parts.port if parts.port not in _DEFAULT_PORTS.values() else None
    return _Parts("https", _bare(parts.host), port, path, query, "").joined()


def plainness(url: str) -> tuple[bool, bool]:
    """Sorts the addresses of one page: the encrypted first, then the one for every screen."""
    parts = _read(url)
    if parts is None:
        return (True, True)
    special = _bare(parts.host) != parts.host.removeprefix("www.") or "amp" in parts.path.split("/")
    return (parts.scheme != "https", special)


def site(url: str) -> str | None:
    """The host without `www.`, as a person names the source; IDN as in the DNS."""
    parts = _read(url)
    return None if parts is None else parts.host.removeprefix("www.")


def _read(url: str) -> _Parts | None:
    text = f"https:{url}" if url.startswith("//") else url
    if len(text) > 4 * MAX_URL_CHARS or _UNFIT.search(text.strip()):
        return None
    try:
        split = urlsplit(text.strip())
        port = split.port
    except ValueError:
        return None
    scheme = split.scheme.lower()
    # Nothing that people look for has a user name in its address; what deceives them has.
    if scheme not in _DEFAULT_PORTS or "@" in split.netloc or port == 0:
        return None
    host = _ascii_host(split.hostname or "")
    if host is None:
        return None
    return _Parts(
        scheme=scheme,
        host=host,
        port=None if port == _DEFAULT_PORTS[scheme] else port,
        path=_quoted(split.path, _IN_PATH) or "/",
        query=_quoted(split.query, _IN_QUERY),
        fragment=_quoted(split.fragment, _IN_QUERY),
    )


def _quoted(text: str, safe: str) -> str:
    return quote(_STRAY.sub("%25", text), safe=safe)


def _ascii_host(host: str) -> str | None:
    """In the DNS's own letters, so that one that looks like another does not."""
    if len(host) > MAX_HOST_CHARS:
        return None
    name = host.lower().rstrip(".")
    if ":" in name:
        return name if re.fullmatch(r"[0-9a-f:.]+", name) else None
    if not name.isascii():
        try:
            name = (URL.build(scheme="https", host=name).raw_host or "").lower()
        except ValueError:
            return None
    return name if _HOST.fullmatch(name) and ".." not in name else None


def _is_advert(parts: _Parts) -> bool:
    """A paid click through the engine, which leads nobody knows where."""
    host = parts.host.removeprefix("www.")
    if host == "duckduckgo.com":
        return parts.path == "/y.js"
    if host == "bing.com":
        return parts.path.startswith("/aclick") or parts.path.startswith("/aclk")
    if _GOOGLE.fullmatch(parts.host):
        return parts.path == "/aclk"
    return host == "googleadservices.com"


def _wrapped(parts: _Parts) -> str | None:
    """The page that a search engine's own redirect leads to; None where it is none."""
    host = parts.host.removeprefix("www.")
    if host in ("duckduckgo.com", "html.duckduckgo.com") and parts.path.rstrip("/") == "/l":
        return _parameter(parts, "uddg")
    if host == "bing.com" and parts.path.startswith("/ck/a"):
        return _of_bing(_parameter(parts, "u"))
    if _GOOGLE.fullmatch(parts.host):
        if parts.path == "/url":
            return _parameter(parts, "q") or _parameter(parts, "url")
        if parts.path.startswith("/amp/"):
            return _of_amp_cache(parts.path.removeprefix("/amp/"), parts.query)
    if host.endswith("cdn.ampproject.org") and parts.path.startswith(("/c/", "/v/")):
        return _of_amp_cache(parts.path[3:], parts.query)
    if host == "r.search.yahoo.com":
        found = re.search(r"/RU=([^/]+)", parts.path)
        return unquote(found[1]) if found else None
    return None


def _of_bing(value: str | None) -> str | None:
    if value is None or not value.startswith("a1"):
        return None
    coded = value[2:]
    try:
        return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except (binascii.Error, ValueError):
        return None


def _of_amp_cache(rest: str, query: str) -> str:
    """`s/host/path` is https, `host/path` is not; the query is the page's."""
    page = f"https://{rest[2:]}" if rest.startswith("s/") else f"http://{rest}"
    return f"{page}?{query}" if query else page


def _parameter(parts: _Parts, name: str) -> str | None:
    try:
        return parse_qs(parts.query, max_num_fields=100).get(name, [None])[0]
    except ValueError:
        return None


def _clean(parts: _Parts) -> _Parts:
    kept = [each for each in parts.query.split("&") if each and not _tracks(_pair(each)[0])]
    # What a browser would mark in the text is the searcher's business, not the page's.
    fragment = parts.fragment.partition(":~:")[0]
    return _Parts(parts.scheme, parts.host, parts.port, parts.path, "&".join(kept), fragment)


def _tracks(name: str) -> bool:
    return name in _TRACKING or name.startswith(_TRACKING_PREFIXES)


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return unquote(name).lower(), value.lower()


def _bare(host: str) -> str:
    """The host without `www.` and mobile labels, never beyond the name that somebody registered."""
    labels = host.split(".")
    while len(labels) > 2 and _may_go(labels[0]) and not _is_suffix(labels[1:]):
        del labels[0]
    if len(labels) == 4 and labels[1] == "m" and ".".join(labels[2:]) in _WIKIS:
        del labels[1]
    return ".".join(labels)


def _may_go(label: str) -> bool:
    return label == "www" or label in _MOBILE_LABELS


def _is_suffix(labels: list[str]) -> bool:
    """Whether names are registered right below it, as far as can be told without the list.

    What is taken for one by mistake (`dw.de`) only keeps its `www.`.
    """
    if len(labels) != 2:
        return False
    in_country = len(labels[1]) == 2 and (len(labels[0]) == 2 or labels[0] in _SECOND_LEVELS)
    return in_country or ".".join(labels) in _LET_BELOW


def _without_amp(path: str) -> str:
    """Without a last `/amp` behind what looks like an article; `/wiki/amp` is one of its own."""
    while path.endswith("/amp"):
        article = path.removesuffix("/amp")
        if not any(char == "-" or char.isdigit() for char in article.rpartition("/")[2]):
            break
        path = article
    return path


def _unescaped(text: str) -> str:
    """Escapes that need not be are none; all others are in capitals (RFC 3986, 6.2.2)."""

    def one(found: re.Match[str]) -> str:
        char = chr(int(found[1], 16))
        return char if char in _UNRESERVED else found[0].upper()

    return _ESCAPE.sub(one, text)
