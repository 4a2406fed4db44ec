"""What an engine's page or status means where it is no result. Pure.

An engine that takes us for a robot seldom says so by its status: it sends a page in the place of
results. Such a page must never pass for "nothing found".
"""

from collections.abc import Mapping
from typing import Any

from flotilla import FlotillaError, InvalidArgument, RateLimited, UpstreamError
from flotilla.upstream import retry_after_s, upstream_error
from web_search.engine import Blocked

REST_S = 60.0
"""How long an engine that says no time is left alone."""
_REFUSED = frozenset({401, 403, 405, 406, 418, 451})
_WALL_HEADERS = ("cf-mitigated", "x-amzn-waf-action", "x-yandex-captcha")
"""By which gateways say, whatever the status, that the page is a challenge."""
_CHALLENGES = (
    "//form[@id='challenge-form'] | //form[contains(@action, 'captcha')]"
    " | //form[contains(@action, 'anomaly.js')] | //*[contains(@class, 'anomaly-modal')]"
    " | //*[contains(@class, 'g-recaptcha') or contains(@class, 'h-captcha')"
    " or contains(@class, 'cf-turnstile')]"
    " | //script[contains(@src, '/recaptcha/') or contains(@src, 'challenge-platform')]"
)
_CONSENTS = (
    "//form[contains(@action, 'consent.') or contains(@action, '/consent')"
    " or contains(@action, 'collectConsent')]"
)
_WORDS = (
    ("unusual traffic", "it speaks of unusual traffic"),
    ("automated queries", "it speaks of automated queries"),
    ("automated requests", "it speaks of automated requests"),
    ("captcha", "a captcha"),
    ("are you a robot", "it asks whether we are a robot"),
    ("not a robot", "it asks whether we are a robot"),
    ("verify you are human", "it asks whether we are human"),
    ("enable javascript", "it wants a browser that runs JavaScript"),
    ("before you continue", "a consent wall"),
)
"""What pages say in English, which is the language that they are asked in."""
MOST_WORDS_CHARS = 20_000


def of_status(engine: str, status: int, headers: Mapping[str, str]) -> FlotillaError | None:
    """What a status other than that of a page means, and a gateway's word; else None.

    Names of `headers` are in lower case.
    """
    if any(name in headers for name in _WALL_HEADERS):
        return Blocked(engine, "a captcha")
    if status == 200:
        return None
    if status == 202:
        return Blocked(engine, "a challenge in the place of results (status 202)")
    if status in _REFUSED:
        return Blocked(engine, f"it refuses (status {status})")
    wait_s = retry_after_s(headers.get("retry-after"))
    if status == 429 or (status == 503 and wait_s is not None):
        return limited(engine, wait_s)
    message = f"it answers with status {status}"
    if status >= 500:
        error = upstream_error(engine, status, message)
    else:
        # What it does not like about our request is nothing that the caller could mend.
        error = UpstreamError(f"{engine}: {message}", details={"upstreamStatus": status})
    error.details["engine"] = engine
    return error


def of_redirect(engine: str, host: str, path: str) -> Blocked:
    """An engine that sends us to another place than the one we asked."""
    if "captcha" in path or path.startswith("/sorry"):
        return Blocked(engine, "a captcha")
    if host.startswith("consent.") or ".consent." in host or "consent" in path:
        return Blocked(engine, "a consent wall")
    return Blocked(engine, "it sends us to another host")


def failed(
    engine: str, status: int, message: str, *, code: str | None = None, wait_s: float | None = None
) -> FlotillaError:
    """What an interface's refusal means: the arguments are ours, so no caller is to mend them."""
    error = upstream_error(engine, status, message, code=code, retry_after_s=wait_s)
    if status == 200 or isinstance(error, InvalidArgument):
        error = UpstreamError(error.message, details=error.details)
    error.details["engine"] = engine
    return error


def limited(engine: str, wait_s: float | None) -> RateLimited:
    """It wants to be asked more slowly; a minute where it says no time."""
    error = RateLimited(
        f"{engine} wants to be asked more slowly",
        retry_after_ms=round((REST_S if wait_s is None else wait_s) * 1000),
    )
    error.details["engine"] = engine
    return error


def challenge_in(tree: Any) -> str | None:
    """Which wall this parsed page is; None where it is built like none."""
    if tree.xpath(_CHALLENGES):
        return "a captcha"
    if tree.xpath(_CONSENTS):
        return "a consent wall"
    return None


def why_unknown(text: str) -> str:
    """The likeliest reason why a page holds neither results nor the word that there are none."""
    said = text[:MOST_WORDS_CHARS].lower()
    for words, reason in _WORDS:
        if words in said:
            return reason
    return "its page holds neither results nor the word that there are none"
