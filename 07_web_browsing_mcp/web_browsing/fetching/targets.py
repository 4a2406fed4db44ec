"""Which URLs are asked for at all, and what the next hop of a redirect is. Pure.

What stands behind a name is not judged here but by the gate, which alone connects.
"""

from yarl import URL

from flotilla import InvalidArgument, NotAllowed

MAX_URL_CHARS = 4000


def target_of(url: str) -> URL:
    """The URL that a caller gave, without its fragment; InvalidArgument says what it lacks."""
    problem = _problem(url.strip())
    if problem is not None:
        raise InvalidArgument(f"url {problem}", hint="Write it whole: https://example.org/page")
    return URL(url.strip()).with_fragment(None)


def next_target(now: URL, location: str) -> URL:
    """Where a redirect leads; NotAllowed where it is nothing that may be asked for.

    No error says more of a URL that a site chose than its host: errors are not marked as strangers'
    words.
    """
    try:
        following = now.join(URL(location.strip()))
    except (ValueError, UnicodeError):
        following = None
    problem = "is no URL" if following is None else _problem(str(following))
    if following is None or problem is not None:
        raise NotAllowed(
            f"{origin_of(now)} redirects to an address that {problem}",
            details={"reason": "bad_redirect"},
        )
    return following.with_fragment(None)


def origin_of(url: URL) -> str:
    """Scheme, host and port: what robots.txt stands for. RFC 9309, section 2.3."""
    return f"{url.scheme}://{url.host_subcomponent}:{url.port}"


def same_site(host: str, other: str) -> bool:
    """Whether two hosts are one site, as far as their names say: alike but for `www.`, or one
    below the other."""
    mine, theirs = (each.lower().removeprefix("www.") for each in (host, other))
    return mine == theirs or mine.endswith(f".{theirs}") or theirs.endswith(f".{mine}")


def _problem(url: str) -> str | None:
    """What is wrong with it, as the end of a sentence."""
    if len(url) > MAX_URL_CHARS:
        return f"has {len(url)} characters; {MAX_URL_CHARS} are taken"
    if any(not each.isprintable() or each.isspace() for each in url):
        return "holds spaces or characters that nobody can see"
    try:
        read = URL(url)
        port = read.port
    except (ValueError, UnicodeError):
        return "cannot be read"
    if read.scheme not in ("http", "https"):
        return "is neither http nor https"
    if not read.host:
        return "names no host"
    if read.user is not None or read.password is not None:
        return "carries a user name or password, which are not sent anywhere"
    return "names no port that there is" if not port else None
