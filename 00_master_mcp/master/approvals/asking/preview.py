"""What a read-only tool of the same service says of a call before anybody decides.

A service names it in the mark `io.flotilla/preview` of the tool that changes things. It is called
as whoever asks, by the whole way of a call, so that it shows them nothing that they may not see.
"""

import asyncio
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any

from flotilla import FlotillaError, NotAllowed, Unavailable, meta
from flotilla.json_text import from_json
from master import rpc
from master.approvals.asking.need import need_of
from master.approvals.asking.words import Previewed
from master.approvals.unheard import Unheard
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.entry import Entry, View
from master.handles.spots import secret_places
from master.result import Result, error_code, marks_of

LIMIT_S = 3.0
"""A person waits for it, and may decide without."""


class Previews:
    """Whoever puts the hub together sets `way`, that of a call that nobody hears."""

    def __init__(self, catalogue: Catalogue, limit_s: float = LIMIT_S) -> None:
        self._catalogue = catalogue
        self._limit_s = limit_s
        self.way: Stage = _nowhere

    async def of(self, call: Call) -> Previewed | None:
        """What is said of it, or why nothing is; None where the tool has no preview.

        Never raises but for cancellation: a question is asked with or without one.
        """
        entry = call.resolved()
        if entry.origin.external:
            return None
        mark = meta.members(meta.marks_of(entry.listed).get(meta.PREVIEW))
        if not (name := mark.get("tool")):
            return None  # an operation, or nothing
        tool = str(name)
        target = self._catalogue.known(tool, _view(entry))
        if target is None or not target.only_reads or target.service != entry.service:
            return Previewed(tool, None, "there is no such tool just now")
        try:
            hearer = Unheard()
            asked = _asked(call, target, _texts(call, mark), hearer, self._limit_s)
            async with asyncio.timeout(self._limit_s):
                result = hearer.result(await self.way(asked))
        except TimeoutError:
            return Previewed(tool, None, f"it took over {self._limit_s:g} s")
        except FlotillaError as error:
            return Previewed(tool, None, error.code)
        except rpc.RpcError:
            return Previewed(tool, None, "its server refused")
        problem = "it asks something itself" if result.asks else error_code(result)
        if problem is not None:
            return Previewed(tool, None, problem)
        return Previewed(tool, _text(result), untrusted=meta.UNTRUSTED in marks_of(result))


def unasked(inner: Stage) -> Stage:
    """A call that a question has made needs no question of its own; NotAllowed where it would."""

    async def stage(call: Call) -> Result:
        if need_of(call) != "nobody" or not call.resolved().only_reads:
            raise NotAllowed(f"{call.name} itself waits for a person")
        return await inner(call)

    return stage


async def _nowhere(call: Call) -> Result:
    raise Unavailable(f"this hub does not call {call.name} yet")


def _view(entry: Entry) -> View:
    return View("dotted", entry.service)


def _texts(call: Call, mark: Mapping[str, Any]) -> rpc.Texts:
    """The arguments of the preview as JSON texts; secrets are no part of them."""
    given = rpc.members(call.params.get("arguments", "{}"))[1]
    hidden = {path[0] for path in secret_places(call.resolved(), call.arguments)}
    taken = {
        parameter: given[str(argument)]
        for parameter, argument in meta.members(mark.get("taken")).items()
        if str(argument) in given and argument not in hidden
    }
    fixed = meta.members(mark.get("fixed"))
    return {**taken, **{name: rpc.text_of(value) for name, value in fixed.items()}}


def _asked(call: Call, target: Entry, texts: rpc.Texts, hearer: Unheard, limit_s: float) -> Call:
    arguments = rpc.written(texts)
    marks = {meta.TIMEOUT_MS: round(limit_s * 1000)}
    return Call(
        principal=call.principal,
        name=target.name,
        params={
            "name": rpc.text_of(target.name),
            "arguments": arguments,
            "_meta": rpc.text_of(marks),
        },
        arguments=from_json(arguments.encode("utf-8", "surrogatepass")),
        meta=marks,
        correlation_id=call.correlation_id,
        traceparent=call.traceparent,
        view=_view(target),
        capabilities={},
        party=call.party,
        client_info=call.client_info,
        arrived=monotonic(),
        hearer=hearer,
        interactive=False,
    )


def _text(result: Result) -> str:
    structured = result.texts.get("structuredContent")
    if structured is not None:
        value = from_json(structured.encode("utf-8", "surrogatepass"))
        return json.dumps(value, indent=2, ensure_ascii=False)
    blocks = from_json(result.texts.get("content", "[]").encode("utf-8", "surrogatepass"))
    texts = [meta.members(block).get("text") for block in blocks]
    return "\n".join(text for text in texts if isinstance(text, str))
