"""Where links lead, as short as they can be read. Pure."""

import re
from urllib.parse import quote, urljoin, urlsplit

MAX_CHARS = 200

TRACKING = re.compile(
    r"(?:utm_\w+|gclid|gbraid|wbraid|dclid|fbclid|msclkid|yclid|twclid|ttclid|igshid|mc_[ce]id|"
    r"_hs(?:enc|mi)|oly_(?:enc|anon)_id|vero_id|mkt_tok|_openstat)",
    re.IGNORECASE,
)
"""Parameters that say where a visitor came from and nothing of the page."""


def shortened(url: str, base_url: str) -> str:
    """Of the same origin as a path, without tracking; what no browser goes to is cut short.

    `base_url` is "" where it is not known: relative addresses stay as they are then. The result
    has no white space and no braces.
    """
    url = url.strip()
    scheme = url.partition(":")[0].lower() if ":" in url[:20] else ""
    if scheme == "data":
        return _safe(url.partition(",")[0][:40]) + ",…"
    if scheme in ("javascript", "vbscript", "blob"):
        return f"{scheme}:…"
    try:
        whole = urljoin(base_url, url) if base_url else url
        parts, here = urlsplit(whole), urlsplit(base_url)
    except ValueError:
        return _cut(_safe(url))
    kept = [each for each in parts.query.split("&") if not TRACKING.fullmatch(each.split("=")[0])]
    parts = parts._replace(query="&".join(kept))
    same_origin = (parts.scheme, parts.netloc) == (here.scheme, here.netloc)
    if same_origin and base_url and parts.netloc:
        parts = parts._replace(scheme="", netloc="")
        if parts.fragment and (parts.path, parts.query) == (here.path, here.query):
            return _cut(_safe(f"#{parts.fragment}"))
    return _cut(_safe(parts.geturl() or "/"))


def _safe(url: str) -> str:
    # What is percent-encoded already stays so.
    return (
        quote(url, safe="%/:?#[]@!$&'()*+,;=~-._|\\^`<>\"")
        if not url.isascii()
        else re.sub(r"[\s{}\x00-\x1f\x7f]", lambda found: f"%{ord(found[0]):02X}", url)
    )


def _cut(url: str) -> str:
    return url if len(url) <= MAX_CHARS else url[: MAX_CHARS - 1] + "…"
