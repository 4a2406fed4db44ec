"""Which part of a page is shown, and how much of what repeats itself. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from flotilla import NotFound
from web_browsing.browser.tree import LANDMARKS, Child, Node, text_of, walk

LONGEST_RUN = 25
"""Neighbours of one kind that are all shown; of more only the first SHOWN_OF_RUN."""
SHOWN_OF_RUN = 20
SHOWN_OPTIONS = 20
CONTEXT_CHARS = 80
"""Of a row's text that are kept in what is only to be acted on."""

_REPEATING = frozenset(
    {"row", "item", "listitem", "article", "link", "button", "option", "treeitem", "menuitem"}
    | {"menuitemcheckbox", "menuitemradio", "tab", "img", "checkbox", "radio", "gridcell", "cell"}
    | {"heading", "comment", "term", "definition"}
)
_CONTEXT = LANDMARKS | {
    *("iframe", "table", "grid", "list", "tree", "menu", "menubar", "radiogroup")
}
_TELLING = frozenset(["row", "item", "listitem", "article"])
MORE = "more"
"""The role, which no page can give, of a line that says what is left out."""


def section_of(whole: Node, raw: Node, wanted: str) -> Node:
    """A `page` of that part alone: a reference, a landmark's role or name, or a heading's words.

    `raw` is the page as it was read, which knows references that `whole`, the small one, lost.
    Raises NotFound, which names the landmarks that there are.
    """
    wanted = wanted.strip()
    sought = wanted.casefold()
    for part in (whole, raw):
        for node in walk(part):
            if node.ref == wanted:
                return Node("page", children=(node,))
    for node in walk(whole):
        if node.role == sought and sought != "heading":
            return Node("page", children=(node,))
    for node in walk(whole):
        if node.role in LANDMARKS and node.name.casefold() == sought:
            return Node("page", children=(node,))
    below = _under_heading(whole, sought)
    if below:
        return Node("page", children=below)
    raise NotFound(
        f"the page has no section {wanted[:200]!r}",
        hint=_sections(whole),
    )


def _sections(whole: Node) -> str:
    """Without words of the page: an error is not marked as a stranger's."""
    roles = dict.fromkeys(node.role for node in walk(whole) if node.role in LANDMARKS)
    headings = sum(node.role == "heading" for node in walk(whole))
    return f"It has {', '.join(roles) or 'no landmarks'}, and {headings} headings."


def _words(node: Node) -> str:
    return node.name or text_of(node)


def _under_heading(whole: Node, sought: str) -> tuple[Child, ...]:
    """From the heading of these words to the next one that is not below it."""
    headings = [node for node in walk(whole) if node.role == "heading"]
    found = next((each for each in headings if _words(each).casefold() == sought), None) or next(
        (each for each in headings if sought in _words(each).casefold()), None
    )
    if found is None or not sought:
        return ()
    shown: list[Child] = [found]
    for around, branch in reversed(_way_to(whole, found)):
        at = next(at for at, each in enumerate(around.children) if each is branch)
        for each in around.children[at + 1 :]:
            if isinstance(each, Node) and _ends(each, found.level):
                return tuple(shown)
            if not (isinstance(each, str) and isinstance(shown[-1], str)):
                shown.append(each)
        # A heading often stands in a header of its own, and says what comes after that.
        if around.role in LANDMARKS and around.role != "banner":
            break
    return tuple(shown)


def _way_to(whole: Node, sought: Node) -> list[tuple[Node, Node]]:
    """Each element on the way down to it, with the child that the way goes on with."""
    way: list[tuple[Node, Node]] = []
    around = whole
    while around is not sought:
        branch = next(
            each
            for each in around.children
            if isinstance(each, Node) and any(node is sought for node in walk(each))
        )
        way.append((around, branch))
        around = branch
    return way


def _ends(node: Node, level: int) -> bool:
    return any(each.role == "heading" and each.level <= level for each in walk(node))


def no_deeper(page: Node, depth: int) -> Node:
    """Only so many levels of what is inside; what is below is counted."""

    def cut(node: Node, left: int) -> Node:
        if left > 0:
            inside = tuple(
                cut(each, left - 1) if isinstance(each, Node) else each for each in node.children
            )
            return replace(node, children=inside)
        below = sum(1 for _ in walk(node)) - 1
        if not below:
            return node
        where = f", section={node.ref} shows them" if node.ref else ""
        return replace(node, children=(Node(MORE, children=(f"{below} elements{where}",)),))

    return cut(page, depth)


