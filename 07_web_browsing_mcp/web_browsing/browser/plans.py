"""What a form would send, read from the page, and whether a request is just that.

The page may lie about its forms: so what is read is only shown, and compared with what goes out.
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flotilla import InvalidArgument
from flotilla.sizes import strip_invisible
from web_browsing.browser.elements import ACT_S
from web_browsing.browser.forms import parts_of
from web_browsing.gate.visitor import Outgoing

if TYPE_CHECKING:
    from playwright.async_api import Locator

_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,40}")
_PROBLEMS = (
    "the element is no form and in none",
    "its button is disabled",
    "it is too large to be shown",
)
_READ = """element => {
    const isForm = element instanceof HTMLFormElement;
    const form = isForm ? element : element.form ?? element.closest('form');
    if (!form) return {problem: 'the element is no form and in none'};
    const own = name => Object.getOwnPropertyDescriptor(HTMLFormElement.prototype, name)
        .get.call(form);
    const elements = [...own('elements')];
    const submits = each => each.matches('button, input')
        && ['submit', 'image'].includes(each.type);
    const submitter = !isForm && submits(element) ? element
        : elements.find(each => submits(each) && !each.disabled) ?? null;
    if (submitter?.disabled) return {problem: 'its button is disabled'};
    if (!own('noValidate') && !submitter?.formNoValidate) {
        const wrong = elements.filter(each => each.willValidate && !each.checkValidity());
        if (wrong.length) return {problem: 'not filled in',
            wrong: wrong.slice(0, 10).map(each => each.name || each.id || each.type)};
    }
    const entries = [...new FormData(form, submitter)];
    const size = entries.reduce((sum, [name, value]) =>
        sum + name.length + (typeof value === 'string' ? value.length : 0), 0);
    if (entries.length > 500 || size > 262144) return {problem: 'it is too large to be shown'};
    const overridden = name => submitter?.hasAttribute('form' + name.toLowerCase());
    const kinds = {};
    for (const each of elements) if (each.name) kinds[each.name] = each.type;
    return {
        isForm,
        page: document.URL,
        title: document.title,
        method: overridden('method') ? submitter.formMethod : own('method'),
        url: overridden('action') ? submitter.formAction : own('action'),
        enctype: overridden('enctype') ? submitter.formEnctype : own('enctype'),
        target: overridden('target') ? submitter.formTarget : own('target'),
        kinds,
        fields: entries.map(([name, value]) => typeof value === 'string'
            ? {name, value} : {name, file: value.name, type: value.type, size: value.size}),
    };
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    name: str
    value: str = ""
    file: str | None = None
    size: int = 0
    kind: str = ""
    """Of the element of that name: `password`, `hidden`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    page: str
    title: str
    method: str
    """In capitals; DIALOG sends nothing."""
    url: str
    enctype: str
    fields: tuple[Entry, ...]
    is_form: bool

    @property
    def digest(self) -> str:
        fields = [(each.name, each.value, each.file, each.size) for each in self.fields]
        told = json.dumps([self.page, self.method, self.url, self.enctype, fields])
        return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def sends(self) -> bool:
        return self.method == "POST"


async def plan_of(element: "Locator") -> Plan:
    """What the form of an element would send.

    Raises InvalidArgument where it is in no form, or the form cannot be sent so; Playwright's.
    """
    told: dict[str, Any] = await element.evaluate(_READ, timeout=ACT_S * 1000)
    if "problem" in told:
        raise _not_sent(told)
    if urlsplit(str(told["url"])).scheme not in ("http", "https"):
        raise InvalidArgument("the form does not send by http or https: it is not submitted so")
    return Plan(
        page=str(told["page"]),
        title=strip_invisible(str(told["title"]))[:200],
        method=str(told["method"]).upper(),
        url=str(told["url"]).partition("#")[0],
        enctype=str(told["enctype"]),
        is_form=bool(told["isForm"]),
        fields=tuple(
            Entry(
                name=str(each["name"]),
                value=str(each.get("value", "")),
                file=None if "file" not in each else str(each["file"]),
                size=int(each.get("size", 0)),
                kind=str(told["kinds"].get(each["name"], "")),
            )
            for each in told["fields"]
        ),
    )


def _not_sent(told: dict[str, Any]) -> InvalidArgument:
    """Without words of the page but such names of fields as are names."""
    problem = str(told["problem"])
    if problem != "not filled in":
        return InvalidArgument(problem if problem in _PROBLEMS else "the form cannot be sent")
    names = [each for each in map(str, told["wrong"]) if _NAME.fullmatch(each)]
    return InvalidArgument(
        f"the form is not filled in: {', '.join(names) or 'the page names no field'}",
        hint="A snapshot shows what the page says of these fields.",
    )


def fits(outgoing: Outgoing, plan: Plan) -> bool:
    """Whether a request is what was shown: method, URL, encoding and every field in its order."""
    if (outgoing.method, outgoing.url) != (plan.method, plan.url) or outgoing.method != "POST":
        return False
    content_type = outgoing.header("content-type") or ""
    if content_type.partition(";")[0].strip().lower() != plan.enctype:
        return False
    if outgoing.header("content-encoding") is not None:
        return False
    if not outgoing.body:
        return not plan.fields
    parts = parts_of(content_type, outgoing.body)
    if parts is None or len(parts) != len(plan.fields):
        return False
    for part, field in zip(parts, plan.fields, strict=True):
        if part.name != _wired(field.name):
            return False
        if field.file is None:
            # As text a file goes out by its name.
            if part.file_name is not None or part.value != _wired(field.value):
                return False
        elif field.size or field.file or part.data:
            # What a file holds was not shown.
            return False
    return True


def _wired(text: str) -> str:
    """HTML, "converting an entry list": ends of lines are CR LF on the wire."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
