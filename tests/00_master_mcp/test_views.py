import pytest

from flotilla.serving.gates import Refused
from master.entry import View
from master.profiles import Profile, Profiles
from master.views import prefix_of, view_of

SERVICES = ("master", "cmdb")
PROFILES = Profiles(
    {"small": Profile(), "dots": Profile(naming="dotted"), "dotted": Profile(naming="dotted")}
)


@pytest.mark.parametrize(
    ("path", "query", "view"),
    [
        ("/mcp", "", View("safe")),
        ("/mcp", "names=safe", View("safe")),
        ("/mcp", "names=dotted&x=1", View("dotted")),
        ("/sse", "names=dotted", View("dotted")),
        ("/dotted/messages/", "session_id=1", View("dotted")),
        ("/messages/", "session_id=1", View("safe")),
        ("/servers/cmdb/mcp", "", View("dotted", "cmdb")),
        ("/servers/cmdb/messages/", "session_id=1", View("dotted", "cmdb")),
        ("/health", "", View("safe")),
        ("/mcp/p/small", "", View("safe", profile="small")),
        ("/mcp/p/small/", "", View("safe", profile="small")),
        ("/mcp/p/small", "names=dotted", View("dotted", profile="small")),
        ("/mcp/p/dots", "", View("dotted", profile="dots")),
        ("/mcp/p/dots", "names=safe", View("safe", profile="dots")),
        ("/mcp/p/default", "", View("safe")),
        ("/mcp/p/dots/sse", "", View("dotted", profile="dots")),
        ("/mcp/p/dotted", "names=safe", View("safe", profile="dotted")),
    ],
)
def test_a_url_says_what_it_shows(path: str, query: str, view: View) -> None:
    assert view_of(path, query, SERVICES, PROFILES) == view


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/servers/nobody/mcp", "", 404),
        ("/servers//mcp", "", 404),
        ("/servers/../mcp", "", 404),
        ("/mcp", "names=odd", 400),
        ("/mcp/p", "", 404),
        ("/mcp/p/", "", 404),
        ("/mcp/p/nobody", "", 404),
        ("/mcp/p/Small", "", 404),
        ("/mcp/p/small", "names=odd", 400),
        ("/mcp", "names=safe&names=dotted", 400),
    ],
)
def test_a_url_that_shows_nothing_is_refused(path: str, query: str, status: int) -> None:
    refused = view_of(path, query, SERVICES, PROFILES)
    assert isinstance(refused, Refused)
    assert refused.status == status


def test_an_unknown_profile_is_told_which_there_are() -> None:
    refused = view_of("/mcp/p/nobody", "", SERVICES, PROFILES)
    assert isinstance(refused, Refused)
    assert refused.hint == "One of default, small, dots, dotted."


@pytest.mark.parametrize("naming", ["safe", "dotted"])
@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_address_of_the_messages_shows_the_view_of_its_stream(profile, naming) -> None:
    view = View(naming, profile=profile)
    assert view_of(f"{prefix_of(view)}/messages/", "session_id=1", SERVICES, PROFILES) == view


def test_the_default_may_be_dotted_too() -> None:
    profiles = Profiles({"default": Profile(naming="dotted")})
    for path, query, naming in (("/mcp", "", "dotted"), ("/sse", "names=safe", "safe")):
        view = view_of(path, query, SERVICES, profiles)
        assert view == View(naming)
        assert view_of(f"{prefix_of(view)}/messages/", "session_id=1", SERVICES, profiles) == view
