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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flotilla import InvalidArgument, Model, Page, decode_cursor, encode_cursor
from flotilla.json_text import to_json
from flotilla.sizes import MAX_TEXT_BYTES

if TYPE_CHECKING:
    from vmware.reading import Read, Ref, Vc

Item = TypeVar("Item", bound=Model)

ORDER_S = 60.0
"""An order this old is read again: what was made since comes in, and what has gone goes."""
MAX_BEGUN = 512
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
    """One page, cut where its items would take more than 48 KB."""
    kind = f"{vc.alias}|{listing.name}"
    if cursor is None and listing.keep is None:
        return _first(vc, orders, listing, limit, kind)
    last, begun = ("", "") if cursor is None else _position(decode_cursor(kind, cursor))
    order = orders.order(vc, listing.kind)
    given = orders.begun(begun)
    rest = (ref for ref in order[after(order, last) :] if ref[1] not in given)
    found = list(_found(vc, listing, rest, limit + 1))
    items = [listing.shape(read) for read in found[:limit]]
    shown = fitting(items)
    more = len(found) > shown
    last = found[shown - 1].mo_id if found else last
    return Page[Item](
        items=items[:shown],
        returned=shown,
        next_cursor=encode_cursor(kind, [last, begun]) if more else None,
        total=len(order) if listing.keep is None else None,
        truncated=more,
    )


def _first(vc: "Vc", orders: Orders, listing: Listing[Item], limit: int, kind: str) -> Page[Item]:
    found, more = vc.first(listing.kind, listing.paths, limit)
    items = [listing.shape(read) for read in found]
    shown = fitting(items)
    more = more or shown < len(items)
    begun = orders.begin(read.mo_id for read in found[:shown]) if more else ""
    return Page[Item](
        items=items[:shown],
        returned=shown,
        next_cursor=encode_cursor(kind, ["", begun]) if more else None,
        total=None if more else shown,
        truncated=more,
    )


def _found(vc: "Vc", listing: Listing[Item], rest: "Iterator[Ref]", most: int) -> "Iterator[Read]":
    """The next objects that belong to the list, read no further than `most` of them need."""
    left = most
    while left > 0:
        step = SCAN if listing.keep is not None else left
        refs = [ref for ref, _ in zip(rest, range(step), strict=False)]
        if not refs:
            return
        if listing.keep is not None:
            looked = _in_order(vc.these(listing.kind, refs, listing.keep_paths), refs)
            refs = [read.ref for read in looked if listing.keep(read)][:left]
        reads = _in_order(vc.these(listing.kind, refs, listing.paths), refs)
        yield from reads
        left -= len(reads)


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


def fitting(items: Sequence[Model], max_bytes: int = PAGE_BYTES) -> int:
    """How many of the items, from the first on, an answer of that size holds; one at least."""
    size = 0
    for count, item in enumerate(items):
        size += len(to_json(item.model_dump(mode="json"))) + 1
        if size > max_bytes and count:
            return count
    return len(items)
