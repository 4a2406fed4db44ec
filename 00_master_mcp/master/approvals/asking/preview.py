"""What the service of a call says of it before anybody decides.

A service names in the mark `io.flotilla/preview` of the tool that changes things what says so. A
read-only tool of its own is called as whoever asks, by the whole way of a call, so that it shows
them nothing that they may not see. An operation of it is for the hub alone: it is asked once the
call itself has passed the rules, with the very arguments of the call, and may reject the call.
"""

import asyncio
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

from pydantic import ValidationError

from flotilla import FlotillaError, NotAllowed, Unavailable, meta
from flotilla.json_text import from_json
from flotilla.preview import REJECTED, Foreseen
from master import rpc
from master.approvals.asking.need import need_of
from master.approvals.asking.plain import in_quotes
from master.approvals.asking.words import Previewed
from master.approvals.unheard import Unheard
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.entry import Entry, View
from master.handles.spots import secret_places
from master.result import Result, error_code, marks_of

LIMIT_S = 3.0
"""A person waits for it, and may decide without."""
OPERATION_LIMIT_S = 8.0
"""Of an operation: a provider that is asked for a dry run and a price takes its time."""
MAX_FORESEEN_BYTES = 128 * 1024
"""Of what an operation answers."""


class Asks(Protocol):
    """Has a service of the fleet do an operation for the hub; raises FlotillaErrors."""

    async def run(
        self,
        service: str,
        name: str,
        body: bytes,
        *,
        timeout_s: float = ...,
        correlation_id: str | None = ...,
        max_bytes: int = ...,
    ) -> Mapping[str, Any]: ...


class Previews:
    """Whoever puts the hub together sets `way`, that of a call that nobody hears."""

    def __init__(
        self,
        catalogue: Catalogue,
        operations: Asks | None = None,
        limit_s: float = LIMIT_S,
        operation_limit_s: float = OPERATION_LIMIT_S,
    ) -> None:
        self._catalogue = catalogue
        self._operations = operations
        self._limit_s = limit_s
        self._operation_limit_s = operation_limit_s
        self.way: Stage = _nowhere

    async def of(self, call: Call) -> Previewed | None:
        """What is said of it, or why nothing is; None where the tool has no preview.

        Raises the error that the call itself would end with, where the operation says that it
        would: then there is nothing to be asked. Else a question is asked with or without one.
        """
        entry = call.resolved()
        if entry.origin.external:
            return None
        mark = meta.members(meta.marks_of(entry.listed).get(meta.PREVIEW))
        if name := mark.get("tool"):
            return await self._by_tool(call, entry, str(name), mark)
        if name := mark.get("operation"):
            return await self._by_operation(call, entry, str(name), mark)
        return None

    async def _by_tool(
        self, call: Call, entry: Entry, tool: str, mark: Mapping[str, Any]
    ) -> Previewed:
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

    async def _by_operation(
        self, call: Call, entry: Entry, name: str, mark: Mapping[str, Any]
    ) -> Previewed:
        limit_s = self._operation_limit_s
        # To the methods of tools null is an argument that was left out.
        texts = {each: text for each, text in _texts(call, mark).items() if text != "null"}
        if asker := mark.get("asker"):
            texts[str(asker)] = rpc.text_of(call.principal.name)
        body = rpc.written(texts).encode("utf-8", "surrogatepass")
        try:
            if self._operations is None:
                raise Unavailable(f"this hub asks no service for {name}")
            async with asyncio.timeout(limit_s):
                told = await self._operations.run(
                    entry.service,
                    name,
                    body,
                    timeout_s=limit_s,
                    correlation_id=call.correlation_id,
                    max_bytes=MAX_FORESEEN_BYTES,
                )
            return Previewed(entry.service, foreseen=Foreseen.model_validate(told))
        except TimeoutError:
            return Previewed(entry.service, problem=f"it took over {limit_s:g} s")
        except ValidationError:
            return Previewed(entry.service, problem="what it answered is no preview")
        except FlotillaError as error:
            if error.details.pop(REJECTED, None) is True:
                raise
            why = f"{error.code}, {in_quotes(error.message, 200)}"
            return Previewed(entry.service, problem=why)


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
