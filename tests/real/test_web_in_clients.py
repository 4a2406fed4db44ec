"""Searching and browsing by clients that nobody here wrote, through the fleet as it starts."""

import asyncio
import json
import os
import re
import sys
from base64 import b64decode
from collections.abc import AsyncGenerator
from io import BytesIO
from pathlib import Path
from typing import Any

import mcp_types as types
import psutil
import pytest
import yaml
from mcp import Client

from flotilla import meta
from tests.backends.web_search.library import ENTRIES
from tests.conftest import ROOT, LaunchedFleet, find_free_port
from tests.processes import alive, command_of, program_of
from tests.real.searx.searx_server import searx
from tests.real.test_approvals_in_clients import mcpdo
from tests.real.test_inspector import HOME
from tests.real.test_inspector import inspector as inspector
from tests.real.web_site import CSV, Harbour, Sent, harbour

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(600)]

WEB = {"FLOTILLA_SERVICES": "web_search,web_browsing"}
PNG = b"\x89PNG\r\n\x1a\n"
BROWSING = re.compile(r"chromium|playwright|flotilla-browser-")


@pytest.fixture
async def site() -> AsyncGenerator[Harbour]:
    async with harbour() as site:
        yield site


class Person:
    """Answers what the client asks its user, and remembers it."""

    def __init__(self) -> None:
        self.says_yes = True
        self.asked: list[str] = []

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        if not self.says_yes:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})


