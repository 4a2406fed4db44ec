"""Pages over all objects of a type, so that the first of ten thousand costs one request.

A first page is the first objects that vCenter gives. Every later one goes by an order of ours: all
IDs, sorted, less those of the first page. The order is read once (IDs alone, no properties) and
kept for a minute, so a cursor needs nothing that a vCenter could lose with its session; where this
service itself was started anew, the worst is that objects of the first page come again.
"""

import secrets
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flotilla import InvalidArgument, Model, Page, decode_cursor, encode_cursor
from flotilla.json_text import to_json
from flotilla.sizes import MAX_TEXT_BYTES

if TYPE_CHECKING:
    from vmware.reading import Read, Ref, Vc

Item = TypeVar("Item", bound=Model)
Pieces = Generator[tuple[list["Read"], bool]]
"""Objects as they come from vCenter, and with each piece whether there are more."""

ORDER_S = 60.0
"""An order this old is read again: what was made since comes in, and what has gone goes."""
MAX_BEGUN = 512
STEP = 128
"""Objects that are read in one request for a page: of larger pages some may not fit any more."""
SCAN = 500
"""Objects that are looked at in one request where a filter decides."""
PAGE_BYTES = MAX_TEXT_BYTES - 1024
"""What the items of a page may take together; cursor and counts need a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Item]):
    """A list of a type: which leaf paths an item needs, and how it is made of them.

    `keep` decides by `keep_paths` alone which objects belong to it; None: all. `name` tells the
    list and its filters from others, so that a cursor of one is refused by another.
    """

    name: str
    kind: str
    paths: Sequence[str]
    shape: "Callable[[Read], Item]"
    keep: "Callable[[Read], bool] | None" = None
    keep_paths: Sequence[str] = ()


class Orders:
    """The orders and begun lists of one vCenter; used by threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._orders: dict[str, tuple[float, list[Ref]]] = {}
        self._begun: OrderedDict[str, frozenset[str]] = OrderedDict()

    def forget(self) -> None:
        """Something was made or deleted."""
        with self._lock:
            self._orders.clear()

    def order(self, vc: "Vc", kind: str) -> "list[Ref]":
        with self._lock:
            known = self._orders.get(kind)
        if known is not None and self._clock() - known[0] < ORDER_S:
            return known[1]
        refs = sorted(vc.order(kind), key=_place)
        with self._lock:
            self._orders[kind] = (self._clock(), refs)
        return refs

    def begin(self, given: Iterable[str]) -> str:
        """A name for a list whose first page had these IDs."""
        name = secrets.token_hex(6)
        with self._lock:
            self._begun[name] = frozenset(given)
            if len(self._begun) > MAX_BEGUN:
                self._begun.popitem(last=False)
        return name

    def begun(self, name: str) -> frozenset[str]:
        with self._lock:
            return self._begun.get(name, frozenset())


def page(
    vc: "Vc", orders: Orders, listing: Listing[Item], limit: int, cursor: str | None
) -> Page[Item]:
    """One page, cut where its items would take more than 48 KB; little more is read than shown."""
    kind = f"{vc.alias}|{listing.name}"
    if cursor is None and listing.keep is None:
        taken = _taken(listing, vc.first(listing.kind, listing.paths, min(limit, STEP)), limit)
        begun = orders.begin(taken.ids) if taken.more else ""
        total = None if taken.more else len(taken.items)
        return taken.page(kind, ["", begun], total)
    last, begun = ("", "") if cursor is None else _position(decode_cursor(kind, cursor))
    order = orders.order(vc, listing.kind)
    given = orders.begun(begun)
    rest = (ref for ref in order[after(order, last) :] if ref[1] not in given)
    if listing.keep is not None:
        rest = _kept(vc, listing, listing.keep, rest)
    taken = _taken(listing, _read(vc, listing, rest, limit), limit)
    total = len(order) if listing.keep is None else None
    return taken.page(kind, [taken.ids[-1] if taken.ids else last, begun], total)


@dataclass(frozen=True, slots=True)
class _Taken(Generic[Item]):
    items: list[Item]
    ids: list[str]
    more: bool

    def page(self, kind: str, position: list[str], total: int | None) -> Page[Item]:
        return Page[Item](
            items=self.items,
            returned=len(self.items),
            next_cursor=encode_cursor(kind, position) if self.more else None,
            total=total,
            truncated=self.more,
        )


def _taken(listing: Listing[Item], pieces: "Pieces", limit: int) -> _Taken[Item]:
    """What a page holds of the pieces, which are read no further."""
    items: list[Item] = []
    ids: list[str] = []
    size = 0
    more = False
    with closing(pieces):
        for reads, again in pieces:
            more = again
            for read in reads:
                item = listing.shape(read)
                size += size_of(item)
                if len(items) == limit or (items and size > PAGE_BYTES):
                    return _Taken(items, ids, more=True)
                items.append(item)
                ids.append(read.mo_id)
            if len(items) == limit:
                break
    return _Taken(items, ids, more)


def _read(vc: "Vc", listing: Listing[Item], refs: "Iterator[Ref]", limit: int) -> "Pieces":
    """Objects in pieces, and with each whether there are more."""
    ahead, left = next(refs, None), limit
    while ahead is not None and left > 0:
        piece = [ahead, *islice(refs, min(left, STEP) - 1)]
        left -= len(piece)
        ahead = next(refs, None)
        yield _in_order(vc.these(listing.kind, piece, listing.paths), piece), ahead is not None


def _kept(
    vc: "Vc", listing: Listing[Item], keep: "Callable[[Read], bool]", refs: "Iterator[Ref]"
) -> "Iterator[Ref]":
    """Those that belong to a list, looked at as they are taken."""
    while piece := list(islice(refs, SCAN)):
        looked = _in_order(vc.these(listing.kind, piece, listing.keep_paths), piece)
        yield from (read.ref for read in looked if keep(read))


def _in_order(reads: "Iterable[Read]", refs: "Sequence[Ref]") -> "list[Read]":
    by_id = {read.mo_id: read for read in reads}
    return [by_id[ref[1]] for ref in refs if ref[1] in by_id]


def after(order: "Sequence[Ref]", last: str) -> int:
    """Where an order goes on behind the object of that ID, which may have gone; 0 for none."""
    return bisect_right(order, _place(("", last)), key=_place) if last else 0


def _place(ref: "Ref") -> tuple[int, str]:
    # vm-9 before vm-10: IDs of a type count up.
    return len(ref[1]), ref[1]


def _position(position: Any) -> tuple[str, str]:
    match position:
        case [str(last), str(begun)]:
            return last, begun
        case _:
            raise InvalidArgument("cursor is not one that this tool gave out")


def size_of(item: Model) -> int:
    """How many bytes an item takes in an answer."""
    return len(to_json(item.model_dump(mode="json"))) + 1


def fitting(items: Sequence[Model], max_bytes: int = PAGE_BYTES) -> int:
    """How many of the items, from the first on, an answer of that size holds; one at least."""
    size = 0
    for count, item in enumerate(items):
        size += size_of(item)
        if size > max_bytes and count:
            return count
    return len(items)
