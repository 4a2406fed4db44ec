"""How large a file may be that a call carries, and of which type: both ways."""

from collections.abc import AsyncIterator, Callable, Mapping

from typing_extensions import override

from flotilla.resilience import Files, Resilience
from master.call import Call, Hearer, Relay, Stage
from master.catalogue import Entry
from master.files.arguments import Spot, check, spots_of
from master.files.carried import carried, carried_pieces
from master.files.rule import Rule
from master.result import Result
from master.streaming.splitter import Piece

_MAX_TOOLS = 4096
"""Of how many tools it is remembered where their arguments hold files."""
_CARRYING: Mapping[str, str] = {
    "tools/call": "content",
    "prompts/get": "messages",
    "resources/read": "contents",
}
"""The member of a result that carries files, by the method."""


def checked(inner: Stage, resilience: Callable[[str], Resilience]) -> Stage:
    """TooLarge or NotAllowed for arguments with a file that its service does not take.

    A file in a result that may not be carried gives way to a text that says so; a resource that is
    one is refused as a whole. A small call with the default limits costs two comparisons.
    """
    rules, spots = _Rules(resilience), _Spots()

    async def stage(call: Call) -> Result:
        entry = call.resolved()
        rule = rules.of(entry)
        free_chars = rule.free_chars
        arguments = call.params.get("arguments")
        if arguments is not None and len(arguments) > free_chars:
            check(arguments, call.arguments, spots.of(entry), rule)
        hearer = call.hearer
        call.hearer = _Carrying(hearer, rule)
        try:
            result = await inner(call)
        finally:
            call.hearer = hearer
        text = result.texts.get(_CARRYING.get(call.method, ""))
        if text is None or len(text) <= free_chars:
            return result
        return await carried(result, rule)

    return stage


class _Rules:
    """The rule of each service, made anew when its settings are others."""

    def __init__(self, resilience: Callable[[str], Resilience]) -> None:
        self._resilience = resilience
        self._known: dict[str, Rule] = {}

    def of(self, entry: Entry) -> Rule:
        service = entry.service
        files: Files = self._resilience(service).files
        rule = self._known.get(service)
        if rule is None or rule.files is not files:
            section = "external" if entry.origin.external else "services"
            rule = self._known[service] = Rule.of(files, f"{section}.{service}.files")
        return rule


class _Spots:
    """Where the arguments of each tool hold files, made anew when it is listed differently."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Spot | None]] = {}

    def of(self, entry: Entry) -> Spot | None:
        listed = entry.listed
        known = self._known.get(entry.name)
        if known is None or known[0] is not listed:
            if len(self._known) >= _MAX_TOOLS:
                self._known.clear()
            known = self._known[entry.name] = listed, spots_of(listed.get("inputSchema"))
        return known[1]


class _Carrying(Relay):
    """Hears a server's answer for a client: of one in pieces the files are looked at."""

    __slots__ = ("_rule",)

    def __init__(self, hearer: Hearer, rule: Rule) -> None:
        super().__init__(hearer)
        self._rule = rule

    @override
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        return await self.hearer.pour(carried_pieces(pieces, self._rule))
