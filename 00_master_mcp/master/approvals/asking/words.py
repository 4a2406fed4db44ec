"""What a person is told of a call before they decide: plain words that no argument can forge. Pure.

The first line is ours. All else is indented, so that a client that renders marks shows it as it is
(CommonMark, "Indented code blocks"), and foreign text stands in quotes or behind a bar.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from flotilla import meta
from flotilla.preview import Foreseen
from master.approvals.asking.foretold import foretold
from master.approvals.asking.need import Need
from master.approvals.asking.plain import cut_off, in_quotes, quoted, short, visible
from master.call import Call
from master.entry import Entry
from master.handles.spots import HIDDEN, Path, is_handle, secret_places
from master.policy.target import PARAMETERS, folded
from master.search.tools import summary_of

_NO_PLACE = frozenset(("unit", "user", "path"))
TARGETS = frozenset(
    folded(name) for part, names in PARAMETERS.items() for name in names if part not in _NO_PLACE
)
"""Parameters that say where a call takes effect, as the rules know them; they are told first."""
MAX_ARGUMENTS = 60
MAX_ARGUMENTS_BYTES = 8000
MAX_PREVIEW_CHARS = 1000
MAX_PREVIEW_LINES = 30
MAX_TARGETS = 5
MAX_INLINE = 200
"""Characters of a text that is told in one line."""
_IN = "    "
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a read-only tool or an operation said of the call beforehand, or why it said nothing."""

    by: str
    """The tool, or the service whose operation it was."""
    text: str | None = None
    problem: str | None = None
    untrusted: bool = False
    """Strangers wrote what it says."""
    foreseen: Foreseen | None = None
    """What an operation said."""


@dataclass(slots=True)
class _Safely:
    """Takes secrets out of texts, and remembers whether there were any."""

    redact: Callable[[str], str]
    hides: bool = False

    def __call__(self, text: str) -> str:
        found = self.redact(text)
        self.hides = self.hides or found != text
        return found


def words(
    call: Call,
    need: Need,
    *,
    redact: Callable[[str], str],
    preview: Previewed | None = None,
    unchecked: bool = False,
) -> str:
    """What will happen, where, with which arguments, who asks, and what there is to lose.

    `redact` takes secrets out of a text; `unchecked`: the arguments could not be compared with the
    tool's schema.
    """
    entry = call.resolved()
    safely = _Safely(redact)
    arguments = list(_arguments(call, entry, safely))
    lines = [
        *_what(entry),
        f"Asked by: {_asker(call)}",
        *_where(call, entry, safely),
        *(["Arguments:", *arguments] if arguments else ["Arguments: none"]),
        *(f"Risk: {risk}" for risk in _risks(entry, need, hides=safely.hides, unchecked=unchecked)),
        *_cost(entry),
        *_previewed(preview, redact),
    ]
    body = "\n".join(_IN + line for line in lines)
    # A stranger's tool may be called anything; in a line of ours stands what it is called here.
    name = entry.safe if entry.origin.external else entry.name
    return f"May {short(name)} (service {short(entry.service)}) run?\n\n{body}"


def _what(entry: Entry) -> Iterator[str]:
    title, description = (str(entry.listed.get(key) or "") for key in ("title", "description"))
    said = ": ".join(part for part in (title, summary_of(description)) if part)
    if not entry.origin.external:
        yield f"What it does: {short(said, 300) or 'its service does not say'}"
        return
    yield "What it is called and does, in the words of a server that is not ours:"
    for text in (entry.given, said or "(nothing)"):
        yield from (_IN + line for line in quoted(text, max_chars=300, max_lines=4))


def _asker(call: Call) -> str:
    roles = ", ".join(short(role, 40) for role in call.principal.roles[:8])
    who = in_quotes(call.principal.name, 80) + (f" ({roles})" if roles else "")
    info = call.client_info or {}
    client = " ".join(str(info[key]) for key in ("name", "version") if info.get(key))
    return f"{who}, by a client that calls itself {in_quotes(client, 60)}" if client else who


def _where(call: Call, entry: Entry, safely: _Safely) -> Iterator[str]:
    """What the call takes effect on, as far as well-known parameters say so."""
    known = meta.members(meta.members(entry.listed.get("inputSchema")).get("properties"))
    given: dict[str, Any] = {}
    if not entry.origin.external:
        given |= {name: meta.members(each).get("default") for name, each in known.items()}
    given |= call.arguments
    places = [(name, value) for name, value in given.items() if folded(name) in TARGETS]
    named = [
        f"{_named((name,), safely)} {in_quotes(safely(value), MAX_INLINE)}"
        for name, value in places
        if isinstance(value, str) and value
    ]
    if named:
        yield f"Where: {', '.join(named[:MAX_TARGETS])}"


