"""Which view of the fleet a URL shows: `/mcp`, `/mcp/p/<profile>`, `/servers/<name>/mcp`.

`?names=safe` or `?names=dotted` goes before the naming of a profile.
"""

from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla.identity import Caller
from flotilla.serving.gates import CALLER, Refused, answer
from master.entry import View
from master.profiles import DEFAULT, Naming, Profiles

VIEW = "flotilla.view"
"""Where the ASGI scope of a request holds its `View`."""
MCP_PATHS = ("/mcp", "/dotted/mcp", "/servers/{service}/mcp", "/mcp/p/{profile}")
SSE_PATHS = ("/sse", "/dotted/sse", "/servers/{service}/sse", "/mcp/p/{profile}/sse")
MESSAGES_PATHS = (
    "/messages/",
    "/dotted/messages/",
    "/servers/{service}/messages/",
    "/mcp/p/{profile}/messages/",
    "/mcp/p/{profile}/dotted/messages/",
)
"""`/dotted` is what `?names=dotted` says, in a form that survives in the address to which HTTP+SSE
clients post. There a naming is always said: none means safe, whatever the profile has."""


def view_of(path: str, query: str, services: Collection[str], profiles: Profiles) -> View | Refused:
    """The view of a URL; Refused for a server or profile that is not there or an unknown naming."""
    first, *rest = path.strip("/").split("/")
    if first == "servers":
        return _of_service(rest[0] if rest else "", services)
    profile = DEFAULT
    if first == "mcp" and rest[:1] == ["p"]:
        profile, rest = "".join(rest[1:2]), rest[2:]
        if profile not in profiles:
            return _unknown("profile", profile, profiles)
    named = parse_qs(query).get("names", [])
    naming: Naming = profiles[profile].naming
    if "messages" in (first, *rest[-1:]):
        naming = "safe"
    if first == "dotted" or rest[:1] == ["dotted"] or named == ["dotted"]:
        naming = "dotted"
    elif named == ["safe"]:
        naming = "safe"
    elif named:
        return Refused(400, "invalid_argument", f"names={named[0][:100]!r}", "Say safe or dotted.")
    return View(naming, profile=profile)


def prefix_of(view: View) -> str:
    """What stands before /messages/ in the address that shows a view."""
    if view.service is not None:
        return f"/servers/{view.service}"
    where = "" if view.profile == DEFAULT else f"/mcp/p/{view.profile}"
    return f"{where}/dotted" if view.naming == "dotted" else where


def with_view(app: ASGIApp, services: Collection[str], profiles: Profiles | None = None) -> ASGIApp:
    """Put each request's view into its scope, or answer why there is none.

    A credential that is for certain profiles sees those and nothing else: no other one, no server
    by itself.
    """
    profiles = profiles or Profiles.built_in()
    plain = {"/mcp": View(profiles[DEFAULT].naming)} | {
        f"/mcp/p/{name}": View(profiles[name].naming, profile=name) for name in profiles
    }

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, query = scope["path"], scope["query_string"]
            # What is asked most is known before it is asked.
            view = None if query else plain.get(path)
            if view is None:
                found = view_of(path, query.decode("latin-1"), services, profiles)
                if isinstance(found, Refused):
                    await answer(found, scope, receive, send)
                    return
                view = found
            caller: Caller | None = scope.get(CALLER)
            if caller is not None and caller.profiles is not None:
                refused = _outside(view, caller.profiles)
                if refused is not None:
                    await answer(refused, scope, receive, send)
                    return
            scope[VIEW] = view
        await app(scope, receive, send)

    return gate


def _outside(view: View, allowed: Collection[str]) -> Refused | None:
    """The refusal of a view that is none of the allowed profiles."""
    if view.service is None and view.profile in allowed:
        return None
    paths = ["/mcp" if name == DEFAULT else f"/mcp/p/{name}" for name in sorted(allowed)]
    told = "this credential is not for this part of the fleet"
    return Refused(403, "not_allowed", told, f"It may use {', '.join(paths)}.")


def _of_service(service: str, services: Collection[str]) -> View | Refused:
    if service in services:
        return View("dotted", service)
    return _unknown("server", service, services)


def _unknown(what: str, name: str, known: Collection[str] | Profiles) -> Refused:
    told = f"no {what} {name[:100]!r} here"
    return Refused(404, "not_found", told, f"One of {', '.join(known)}.")
