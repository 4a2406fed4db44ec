"""Names of tools from operations: camelCase, the verb first, unique and stable. Pure.

`repos/list-for-user` becomes `listReposForUser`, `findPetsByStatus` stays, and `GET /pets/{petId}`
without an `operationId` becomes `getPetsByPetId`. Names are made for all operations of a document
at once, before any are filtered, so that a filter renames nothing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

MAX_LENGTH = 48
"""Room for `ext.<server>.` before it within 64 characters."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_ARGUMENT = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_PLAIN = re.compile(r"[a-z][a-zA-Z0-9]*")
_VERB_LIST = """
    abort accept acknowledge activate add allow analyze append apply approve archive ask assign
    attach audit authenticate authorize batch begin block book build bulk buy calculate call cancel
    change check checkout claim clear clone close commit compare complete compute confirm connect
    convert copy count create deactivate debug decline decode decrement decrypt delete deliver deny
    deploy describe destroy detach detect disable discard disconnect discover dismiss dispatch
    download drain drop duplicate edit embed enable encode encrypt end enqueue enroll ensure
    enumerate erase estimate evaluate exchange exclude execute exists expand expire export extend
    extract fetch fill filter find finish flag flush follow force forget fork format forward freeze
    generate get give grant handle hide hold import include increment index infer init initialize
    insert inspect install introspect invalidate invite invoke issue join keep kick kill label
    launch leave like link list load lock login logout lookup make mark match measure merge migrate
    modify monitor move mute notify offer open order override parse patch pause pay peek pin ping
    place poll pop post preview print probe process promote provision publish pull purge push put
    query queue rate read rebuild receive record recover redeem redeliver redirect refresh refund
    register reindex reject release reload remove rename render renew reopen reorder replace reply
    report request rerequest rerun reschedule resend reserve reset resize resolve respond restart
    restore resume retrieve retry return revert review revoke rollback rotate run save scale scan
    schedule score search select send set share show sign simulate skip sort split star start stop
    store stream submit subscribe suggest summarize suspend swap switch sync tag terminate test
    toggle touch track transcribe transfer transform translate trigger truncate unarchive unassign
    unblock undelete undo unfollow unlink unlock unmark unmute unpin unpublish unregister unset
    unstar unsubscribe unsuspend update upgrade upload upsert use validate verify view void vote
    wait watch wipe write
    """
_DESTROYING_LIST = """
    abort cancel clear deactivate delete deprovision destroy detach discard drop erase evict expire
    flush forget kill prune purge remove reset revert revoke rollback terminate truncate uninstall
    void wipe
    """
_NOUN_LIST = """
    archive audit batch block book branch build call change check checkout claim commit count debug
    download draft embed end estimate export filter find finish flag force fork format forward grant
    handle hold import index issue keep label launch like link lock login mark match measure monitor
    mute offer order patch pause pay pin ping place poll post preview print probe process promise
    pull push query queue rate record refund register release report request reserve reset review
    run sale scale scan schedule score search set share show sign sort split star start stop store
    stream suspend swap switch sync tag test touch track transfer trigger update upgrade upload use
    view vote wait watch
    """
_VERBS = frozenset(_VERB_LIST.split())
_DESTROYING = frozenset(_DESTROYING_LIST.split())
_NOUNS_TOO = frozenset(_NOUN_LIST.split())
"""Verbs that are as often the name of a thing: `order_place` places an order."""


def tool_names(operations: Iterable[tuple[str, str, str]]) -> list[str]:
    """A name for each `(method, path, operationId)`, in their order.

    Where two meet, each gets a short hash of its method and path, unless it is the only one whose
    operationId is that very name.
    """
    given = list(operations)
    names = [_cut(_wanted(*each)) for each in given]
    meeting = {name for name, count in Counter(names).items() if count > 1}
    exact = Counter(name for name, each in zip(names, given, strict=True) if each[2] == name)
    out: list[str] = []
    for name, (method, path, operation_id) in zip(names, given, strict=True):
        keeps = name not in meeting or (operation_id == name and exact[name] == 1)
        out.append(name if keeps else _with_hash(name, f"{method} {path}"))
    return out


def words_of(text: str) -> list[str]:
    """The words in an identifier of any style, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def argument_name(wire_name: str) -> str:
    """A parameter's name as model APIs take it: `^[a-zA-Z0-9_.-]{1,64}$`."""
    if _ARGUMENT.fullmatch(wire_name):
        return wire_name
    name = re.sub(r"[^a-zA-Z0-9_.-]+", "_", wire_name).strip("_") or "argument"
    return name if len(name) <= 64 else f"{name[:55]}_{_digest(wire_name)}"


def destroys(method: str, path: str, operation_id: str) -> bool:
    """Whether the name of an operation says that it takes something away."""
    ends = [part for part in path.split("/") if part and not part.startswith("{")][-1:]
    told = {*words_of(operation_id), *(words_of(ends[0]) if ends else ())}
    return method == "delete" or bool(told & _DESTROYING)


def _wanted(method: str, path: str, operation_id: str) -> str:
    words = words_of(operation_id)
    if not words:
        return _camel([method, *_path_words(path)])
    at = _verb_at(words)
    if at == 0 and _PLAIN.fullmatch(operation_id):
        return operation_id
    if at is None:
        return _camel([method, *words])
    # `repos/list-for-user`, `users.get`, `order_place`: the verb stands after the thing.
    return _camel([words[at], *words[:at], *words[at + 1 :]])


def _verb_at(words: list[str]) -> int | None:
    """Where the verb is; the first that is nothing else, where the first word may be a thing."""
    verbs = [at for at, word in enumerate(words[:4]) if word in _VERBS]
    if not verbs:
        return None
    if verbs[0] == 0 and words[0] not in _NOUNS_TOO:
        return 0
    clear = [at for at in verbs if words[at] not in _NOUNS_TOO]
    return (clear or verbs)[0]


def _path_words(path: str) -> list[str]:
    out: list[str] = []
    for part in path.split("/"):
        for piece in re.split(r"(\{[^{}]*\})", part):
            words = words_of(piece)
            out += ["by", *words] if piece.startswith("{") and words else words
    return out


def _camel(words: list[str]) -> str:
    return words[0] + "".join(word.capitalize() for word in words[1:])


def _cut(name: str) -> str:
    if len(name) <= MAX_LENGTH:
        return name
    return f"{name[: MAX_LENGTH - 9]}_{_digest(name)}"


def _with_hash(name: str, what: str) -> str:
    return f"{name[: MAX_LENGTH - 9]}_{_digest(what)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
