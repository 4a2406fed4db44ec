"""Whether an address that Azure names may be asked: our token goes to no other host. Pure."""

from urllib.parse import SplitResult, urlsplit

_HTTPS_PORT = 443


def at_home(link: str, endpoint: str) -> SplitResult | None:
    """The parts of a link on the endpoint's own host and port over https; None for any other."""
    try:
        parts, home = urlsplit(link), urlsplit(endpoint)
        # Services add :443 as they like.
        ports = (parts.port or _HTTPS_PORT, home.port or _HTTPS_PORT)
    except ValueError:
        return None
    plain = parts.scheme == "https" and not (parts.username or parts.password)
    return parts if plain and parts.hostname == home.hostname and ports[0] == ports[1] else None
