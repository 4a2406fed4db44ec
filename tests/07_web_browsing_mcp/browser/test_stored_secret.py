"""A stored secret is typed through a hub into a page that tells it everywhere: nobody gets it."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flotilla import CommonSettings, Spoke
from secret_store import build as build_secrets
from secret_store.settings import Settings as SecretSettings
from tests.conftest import StartFleet
from web_browsing.browser.acting import Acting
from web_browsing.browser.concealing import concealing
from web_browsing.browser.listing import ListingTools
from web_browsing.browser.opening import SessionTools
from web_browsing.browser.pictures import PictureTools
from web_browsing.browser.snapshot import SnapshotTools

from .test_concealing import ECHO

pytestmark = [pytest.mark.anyio, pytest.mark.real]

VALUE = "Zx81+canary/is=stored"


async def test_what_is_stored_is_typed_and_comes_back_in_no_answer(
    site: Any, browsing: Any, start_fleet: StartFleet, tmp_path: Path
) -> None:
    site.pages["/"] = ECHO
    site.pages["/done"] = "<title>Done</title>"
    vault = SecretSettings(database_url=f"sqlite:///{tmp_path}/secrets.sqlite3")
    secrets = build_secrets(vault, CommonSettings(data_dir=tmp_path / "secrets"))
    async with browsing() as sessions:
        families = (
            SessionTools(sessions, 600),
            Acting(sessions),
            SnapshotTools(sessions),
            PictureTools(sessions),
            ListingTools(sessions),
        )
        browser = Spoke(
            name="web_browsing",
            version="1",
            instructions="x",
            namespaces=("web.browse",),
            tools=concealing((tool for each in families for tool in each.tools()), sessions),
        )
        async with start_fleet([browser, secrets]) as fleet, fleet.client() as client:
            await _stored(fleet)
            told: list[Any] = []

            async def call(name: str, **arguments: Any) -> Any:
                told.append((await client.call_tool(name, arguments)).model_dump(mode="json"))
                return told[-1]["structured_content"]

            opened = await call("web.browse.openSession", url=f"{site.url}/")
            lease = {"path": "shop/password", "tool": "web.browse.typeText"}
            leased = await call("security.secrets.leaseSecret", **lease)
            here = {"sessionId": opened["sessionId"]}
            typed = {"secret": leased["handle"], "host": "127.0.0.1"}
            await call("web.browse.typeText", **here, **typed, selector="#a")
            clicked = await call("web.browse.click", **here, selector="button")
            assert clicked["dialogs"]
            assert clicked["held"]
            for tool in ("snapshot", "getConsole", "getNetwork", "captureScreenshot"):
                await call(f"web.browse.{tool}", **here)
            # The page had it, and told it wherever it could.
            (session,) = sessions.of("admin")
            assert VALUE in [each.message for each in session.dialogs]
            said = json.dumps(told)
            assert "Zx81" not in said
            assert "shows_secret" in said


async def _stored(fleet: Any) -> None:
    token = (fleet.common.data_dir / "owner_token").read_text().strip()
    secret = {
        "path": "shop/password",
        "value": VALUE,
        "allow": {"tools": ["web.browse.typeText"]},
    }
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.post(
            f"{fleet.url}/api/services/secrets/operations/write",
            json=secret,
            headers={"authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 200, answer.text
