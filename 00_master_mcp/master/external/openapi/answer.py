"""From an API's answer to MCP's CallToolResult. Pure.

MCP's clients refuse a result whose structured content is missing or does not fit the declared
output schema. An answer that breaks its document's promise is therefore handed on as an error
result: it says that the API did answer, and why this is no ordinary result, and it has the whole
answer as text. Nothing is lost, and no client drops it unread. Where an API's document is known to
be wrong, the server is made with `output_schemas=False`, and declares none.
"""

import base64
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flotilla import TooLarge
from flotilla.json_text import from_json
from flotilla.redaction import Redactor
from master.external.openapi.body import kind_of
from master.external.openapi.check import PATIENT_S, QUICK_S, Check, TooSlow

TRUNCATED = "io.flotilla/truncated"
"""In `_meta` of a result whose text was cut."""

_TOLD_HEADERS = ("location", "etag", "last-modified", "content-length", "content-type")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is as much as was read; `truncated` where there was more than `max_bytes`."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    truncated: bool
    max_bytes: int
    url: str
    """Without its query, which may hold a key."""
    note: str = ""
    """What else a reader of an error should know."""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def status_line(self) -> str:
        try:
            return f"HTTP {self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer must fit: `wrapped` where it stands under `result` in the schema."""

    check: Check
    wrapped: bool


def result_of(
    answer: Answer, promise: Promise | None, redactor: Redactor, *, patient: bool = True
) -> dict[str, Any]:
    """The CallToolResult; a status other than 2xx is an error with the API's own words.

    Raises TooSlow where the answer cannot be checked at once and the caller is not `patient`.
    """
    if not 200 <= answer.status < 300:
        head = answer.status_line + (f": {answer.note}" if answer.note else "")
        return _error(answer, redactor, head)
    if promise is not None:
        return _promised(answer, promise, redactor, patient=patient)
    if answer.truncated and not _is_text(answer):
        return _error(
            answer, redactor, f"{answer.status_line}: the answer is too large", body=False
        )
    marks: dict[str, Any] = {"_meta": {TRUNCATED: True}} if answer.truncated else {}
    return {"content": _content(answer, redactor), **marks}


def _promised(
    answer: Answer, promise: Promise, redactor: Redactor, *, patient: bool
) -> dict[str, Any]:
    value: Any = None
    if answer.truncated:
        mistake = "it is too large"
    elif not answer.body:
        mistake = "it has no content"
    else:
        try:
            value = redactor.data(from_json(answer.body))
            structured = {"result": value} if promise.wrapped else value
            mistake = "; ".join(
                promise.check.mistakes(structured, limit_s=PATIENT_S if patient else QUICK_S)
            )
        except (ValueError, RecursionError):
            mistake = "it is not JSON"
        except TooLarge as error:
            if isinstance(error, TooSlow) and not patient:
                raise
            mistake = error.message
        else:
            if not mistake:
                text = redactor.text(_text(answer))
                return {
                    "content": [{"type": "text", "text": text}],
                    "structuredContent": structured,
                }
    return _error(
        answer,
        redactor,
        f"{answer.status_line}: the API carried out the request, but its answer is not what its "
        f"document promises ({mistake}), so it stands here as text alone. Do not repeat the "
        "request for that reason.",
    )


def _error(answer: Answer, redactor: Redactor, head: str, *, body: bool = True) -> dict[str, Any]:
    parts = [head]
    if body and answer.body:
        parts.append(_text(answer) if _is_text(answer) else f"({len(answer.body)} bytes, no text)")
    if answer.truncated:
        parts.append(_cut_note(answer))
    content = [{"type": "text", "text": redactor.text("\n\n".join(parts))}]
    marks: dict[str, Any] = {"_meta": {TRUNCATED: True}} if answer.truncated else {}
    return {"content": content, "isError": True, **marks}


def _content(answer: Answer, redactor: Redactor) -> list[dict[str, Any]]:
    kind = answer.media_type
    if not answer.body:
        told = [
            f"{name}: {answer.headers[name]}" for name in _TOLD_HEADERS if name in answer.headers
        ]
        return [_said(redactor, "\n".join([answer.status_line, *told]))]
    if _is_text(answer):
        content = [_said(redactor, _text(answer))]
        return [*content, _said(redactor, _cut_note(answer))] if answer.truncated else content
    data = base64.b64encode(answer.body).decode()
    if kind.startswith(("image/", "audio/")):
        return [{"type": kind.partition("/")[0], "data": data, "mimeType": kind}]
    resource = {
        "uri": redactor.text(answer.url),
        "mimeType": kind or "application/octet-stream",
        "blob": data,
    }
    return [{"type": "resource", "resource": resource}]


def _said(redactor: Redactor, text: str) -> dict[str, Any]:
    return {"type": "text", "text": redactor.text(text)}


def _cut_note(answer: Answer) -> str:
    return (
        f"[truncated: the answer has more than the {answer.max_bytes} bytes that are read; ask for "
        "less, say by a filter or a page]"
    )


def _is_text(answer: Answer) -> bool:
    kind = answer.media_type
    if not kind:
        return _decodes(answer.body)
    # SVG is XML; kind_of takes it for text.
    return kind_of(kind) in ("json", "text", "form")


def _decodes(body: bytes) -> bool:
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False


def _text(answer: Answer) -> str:
    said = answer.headers.get("content-type", "").lower()
    _, found, rest = said.partition("charset=")
    charset = rest.partition(";")[0].strip().strip('"') if found else "utf-8"
    if charset not in ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "utf-16"):
        charset = "utf-8"
    return answer.body.decode(charset, errors="replace")
