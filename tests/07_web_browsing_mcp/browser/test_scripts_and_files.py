"""Scripts that a person has read, and files that a person lets in, in a real Chromium."""

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from tests.web_site import Asked

from .acting_user import Refused, Visiting
from .acting_user import visiting as visiting

pytestmark = [pytest.mark.anyio, pytest.mark.real]


async def test_a_script_answers_with_json_and_what_it_sends_is_held(
    site: Any, visiting: Visiting
) -> None:
    async with visiting("<title>T</title><p id=p>hello</p>") as user:
        script = "fetch('/done', {method: 'POST', body: 'a=1'})"
        made = await user.call("evaluateScript", script="({a: [1, 'x', null], t: document.title})")
        assert made["value"] == {"a": [1, "x", None], "t": "T"}
        element = await user.call("evaluateScript", script="e => e.textContent", selector="#p")
        assert element["value"] == "hello"
        later = await user.call("evaluateScript", script="new Promise(r => setTimeout(r, 50, 7))")
        assert later["value"] == 7
        held = await user.call("evaluateScript", script=f"{script}.then(r => r.status)")
        assert [each["method"] for each in held["held"]] == ["POST"]
        assert "value" not in held
        assert site.sent() == []
        await user.call("submitForm", heldId=held["held"][0]["heldId"])
        assert [each.body for each in site.sent()] == [b"a=1"]
        shown = await user.foresee("evaluate", script=script)
        assert shown["diff"] == f"+{script}"
        assert f"{site.url}/" in shown["action"]


async def test_a_script_that_fails_is_large_or_never_ends_is_an_error(visiting: Visiting) -> None:
    async with visiting("<title>T</title>") as user:
        for script, code in (
            ("nonsense(", "invalid_argument"),
            ("null.x", "invalid_argument"),
            ("const a = {}; a.a = a; a", "invalid_argument"),
            ("(() => { const a = {}; a.a = a; return a })()", "invalid_argument"),
            ("'x'.repeat(100000)", "too_large"),
        ):
            with pytest.raises(Refused) as met:
                await user.call("evaluateScript", script=script)
            assert met.value.code == code, (script, met.value.body)
        with pytest.raises(Refused, match="did not end within 1 s") as met:
            await asyncio.wait_for(
                user.call("evaluateScript", script="(() => { for(;;); })()", timeoutS=1), 20
            )
        assert met.value.code == "timeout"
        assert list(user.session.tabs) == ["t1"]
        assert (await user.call("evaluateScript", script="1 + 1"))["value"] == 2


async def test_a_page_that_runs_without_end_after_a_click_is_stopped(visiting: Visiting) -> None:
    async with visiting(
        "<button onclick='setTimeout(() => { for(;;); })'>Go</button><input>"
    ) as user:
        await user.call("click", selector="button")
        acted = await user.call("typeText", selector="input", text="x")
        assert acted["notes"] == ["a script of the page ran without end and was stopped"]


FILE = b"%PDF-1.7 of sorts /OpenAction " + bytes(range(256))


async def test_a_file_is_handed_out_with_what_to_mind(site: Any, visiting: Visiting) -> None:
    site.pages["/file"] = _file(FILE, "..\\evil/..‮report.txt")
    async with visiting("<a href=/file>get</a><a id=b href=/done>page</a>") as user:
        acted = await user.call("click", selector="a:first-child")
        (loaded,) = acted["downloads"]
        shown = await user.foresee("download", downloadId=loaded)
        assert shown["action"] == f"Hand the file that was loaded from {site.url}/file to the model"
        for how in (
            {"downloadId": loaded},
            {"url": f"{site.url}/file"},
            {"selector": "a:first-child"},
        ):
            result = await user.result("downloadFile", **how)
            assert not result["isError"], result
            told = result["structuredContent"]
            assert told["sha256"] == hashlib.sha256(FILE).hexdigest()
            assert told["sizeBytes"] == len(FILE)
            assert told["mimeType"] == "application/pdf"
            assert "/" not in told["name"] and "‮" not in told["name"]
            assert "the PDF has actions that run when it is opened" in told["warnings"]
            resource = result["content"][1]["resource"]
            assert base64.b64decode(resource["blob"]) == FILE
        with pytest.raises(Refused) as met:
            await user.call("downloadFile", downloadId="d99")
        assert met.value.code == "not_found"
        with pytest.raises(Refused):
            await user.call("downloadFile", url=f"http://127.0.0.1:{site.port + 1}/x")


