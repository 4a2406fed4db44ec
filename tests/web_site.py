"""What sites of tests that speak bytes are made of: what was asked, an answer, a DNS."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes = b""

    @property
    def place(self) -> str:
        return self.path.partition("?")[0]


async def next_asked(reader: asyncio.StreamReader) -> Asked:
    """The next request, with the body that its Content-Length tells of.

    Raises IncompleteReadError at the end, OSError where it was cut, ValueError for what is none.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    parted = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in parted}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, body)


def answer(
    body: bytes | str = "", status: int = 200, kind: str = "text/html; charset=utf-8", **more: str
) -> bytes:
    """An answer of HTTP as it goes over the wire; `more` are headers, underscores for dashes."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Names:
    """A resolver whose answers a test gives, a name's in turn, the last one for good."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append(name)
        answers = self._answers.get(name)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]
