"""`/metrics` and `/ready` of the port: whichever worker is asked, all of the host's answer."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import closing
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flotilla import FlotillaError, meta
from flotilla.json_text import from_json, to_json
from flotilla.serving.headers import headers_of
from master.upstream.transport.target import Target
from master.workers.colleagues import Colleagues

WAIT_S = 2.0
"""A worker that does not answer within this is left out."""
MAX_BYTES = 16 * 1024 * 1024
_SAMPLE = re.compile(rb"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?")

Answer = tuple[int, bytes]


class Gathering:
    """Asks this process as anybody may, and where that is answered the siblings too."""

    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues
        self._been_ready: set[int] = set()

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        own_only = self._colleagues.is_one(scope) or scope["method"] != "GET"
        await app(scope, receive, send if own_only else keep)
        if own_only:
            return
        start = said[0]
        body = b"".join(each.get("body", b"") for each in said[1:])
        if start["status"] == 200:
            gather = self._whole_metrics if scope["path"] == "/metrics" else self._all_ready
            start["status"], body = await gather(scope, body)
        headers = [each for each in start["headers"] if each[0] != b"content-length"]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _whole_metrics(self, scope: Scope, own: bytes) -> Answer:
        answers = await self._asked(scope)
        texts = {number: said[1] for number, said in answers.items() if said and said[0] == 200}
        texts[self._colleagues.place.number] = own
        return 200, merged({str(number): texts[number] for number in sorted(texts)})

    async def _all_ready(self, scope: Scope, own: bytes) -> Answer:
        """Not ready until every worker was once; one that is started again stops nobody."""
        for number, said in sorted((await self._asked(scope)).items()):
            if said is not None and said[0] == 200:
                self._been_ready.add(number)
            elif number not in self._been_ready:
                why = "it does not answer" if said is None else _reason(said[1])
                told = {**meta.members(from_json(own)), "status": "not_ready"}
                return 503, to_json({**told, "reason": f"worker {number}: {why}"})
        return 200, own

    async def _asked(self, scope: Scope) -> Mapping[int, Answer | None]:
        """What each sibling answers to the same request; None from one that does not."""
        siblings = self._colleagues.place.siblings
        answers = await asyncio.gather(
            *(self._ask(address, scope) for address in siblings.values())
        )
        return dict(zip(siblings, answers, strict=True))

    async def _ask(self, address: str, scope: Scope) -> Answer | None:
        target = Target.of(address + scope["path"], "another worker")
        given = headers_of(scope)
        headers = {name: given[name] for name in ("accept", "authorization") if name in given}
        headers |= self._colleagues.authority.of_hub()
        due_at = monotonic() + WAIT_S
        try:
            client = self._colleagues.pool.client(target)
            response = await client.request("GET", target, headers, due_at=due_at)
            with closing(response):
                return response.status, await response.begin(MAX_BYTES)
        except FlotillaError:
            return None


def _reason(body: bytes) -> str:
    try:
        return str(meta.members(from_json(body)).get("reason"))
    except ValueError:
        return "it is not ready"


def merged(texts: Mapping[str, bytes]) -> bytes:
    """Expositions of several workers as one, each sample with its worker as a label.

    Prometheus' text format or OpenMetrics; the samples of a family stand together, as both want.
    """
    heads: dict[bytes, list[bytes]] = {}
    samples: dict[bytes, list[bytes]] = {}
    last = b""
    for worker, text in texts.items():
        family = b""
        known = set(heads)
        for line in text.splitlines():
            if line == b"# EOF":
                last = b"# EOF\n"
            elif line.startswith(b"# "):
                family = line.split(b" ", 3)[2]
                if family not in known:
                    heads.setdefault(family, []).append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, worker.encode()))
    lines = [line for family, head in heads.items() for line in (*head, *samples.get(family, ()))]
    return b"\n".join(lines) + b"\n" + last if lines else last


def _labelled(line: bytes, worker: bytes) -> bytes:
    found = _SAMPLE.match(line)
    if found is None:
        return line
    label, rest = b'worker="%s"' % worker, line[found.end() :]
    if found[2] is None:
        return b"%s{%s}%s" % (found[1], label, rest)
    return b"%s{%s%s%s" % (found[1], label, b"" if rest.startswith(b"}") else b",", rest)
