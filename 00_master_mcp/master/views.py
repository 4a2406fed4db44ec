"""Which view of the fleet a URL shows: `/mcp`, `/mcp?names=dotted`, `/servers/<name>/mcp`."""

from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla.serving.gates import Refused, answer
from master.catalogue import View

VIEW = "flotilla.view"
"""Where the ASGI scope of a request holds its `View`."""
PREFIXES = ("", "/dotted", "/servers/{service}")
"""Below each of these stand /mcp, /sse and /messages/. `/dotted` is what `?names=dotted` says, in a
form that survives in the address to which HTTP+SSE clients post."""


_SAFE = View("safe")


def view_of(path: str, query: str, services: Collection[str]) -> View | Refused:
    """The view of a URL; Refused for a server that the fleet lacks or an unknown naming."""
    if path == "/mcp" and not query:
        return _SAFE
    first, _, rest = path.strip("/").partition("/")
    if first == "servers":
        service = rest.partition("/")[0]
        if service not in services:
            known = ", ".join(services)
            return Refused(
                404, "not_found", f"no server {service[:100]!r} here", f"One of {known}."
            )
        return View("dotted", service)
    named = parse_qs(query).get("names", [])
    if first == "dotted" or named == ["dotted"]:
        return View("dotted")
    if named in ([], ["safe"]):
        return View("safe")
    return Refused(400, "invalid_argument", f"names={named[0][:100]!r}", "Say safe or dotted.")


def prefix_of(view: View) -> str:
    """The prefix that stands for a view."""
    if view.service is not None:
        return f"/servers/{view.service}"
    return "/dotted" if view.naming == "dotted" else ""


def with_view(app: ASGIApp, services: Collection[str]) -> ASGIApp:
    """Put each request's view into its scope, or answer why there is none."""

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            view = view_of(scope["path"], scope["query_string"].decode("latin-1"), services)
            if isinstance(view, Refused):
                await answer(view, scope, receive, send)
                return
            scope[VIEW] = view
        await app(scope, receive, send)

    return gate