async def test_a_file_whose_server_is_slow_to_answer_is_waited_for(
    site: Any, visiting: Visiting
) -> None:
    async def slowly(_: Asked) -> bytes:
        await asyncio.sleep(0.8)
        return _file(FILE, "late.bin")

    site.pages["/late"] = slowly
    async with visiting("<a href=/late download>get</a><b>nothing</b>") as user:
        for how in ({"url": f"{site.url}/late"}, {"selector": "a"}):
            told = await user.call("downloadFile", **how)
            assert told["sha256"] == hashlib.sha256(FILE).hexdigest()
        with pytest.raises(Refused) as met:
            await user.call("downloadFile", url=f"{site.url}/nowhere")
        assert met.value.code in ("not_found", "conflict")


async def test_a_file_that_is_too_large_is_refused_with_its_size(
    site: Any, visiting: Visiting
) -> None:
    site.pages["/file"] = _file(b"\0" * (9 * 1024 * 1024), "big.bin")
    async with visiting("") as user:
        with pytest.raises(Refused) as met:
            await user.call("downloadFile", url=f"{site.url}/file")
        assert met.value.code == "too_large"
        assert met.value.body["sizeBytes"] == 9 * 1024 * 1024


def _file(data: bytes, name: str) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
        f'content-length: {len(data)}\r\ncontent-disposition: attachment; filename="{name}"\r\n\r\n'
    )
    return head.encode() + data


async def test_a_script_runs_on_the_site_alone_that_a_person_was_shown(
    site: Any, visiting: Visiting
) -> None:
    other = f"http://localhost:{site.port}"
    page = f"<p>one</p><iframe src='{other}/done'></iframe>"
    script = "document.title = 'ran'"
    async with visiting(page, allow_hosts=(f"localhost:{site.port}",)) as user:
        shown = await user.foresee("evaluate", script=script)
        assert shown["target"] == f"127.0.0.1, port {site.port}"
        await user.call("navigate", url=f"{other}/done")
        with pytest.raises(Refused) as met:
            await user.call("evaluateScript", script=script)
        assert met.value.body["reason"] == "changed"
        assert await user.session.page().title() == "Done"
        await user.call("navigate", go="back")
        await user.call("evaluateScript", script=script)
        assert await user.session.page().title() == "ran"
        # One that runs in a frame runs as the frame's site, whatever page that is in.
        seen = await user.see()
        ref = seen.partition('heading "Thank you"')[2].partition("[ref=")[2].partition("]")[0]
        shown = await user.foresee("evaluate", script="e => e.innerText", ref=ref)
        assert shown["target"] == f"localhost, port {site.port}"
        assert any("in a frame" in each for each in shown["warnings"])
        told = await user.call("evaluateScript", script="e => e.innerText", ref=ref)
        assert told["value"] == "Thank you"


async def test_a_link_is_followed_for_its_file_alone_where_a_person_was_shown_that_it_leads(
    site: Any, visiting: Visiting
) -> None:
    async with visiting("<a id=a href=/one.txt download>file</a><b>no link</b>") as user:
        shown = await user.foresee("download", selector="#a")
        assert shown["action"] == f"Load the file at {site.url}/one.txt and hand it to the model"
        assert shown["warnings"] == [
            "it comes over http: whoever is on the way may have changed it"
        ]
        await user.session.page().evaluate("a.href = '/two.txt'")
        with pytest.raises(Refused) as met:
            await user.call("downloadFile", selector="#a")
        assert met.value.body["reason"] == "changed"
        assert [each.path for each in site.asked if "txt" in each.path] == []
        shown = await user.foresee("download", selector="b")
        assert shown["warnings"] == ["the element is no link: which file it is, is not known"]