class _Number(str):
    """A number as the client spelled it."""

    __slots__ = ()


def _arguments(call: Call, entry: Entry, safely: _Safely) -> Iterator[str]:
    text = call.params.get("arguments", "{}")
    # Read anew, since a number that was read once is not always written as it was.
    value: Any = json.loads(text, parse_float=_Number, parse_int=_Number)
    secrets = secret_places(entry, cast("Mapping[str, Any]", value))
    size = 0
    for count, (path, leaf) in enumerate(_leaves(value, ())):
        lines = list(_leaf(path, leaf, safely, is_secret=_within(path, secrets)))
        size += sum(len(line.encode(errors="replace")) for line in lines)
        if count >= MAX_ARGUMENTS or (count and size > MAX_ARGUMENTS_BYTES):
            yield f"{_IN}(there are more arguments than are told here)"
            yield f"{_IN}{cut_off(text)}"
            return
        yield from lines


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def _within(path: Path, secrets: frozenset[Path]) -> bool:
    return any(path[:end] in secrets for end in range(1, len(path) + 1)) if secrets else False


def _leaf(path: Path, value: Any, safely: _Safely, *, is_secret: bool) -> Iterator[str]:
    name = _IN + _named(path, safely)
    if is_secret:
        shown = f"the stored secret {in_quotes(value, MAX_INLINE)}" if is_handle(value) else HIDDEN
        yield f"{name} = {shown}"
    elif isinstance(value, _Number):
        yield f"{name} = {short(value, MAX_INLINE)}"
    elif not isinstance(value, str):
        yield f"{name} = {json.dumps(value)}"
    else:
        text = safely(value)
        if len(text) <= MAX_INLINE and not {'"', "\n"} & set(text):
            yield f'{name} = "{visible(text)}"'
        else:
            yield f"{name}:"
            yield from (f"{_IN}{_IN}{line}" for line in quoted(text))


def _named(path: Path, safely: _Safely) -> str:
    """`pairs[0].name`; a member whose name is no plain word stands in quotes and brackets."""
    out = ""
    for part in path[:12]:
        if isinstance(part, int):
            out += f"[{part}]"
        elif _NAME.fullmatch(part):
            out += f".{part}" if out else part
        else:
            out += f"[{in_quotes(safely(part), 60)}]"
    return out + ("…" if len(path) > 12 else "")


def _risks(entry: Entry, need: Need, *, hides: bool, unchecked: bool) -> Iterator[str]:
    if entry.hints("destructiveHint"):
        yield "it may destroy or overwrite something, and nothing here can bring that back"
    if entry.hints("openWorldHint"):
        yield "it reaches systems outside the fleet"
    if entry.origin.external:
        yield "the server is somebody else's; what it says of itself is not checked"
    elif isinstance(said := meta.marks_of(entry.listed).get(meta.RISK), str):
        yield short(said, 300)
    if hides:
        yield "parts that look like secrets are hidden above; they run as they are"
    if unchecked:
        yield "the arguments could not be compared with the tool's schema, which is broken"
    if need == "another":
        yield "the rules ask for a second person: whoever asks cannot decide"


def _cost(entry: Entry) -> Iterator[str]:
    cost = None if entry.origin.external else meta.marks_of(entry.listed).get(meta.COST)
    if isinstance(cost, str):
        yield f"Cost: {short(cost, 200)}"


def _previewed(preview: Previewed | None, redact: Callable[[str], str]) -> Iterator[str]:
    if preview is None:
        return
    if preview.foreseen is not None:
        yield f"Beforehand, the service {short(preview.by)} says:"
        yield from (_IN + line for line in foretold(preview.foreseen, redact))
        return
    if preview.text is None:
        yield f"No preview: {short(preview.by)} failed: {short(preview.problem or '', 400)}"
        return
    strangers = " in words of strangers" if preview.untrusted else ""
    yield f"Beforehand, {short(preview.by)} says{strangers}:"
    lines = quoted(preview.text, max_chars=MAX_PREVIEW_CHARS, max_lines=MAX_PREVIEW_LINES)
    yield from (_IN + line for line in lines)
