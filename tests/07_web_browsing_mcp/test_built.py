"""The spoke as it is put together from its settings."""

from pathlib import Path

import pytest

from flotilla import CommonSettings, Misconfigured
from web_browsing import build
from web_browsing.settings import Settings

SENDING = {"submitForm", "evaluateScript", "downloadFile"}
LOOKING = {
    "fetchPage",
    "extractLinks",
    "getMetadata",
    "capturePdf",
    "captureScreenshot",
    "getConsole",
    "getNetwork",
    "snapshot",
}
ACTING = {
    "openSession",
    "navigate",
    "click",
    "typeText",
    "selectOption",
    "pressKey",
    "waitFor",
    "closeSession",
}


def test_its_tools_are_those_of_the_catalogue_each_as_dangerous_as_it_is(tmp_path: Path) -> None:
    spoke = build(Settings(), CommonSettings(data_dir=tmp_path))
    tools = {each.name.removeprefix("web.browse."): each for each in spoke.tools}
    assert set(tools) == SENDING | LOOKING | ACTING
    assert {name for name, tool in tools.items() if tool.read_only} == LOOKING
    assert {name for name, tool in tools.items() if tool.approval} == SENDING
    assert {name for name, tool in tools.items() if not tool.open_world} <= {"closeSession"}
    untrusting = {name for name, tool in tools.items() if not tool.untrusted}
    assert untrusting <= {"closeSession"}, "what a page says is a stranger's word"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"WEB_BROWSING_ALLOW_HOSTS": "wiki.internal"}, "WEB_BROWSING_ALLOW_HOSTS"),
        ({"WEB_BROWSING_PORTS": "0"}, "WEB_BROWSING_PORTS"),
        ({"WEB_BROWSING_AUTHORITIES": "/nowhere/at/all.pem"}, "WEB_BROWSING_AUTHORITIES"),
    ],
)
def test_a_setting_that_is_none_stops_it_by_name(
    wrong: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=told):
        build(Settings.from_env(wrong), CommonSettings(data_dir=tmp_path))
