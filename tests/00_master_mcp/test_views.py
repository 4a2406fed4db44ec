import pytest

from flotilla.serving.gates import Refused
from master.entry import View
from master.profiles import Profiles
from master.views import view_of

SERVICES = ("master", "cmdb")


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
    ],
)
def test_a_url_says_what_it_shows(path: str, query: str, view: View) -> None:
    assert view_of(path, query, SERVICES, Profiles.built_in()) == view


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/servers/nobody/mcp", "", 404),
        ("/servers//mcp", "", 404),
        ("/servers/../mcp", "", 404),
        ("/mcp", "names=odd", 400),
        ("/mcp", "names=safe&names=dotted", 400),
    ],
)
def test_a_url_that_shows_nothing_is_refused(path: str, query: str, status: int) -> None:
    refused = view_of(path, query, SERVICES, Profiles.built_in())
    assert isinstance(refused, Refused)
    assert refused.status == status