def only_interactive(page: Node) -> Node:
    """What can be acted on, with the landmarks, headings and rows that say where it stands."""
    return replace(page, children=tuple(_interactive(page)))


def _interactive(node: Node) -> Iterator[Child]:
    waiting: Node | None = None
    for child in node.children:
        if not isinstance(child, Node):
            continue
        if child.role == "heading" and not child.children and not child.is_actionable:
            # One that nothing follows to act on is of no use.
            waiting = child
            continue
        for found in _acted(child):
            if waiting is not None:
                yield waiting
                waiting = None
            yield found


def _acted(node: Node) -> Iterator[Child]:
    if node.role == MORE:
        yield node
        return
    inside = tuple(_interactive(node))
    if node.is_actionable:
        values = tuple(each for each in node.children if isinstance(each, str))
        is_option_list = all(isinstance(each, Node) and each.role == "option" for each in inside)
        kept = node.children if is_option_list else (*values, *inside)
        yield replace(node, url=None, children=kept)
    elif not inside:
        return
    elif node.role in _CONTEXT:
        yield replace(node, children=inside)
    elif node.role in _TELLING and (words := _first_text(node)):
        yield replace(node, children=(words, *inside))
    else:
        yield from inside


def _first_text(node: Node) -> str:
    text = next((each for each in node.children if isinstance(each, str)), "").strip("| ")
    return text if len(text) <= CONTEXT_CHARS else text[: CONTEXT_CHARS - 1].rstrip() + "…"


def without_repetition(page: Node, *, whole_first: bool = False) -> Node:
    """Long runs of neighbours of one kind cut, saying how many more and which section shows them.

    `whole_first`: not those of the section itself, which was asked for.
    """
    ref = next((node.ref for node in walk(page) if node.ref), None)
    if not whole_first:
        return _unrepeated(page, ref)
    lone = page.children[0] if len(page.children) == 1 else None
    top = lone if isinstance(lone, Node) else page
    inside = tuple(
        _unrepeated(each, top.ref or ref) if isinstance(each, Node) else each
        for each in top.children
    )
    done = replace(top, children=inside)
    return done if top is page else replace(page, children=(done,))


def _unrepeated(node: Node, ref: str | None) -> Node:
    ref = node.ref or ref
    if node.role in ("combobox", "listbox") and _are_plain_options(node.children):
        return replace(node, children=(_options(node),))
    shown: list[Child] = []
    parts = node.children
    at = 0
    while at < len(parts):
        end = _end_of_run(parts, at)
        last = at + SHOWN_OF_RUN if end - at > LONGEST_RUN else end
        shown.extend(
            _unrepeated(each, ref) if isinstance(each, Node) else each for each in parts[at:last]
        )
        if last < end:
            shown.append(_left_out(parts[last:end], ref))
        at = end
    return replace(node, children=tuple(shown))


def _end_of_run(parts: tuple[Child, ...], start: int) -> int:
    first = parts[start]
    if isinstance(first, str) or first.role not in _REPEATING:
        return start + 1
    end = start + 1
    while end < len(parts):
        each = parts[end]
        if isinstance(each, str) or each.role != first.role:
            break
        end += 1
    return end


def _left_out(parts: tuple[Child, ...], ref: str | None) -> Node:
    first = parts[0]
    kind = first.role if isinstance(first, Node) else "text"
    where = f", section={ref} shows them" if ref else ""
    return Node(MORE, children=(f"{len(parts)} of {kind}{where}",))


def _are_plain_options(parts: tuple[Child, ...]) -> bool:
    return bool(parts) and all(
        isinstance(each, Node) and each.role == "option" and not each.ref for each in parts
    )


def _options(node: Node) -> str:
    options = [each for each in node.children if isinstance(each, Node)]
    chosen = ", ".join(each.name for each in options if "selected" in each.states)
    names = [each.name[:CONTEXT_CHARS] for each in options[:SHOWN_OPTIONS]]
    more = len(options) - len(names)
    where = f", section={node.ref} shows them" if node.ref else ""
    rest = f" and {more} more{where}" if more else ""
    return f"{chosen or 'none'} (of {len(options)}: {', '.join(names)}{rest})"