class Visitor:
    """One session of the browser, in the words of the tools."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.session: dict[str, str] = {}

    async def result(self, tool: str, **arguments: Any) -> Any:
        session = {} if tool == "fetchPage" else self.session
        return await self.client.call_tool(f"web_browse_{tool}", {**session, **arguments})

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.result(tool, **arguments)
        assert not result.is_error, result.content
        return result.structured_content

    async def open(self, url: str) -> None:
        self.session = {"sessionId": (await self.call("openSession", url=url))["sessionId"]}

    async def ref(self, words: str) -> str:
        """The reference of the line of a snapshot that begins with these words."""
        return ref_in((await self.call("snapshot"))["snapshot"], words)


def ref_in(snapshot: str, words: str) -> str:
    found = re.search(rf"{re.escape(words)} \[(\w+)", snapshot)
    assert found, snapshot
    return found[1]


async def flotilla(fleet: LaunchedFleet, *arguments: str) -> str:
    """What `python -m flotilla` prints for a person at the fleet's machine."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flotilla", *arguments),
        cwd=ROOT,
        env={
            **os.environ,
            "MCP_PORT_BASE": str(fleet.base_port),
            "FLOTILLA_DATA_DIR": str(fleet.data_dir),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_person_works_on_a_site_and_is_asked_before_anything_is_sent(
    site, launch_fleet
) -> None:
    person = Person()
    async with launch_fleet(**WEB, WEB_BROWSING_ALLOW_HOSTS=site.host) as fleet:
        async with fleet.client(elicitation_callback=person) as client:
            # Who lists them checks every answer against its schema.
            listed = {each.name for each in (await client.list_tools()).tools}
            assert {"web_search_query", "web_browse_submitForm"} <= listed
            visitor = Visitor(client)
            await visitor.open(f"{site.url}/")
            await _looks_around(visitor, site)
            assert person.asked == []
            await _signs_in(visitor, person, site)
            await _takes_away(visitor, person, site)
            left = [each for each in fleet.processes() if BROWSING.search(command_of(each))]
            assert {"node", "chromium"} <= set(map(program_of, left))
        audited = await flotilla(fleet, "audit", "query", "--limit", "500", "--json")
        folder = re.search(r"\S*flotilla-browser-\w+", " ".join(map(command_of, left)))
        assert folder
    assert alive(left) == []
    assert not [each for each in psutil.process_iter() if folder[0] in command_of(each)]
    assert not Path(folder[0]).exists()
    for tool in ("openSession", "click", "typeText", "submitForm", "evaluateScript"):
        assert f"web.browse.{tool}" in audited
    assert "hunter2" not in "\n".join([audited, fleet.written(), *person.asked])


async def _looks_around(visitor: Visitor, site: Harbour) -> None:
    page = await visitor.call("fetchPage", url=f"{site.url}/")
    assert (page["title"], "three berths" in page["text"]) == ("Harbour news", True)
    assert "Sign in" not in page["text"]
    log = await visitor.call("fetchPage", url=f"{site.url}/log", maxLength=10_000)
    rest = await visitor.call(
        "fetchPage", url=f"{site.url}/log", maxLength=10_000, startIndex=log["nextStartIndex"]
    )
    assert "Watch 1\n" in log["text"]
    assert "Watch 1\n" not in rest["text"]
    assert log["totalLength"] == rest["totalLength"] > 30_000
    dues = await visitor.call("fetchPage", url=f"{site.url}/dues.pdf")
    assert "Dues of the harbour" in dues["text"]
    board = await visitor.call("fetchPage", url=f"{site.url}/board")
    assert (board["rendered"], "Skagerrak" in board["text"]) == (True, True)
    followed = await visitor.call("click", ref=await visitor.ref('link "Who lies where"'))
    assert (followed["url"], followed["navigated"]) == (f"{site.url}/berths", True)
    berths = (await visitor.call("snapshot", section="main"))["snapshot"]
    assert "Anna Maria" in berths
    assert "4.2 m" in berths
    await visitor.call("navigate", url=f"{site.url}/find")
    await visitor.call("typeText", ref=await visitor.ref('textbox "Ship"'), text="Skagerrak")
    found = await visitor.call("pressKey", key="Enter")
    assert found["url"] == f"{site.url}/found?ship=Skagerrak"
    await visitor.call("navigate", url=f"{site.url}/board")
    await visitor.call("waitFor", text="South quay has Skagerrak")
    assert site.sent == []


async def _signs_in(visitor: Visitor, person: Person, site: Harbour) -> None:
    await visitor.call("navigate", url=f"{site.url}/login")
    await visitor.call("typeText", ref=await visitor.ref('textbox "User"'), text="anna")
    password = {"secret": "hunter2-hunter2", "host": "127.0.0.1"}
    await visitor.call("typeText", ref=await visitor.ref('textbox "Password"'), **password)
    acted = await visitor.call("click", ref=await visitor.ref('button "Enter"'))
    (held,) = acted["held"]
    # What the person filled in is seen while it waits for them.
    assert 'button "Enter"' in (await visitor.call("snapshot"))["snapshot"]
    person.says_yes = False
    refused = await visitor.result("submitForm", heldId=held["heldId"])
    assert refused.is_error
    assert site.sent == []
    person.says_yes = True
    done = await visitor.call("submitForm", heldId=held["heldId"])
    assert done["title"] == "Welcome"
    form = {"desk": "north", "user": "anna", "password": "hunter2-hunter2"}
    assert site.sent == [Sent("POST", "/login", form)]
    assert "Good day, anna." in (await visitor.call("snapshot"))["snapshot"]
    for question in person.asked:
        assert f"Send POST {site.url}/login" in question
        assert '"user": (none) -> "anna"' in question
        assert '"password": (none) -> "(15 characters)"' in question
        assert '"desk": (none) -> "north"' in question
    assert len(person.asked) == 2


async def _takes_away(visitor: Visitor, person: Person, site: Harbour) -> None:
    await visitor.call("navigate", url=f"{site.url}/berths")
    picture = await visitor.result("captureScreenshot")
    (image,) = [each for each in picture.content if each.type == "image"]
    assert b64decode(image.data).startswith(PNG)
    assert picture.structured_content["title"] == "Berths"
    if kept := os.environ.get("FLOTILLA_TEST_PICTURE"):
        Path(kept).write_bytes(b64decode(image.data))
    printed = await visitor.result("capturePdf")
    (paper,) = [each for each in printed.content if each.type == "resource"]
    assert "Skagerrak" in _text_of(b64decode(paper.resource.blob))
    person.asked.clear()
    script = "document.querySelectorAll('table tr').length"
    counted = await visitor.call("evaluateScript", script=script)
    assert counted["value"] == 3
    assert script in person.asked[-1]
    loading = {"ref": await visitor.ref('link "As a file"')}
    person.says_yes = False
    assert (await visitor.result("downloadFile", **loading)).is_error
    person.says_yes = True
    loaded = await visitor.result("downloadFile", **loading)
    (file,) = [each for each in loaded.content if each.type == "resource"]
    assert b64decode(file.resource.blob) == CSV
    assert loaded.structured_content["name"] == "berths.csv"
    assert len(person.asked) == 3


def _text_of(pdf: bytes) -> str:
    from pypdf import PdfReader

    return PdfReader(BytesIO(pdf)).pages[0].extract_text()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspectors_person_decides_what_a_page_sends(
    inspector, site, launch_fleet, tmp_path, era
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with (
        launch_fleet(**WEB, WEB_BROWSING_ALLOW_HOSTS=site.host) as fleet,
        mcpdo(home) as run,
    ):
        await run(
            *("connect", f"{fleet.url}/mcp", "--transport", "http", "--era", era),
            *("--elicit", "form", "--header", f"Authorization: {fleet.headers['Authorization']}"),
        )

        async def call(tool: str, *arguments: str) -> Any:
            told = await run("tools/call", f"web_browse_{tool}", *session, *arguments)
            return told.get("structuredContent") or told

        session: list[str] = []
        opened = await call("openSession", f"url:={site.url}/login")
        session.append(f"sessionId:={opened['sessionId']}")
        seen = (await call("snapshot"))["snapshot"]
        user, enter = ref_in(seen, 'textbox "User"'), ref_in(seen, 'button "Enter"')
        await call("typeText", f"ref:={user}", "text:=anna")
        acted = await call("click", f"ref:={enter}")
        held = f"heldId:={acted['held'][0]['heldId']}"
        question = (await call("submitForm", held))["elicitationPending"]
        assert f"Send POST {site.url}/login" in json.dumps(question)
        await run("elicitation/respond", question["elicitationId"], "--decline")
        assert site.sent == []
        question = (await call("submitForm", held))["elicitationPending"]
        await run("elicitation/respond", question["elicitationId"], "decision:=allow_once")
        form = {"desk": "north", "user": "anna", "password": ""}
        assert site.sent == [Sent("POST", "/login", form)]


async def test_a_client_without_a_person_waits_for_one_at_the_fleets_machine(
    inspector, site, launch_fleet
) -> None:
    async with launch_fleet(**WEB, WEB_BROWSING_ALLOW_HOSTS=site.host) as fleet:

        async def call(tool: str, *, exit_code: int = 0, **arguments: str) -> Any:
            process = await asyncio.create_subprocess_exec(
                *(str(HOME / "node_modules/.bin/node"), str(inspector), "--cli"),
                *(f"{fleet.url}/mcp", "--transport", "http", "--method", "tools/call"),
                *("--header", f"Authorization: {fleet.headers['Authorization']}"),
                *("--format", "json", "--tool-name", f"web_browse_{tool}", "--tool-arg"),
                *(f"{name}={value}" for name, value in arguments.items()),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == exit_code, err.decode() + out.decode()
            return json.loads(out)["result"].get("structuredContent") if not exit_code else None

        fetched = await call("fetchPage", url=f"{site.url}/berths")
        assert "| North quay | Anna Maria | 4.2 m |" in fetched["text"]
        opened = await call("openSession", url=f"{site.url}/login")
        session = {"sessionId": opened["sessionId"]}
        # A session is its principal's, over all connections.
        acted = await call("click", **session, selector="button")
        held = {**session, "heldId": acted["held"][0]["heldId"]}
        # Exit code 5: the tool answered with an error.
        for decision in ("deny", "approve"):
            await call("submitForm", exit_code=5, **held)
            (waiting,) = json.loads(await flotilla(fleet, "approvals", "list", "--json"))["items"]
            told = await flotilla(fleet, "approvals", "show", waiting["id"])
            assert f"Send POST {site.url}/login" in told
            assert site.sent == []
            await flotilla(fleet, "approvals", decision, waiting["id"])
        assert [each.path for each in site.sent] == ["/login"]
        assert "Good day" in (await call("snapshot", **session))["snapshot"]
        picture = await call("captureScreenshot", **session)
        assert picture["title"] == "Welcome"


async def test_a_search_through_the_fleet_asks_the_engine_that_was_set_up(
    launch_fleet, tmp_path
) -> None:
    async with searx(tmp_path, find_free_port()) as engine:
        file = tmp_path / "web_search.yaml"
        own = {"kind": "searxng", "url": engine.url}
        file.write_text(yaml.safe_dump({"engines": {"own": own}}))
        async with (
            launch_fleet(**WEB, WEB_SEARCH_CONFIG=str(file)) as fleet,
            fleet.client() as client,
        ):
            await client.list_tools()
            asked = {"query": "flotilla", "engine": "own"}
            first = await client.call_tool("web_search_query", asked)
            pages = len(engine.library.asked)
            again = await client.call_tool("web_search_query", asked)
            assert not first.is_error, first.content
            found = {each["url"] for each in first.structured_content["results"]}
            assert found == {each.url for each in ENTRIES}
            assert first.structured_content == again.structured_content
            # The second came from the fleet's cache.
            assert len(engine.library.asked) == pages
            assert first.meta[meta.UNTRUSTED] is True
            listed = await client.call_tool("web_search_listEngines", {})
            assert "own" in {each["name"] for each in listed.structured_content["items"]}
