"""A tree as HTML again: as it is for another reader, or with nothing but harmless elements."""

from collections.abc import Callable, Iterator, Mapping
from html import escape

from web_browsing.reading.targets import Targets
from web_browsing.reading.tree import VOID, Node, names

ELEMENTS = names(
    "a abbr article b blockquote br caption cite code col colgroup dd del details dfn div dl dt em"
    " figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li main mark math ol p pre q s samp"
    " section small span strong sub summary sup table tbody td tfoot th thead time tr u ul"
    " var"
)
"""What is left of a page as HTML; of all other elements their content stays."""
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "img": ("alt",),
    "ol": ("start",),
    "td": ("colspan", "rowspan"),
    "th": ("colspan", "rowspan", "scope"),
    "time": ("datetime",),
    "math": ("alttext",),
}


_NOT_READ = frozenset({"style", "colspan", "rowspan"})


def as_html(root: Node) -> str:
    """All of a tree but its styles, for a library that reads it again.

    Without spans of cells: one of 9,999 columns takes minutes there.
    """

    def whole(node: Node) -> tuple[str, Mapping[str, str]]:
        kept = {name: told for name, told in node.attributes.items() if name not in _NOT_READ}
        return node.tag, kept

    return "".join(_written(root, whole))


def sanitised(root: Node, targets: Targets) -> str:
    """The harmless part: no scripts, handlers, styles or URLs other than http and https."""

    def harmless(node: Node) -> tuple[str, Mapping[str, str]]:
        if node.tag not in ELEMENTS:
            return "", {}
        kept = {
            name: node.attributes[name]
            for name in ATTRIBUTES.get(node.tag, ())
            if name in node.attributes
        }
        if node.tag == "a":
            url = targets.absolute(node.get("href"))
            return ("a", {"href": url}) if url else ("", {})
        if node.tag == "img" and (url := targets.picture(node)) and not url.startswith("data:"):
            kept["src"] = url
        return node.tag, kept

    return "".join(_written(root, harmless))


def _written(root: Node, shape: Callable[[Node], tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    pending: list[Node | str | tuple[str]] = [root]
    while pending:
        each = pending.pop()
        if isinstance(each, tuple):
            yield each[0]
        elif isinstance(each, str):
            yield escape(each, quote=False)
        else:
            tag, attributes = shape(each)
            if tag:
                told = "".join(
                    f' {name}="{escape(value)}"'
                    for name, value in attributes.items()
                    if name.replace("-", "").replace("_", "").isalnum()
                )
                yield f"<{tag}{told}>"
                if tag not in VOID:
                    pending.append((f"</{tag}>",))
            pending += reversed(each.children)
