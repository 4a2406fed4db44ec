"""What was typed as a secret comes back in no answer of any tool."""

import base64
import json
from typing import Any

import pytest

from flotilla import Conflict, Model, TooLarge
from flotilla.known_values import MIN_LENGTH
from web_browsing.browser.concealing import SHORTEST, Veil
from web_browsing.browser.sending import MAX_CONCEALED, MAX_CONCEALED_CHARS, Sending

from .acting_user import Visiting
from .acting_user import visiting as visiting

VALUE = "canary Zx81+of/a=secret"


class Inner(Model):
    name: str
    words: list[str]


class Outer(Model):
    inner: Inner
    at: int
    value: Any


def test_all_of_a_result_is_swept_and_it_stays_what_it_is() -> None:
    swept = Veil([VALUE]).data(
        Outer(
            inner=Inner(name=f"a {VALUE}", words=["b", base64.b64encode(VALUE.encode()).decode()]),
            at=1,
            value={f"x{VALUE}": [{"deep": VALUE.encode().hex()}]},
        )
    )
    assert isinstance(swept, Outer)
    told = json.dumps(swept.model_dump())
    assert "Zx81" not in told
    assert told.count("[redacted]") == 4
    assert (swept.at, swept.inner.words[0]) == (1, "b")


def test_an_error_says_it_in_no_part_of_it() -> None:
    error = Conflict(f"not {VALUE}", hint=f"try {VALUE}", details={"was": [VALUE]})
    Veil([VALUE]).error(error)
    assert "Zx81" not in json.dumps(error.as_json("x")) + str(error)


@pytest.mark.parametrize("length", [SHORTEST, MIN_LENGTH - 1, MIN_LENGTH])
def test_a_code_is_hidden_though_it_is_short(length: int) -> None:
    code = "73914682"[:length]
    assert code not in Veil([code]).text(f"your code {code}.")


def test_what_is_shorter_than_a_code_stands_as_it_is() -> None:
    assert Veil(["739"]).text("at 739 m") == "at 739 m"


def test_no_secret_is_typed_that_would_not_be_hidden() -> None:
    sending = Sending(())
    for each in range(MAX_CONCEALED):
        sending.conceal(f"secret {each}")
    sending.conceal("secret 1")
    with pytest.raises(TooLarge):
        sending.conceal("one more")
    with pytest.raises(TooLarge):
        Sending(()).conceal("x" * (MAX_CONCEALED_CHARS + 1))


ECHO = """<title>Echo</title><input id=a type=password><input id=b><img id=i><p id=p></p>
<button onclick="alert(a.value); console.log('typed ' + a.value);
    document.title = a.value; location.hash = a.value; i.alt = a.value; p.innerText = a.value;
    b.value = a.value; fetch('/' + encodeURIComponent(a.value) + '?x=' + btoa(a.value));
    setTimeout(() => {throw Error(a.value)}); window.open('/done#' + a.value);
    fetch('/done', {method: 'POST', headers: {'x-told': btoa(a.value)}, body: a.value})">Tell
</button>
<a id=f download="Zx81 canary.txt" href=/done>f</a>"""


@pytest.mark.anyio
@pytest.mark.real
@pytest.mark.parametrize("given", ["secret", "text"])
async def test_a_page_that_tells_everywhere_what_was_typed_tells_nobody(
    site: Any, visiting: Visiting, given: str
) -> None:
    value = "Zx81+canary/is=typed"
    async with visiting(ECHO) as user:
        typed = {"text": value} if given == "text" else {"secret": value, "host": "127.0.0.1"}
        told = [await user.result("typeText", selector="#a", **typed)]
        told.append(await user.result("captureScreenshot"))
        assert not told[-1]["isError"]
        told.append(await user.result("click", selector="button"))
        assert told[-1]["structuredContent"]["dialogs"]
        (held,) = told[-1]["structuredContent"]["held"]
        told.append({"foreseen": await user.foresee(heldId=held["heldId"])})
        told.append(await user.result("snapshot"))
        told.append(await user.result("snapshot", mode="interactive", section="main"))
        told.append(await user.result("getConsole"))
        told.append(await user.result("getNetwork"))
        told.append(await user.result("evaluateScript", script="[b.value, {[a.value]: 1}]"))
        told.append(await user.result("evaluateScript", script="throw Error(a.value)"))
        told.append(await user.result("navigate", tab="t2"))
        told.append(await user.result("click", tab="t1", selector=f"[alt='{value}'] nothing"))
        for picture in ("captureScreenshot", "capturePdf"):
            told.append(await user.result(picture, tab="t1"))
            assert told[-1]["_meta"]["io.flotilla/error"]["reason"] == "shows_secret"
        said = json.dumps(told)
        assert "Zx81" not in said
        assert base64.b64encode(value.encode()).decode()[:20] not in said
        assert said.count("[redacted]") + said.count(f"({len(value)} characters)") > 10
