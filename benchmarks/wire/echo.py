"""What the echo servers offer, whatever revision and transport they speak."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from flotilla.meta import members
from wire.book import Book

MARK = b"said by the echo"
"""In every good answer, and in nothing that a gateway says by itself."""


def _tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {each: {"type": kind} for each, kind in properties.items()},
        "required": list(properties),
    }
    hints = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}
    return {
        "name": name,
        "description": description,
        "inputSchema": schema,
        "annotations": hints,
    }


TOOLS = (
    _tool("say", "Say a text.", text="string"),
    _tool("measure", "Take a text and say how long it is.", text="string"),
    _tool("make", "Make a text of so many characters.", size="integer"),
    _tool("step", "Report progress, then say a text.", text="string"),
    _tool("hang", "Never answer."),
    _tool("ask", "Ask the person for a word and say it."),
)
ADDED = _tool("added", "A tool that was not here at first.")
QUESTION = {
    "message": "Which word?",
    "requestedSchema": {
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
    },
}


class NoSuchTool(Exception):
    pass


class Talk(Protocol):
    """What a tool may tell and ask its caller while it runs."""

    async def progress(self, done: int, total: int) -> None: ...

    async def elicit(self, params: Mapping[str, Any]) -> Mapping[str, Any]: ...


async def call(name: str, arguments: Mapping[str, Any], talk: Talk, book: Book) -> dict[str, Any]:
    """The result of a call; NoSuchTool, and KeyError for a missing argument."""
    if name == "say":
        return _said(arguments["text"])
    if name == "measure":
        return _said(str(len(arguments["text"])))
    if name == "make":
        return _said("x" * int(arguments["size"]))
    if name == "step":
        await talk.progress(1, 2)
        return _said(arguments["text"])
    if name == "hang":
        return await _hang(book)
    if name == "ask":
        reply = await talk.elicit(QUESTION)
        return _said(f"{reply.get('action')} {members(reply.get('content')).get('word')}")
    if name == "added" and book.has_added_tool:
        return _said("added")
    raise NoSuchTool(name)


async def _hang(book: Book) -> dict[str, Any]:
    book.note("hung")
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        book.note("cancelled")
    raise AssertionError("nobody ends that future")


def _said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"{text} {MARK.decode()}"}], "isError": False}
