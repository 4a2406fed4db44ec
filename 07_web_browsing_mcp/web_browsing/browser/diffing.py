"""What changed between two snapshots of a page, as a patch from one tree to the other. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from web_browsing.browser.tree import Child, Node, line_of, render, text_of, walk

MAX_WAS = 120
"""Characters that are told of what was there before."""


@dataclass(frozen=True, slots=True)
class Keep:
    """So many children stay as they are."""

    count: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The next child is gone."""

    was: Child


@dataclass(frozen=True, slots=True)
class Add:
    """A child that is new here."""

    child: Child


@dataclass(frozen=True, slots=True)
class Into:
    """The next child stays and is another inside; `head` is how it is itself now."""

    was: Node
    head: Node
    steps: "tuple[Step, ...]"


Step = Keep | Drop | Add | Into


def difference(before: Node, after: Node) -> tuple[Step, ...]:
    """The steps that make the children of `after` of those of `before`."""
    steps: list[Step] = []
    kept = 0
    for old, new in _aligned(before.children, after.children):
        if old is not None and old == new:
            kept += 1
            continue
        if kept:
            steps.append(Keep(kept))
            kept = 0
        if isinstance(old, Node) and isinstance(new, Node):
            steps.append(Into(old, new.head(), difference(old, new)))
            continue
        if old is not None:
            steps.append(Drop(old))
        if new is not None:
            steps.append(Add(new))
    if kept:
        steps.append(Keep(kept))
    return tuple(steps)


def applied(before: Node, steps: Sequence[Step]) -> Node:
    """`before` with the steps done: what `difference` was made for."""
    at = 0
    children: list[Child] = []
    for step in steps:
        match step:
            case Keep(count):
                children.extend(before.children[at : at + count])
                at += count
            case Drop():
                at += 1
            case Add(child):
                children.append(child)
            case Into(was, head, inner):
                children.append(replace(head, children=applied(was, inner).children))
                at += 1
    return replace(before, children=tuple(children))


Pair = tuple[Child | None, Child | None]


def _aligned(before: Sequence[Child], after: Sequence[Child]) -> Iterator[Pair]:
    """Both lists beside each other: first what is the same, between that what is the same element,
    of what is left each alone."""
    for olds, news, same in _around(before, after, lambda each: each):
        for gone, come, element in _around(olds, news, _identity):
            for old in gone:
                yield old, None
            for new in come:
                yield None, new
            if element is not None:
                yield element
        if same is not None:
            yield same


def _identity(child: Child) -> Hashable:
    if isinstance(child, str):
        # Two texts are never one that changed: each stands for itself.
        return None
    return child.role, child.ref or child.name


def _around(
    before: Sequence[Child], after: Sequence[Child], key: Callable[[Child], Hashable]
) -> Iterator[tuple[Sequence[Child], Sequence[Child], Pair | None]]:
    """The stretches between children of the same key, each with the pair that ends it."""
    old_at = new_at = 0
    for old, new in _anchors(before, after, key):
        yield before[old_at:old], after[new_at:new], (before[old], after[new])
        old_at, new_at = old + 1, new + 1
    yield before[old_at:], after[new_at:], None


def _anchors(
    before: Sequence[Child], after: Sequence[Child], key: Callable[[Child], Hashable]
) -> list[tuple[int, int]]:
    """The longest list of pairs of the same key that rise in both (n log n: pages have lists of
    ten thousand items)."""
    places = {each: at for at, each in enumerate(_numbered(before, key)) if each is not None}
    pairs = [
        (places[each], at)
        for at, each in enumerate(_numbered(after, key))
        if each is not None and each in places
    ]
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for number, (old, _) in enumerate(pairs):
        length = bisect_left(ends, old)
        previous.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(old)
            last.append(number)
        else:
            ends[length], last[length] = old, number
    found: list[tuple[int, int]] = []
    number = last[-1] if last else -1
    while number >= 0:
        found.append(pairs[number])
        number = previous[number]
    return found[::-1]


def _numbered(children: Sequence[Child], key: Callable[[Child], Hashable]) -> Iterator[Hashable]:
    """Keys made unique: the third row of the same words is that, and not any."""
    seen: Counter[Hashable] = Counter()
    for child in children:
        of = key(child)
        seen[of] += 1
        yield None if of is None else (of, seen[of])


def share_changed(before: Node, after: Node, steps: Sequence[Step]) -> float:
    """How much of both pages is not in the other, 0 to 1."""
    everything = sum(_size(each) for each in (before, after))
    return _changed(steps) / everything if everything else 0.0


def _changed(steps: Sequence[Step]) -> int:
    total = 0
    for step in steps:
        match step:
            case Drop(child) | Add(child):
                total += _size(child)
            case Into(was, head, inner):
                total += 2 * (was.head() != head) + _changed(inner)
            case Keep():
                pass
    return total


def _size(child: Child) -> int:
    """Elements and texts, for a page of text alone has few elements."""
    if isinstance(child, str):
        return 1
    return sum(1 + sum(isinstance(each, str) for each in node.children) for node in walk(child))


def told(steps: Sequence[Step], shown: Callable[[Node], Node] = lambda page: page) -> str:
    """The changes as lines: `+` is new, `-` gone, `~` changed, each under what it stands in.

    `shown` is what is done to a page of added elements before it is written.
    """
    return "\n".join(_told(steps, "", shown))


def _told(steps: Sequence[Step], indent: str, shown: Callable[[Node], Node]) -> Iterator[str]:
    for step in steps:
        match step:
            case Drop(child):
                yield f"- {indent}{_brief(child)}"
            case Add(child):
                added = render(shown(Node("page", children=(child,))))
                yield from (f"+ {indent}{line}" for line in added.split("\n"))
            case Into():
                yield from _told_inside(step, indent, shown)
            case Keep():
                pass


def _told_inside(step: Into, indent: str, shown: Callable[[Node], Node]) -> Iterator[str]:
    was, head = step.was, step.head
    whole = replace(head, children=applied(was, step.steps).children)
    now = render(Node("page", children=(whole,)))
    if "\n" not in now and len(now) <= 3 * MAX_WAS:
        yield f"~ {indent}{now}  (was: {_brief(was)})"
        return
    changed = was.head() != head
    mark = "~" if changed else " "
    before = f"  (was: {_cut(line_of(was.head()))})" if changed else ""
    yield f"{mark} {indent}{line_of(head)}{before}"
    yield from _told(step.steps, indent + "  ", shown)


def _brief(child: Child) -> str:
    if isinstance(child, str):
        return _cut(f"text: {child}")
    lines = render(Node("page", children=(child,))).split("\n")
    if len(lines) == 1:
        return _cut(lines[0])
    words = text_of(child)
    return _cut(f"{lines[0]}: {words}" if words else lines[0]) + f" ({len(lines)} lines)"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WAS else text[: MAX_WAS - 1].rstrip() + "…"
