"""What of a page a person does not see, by what its own styles say. Pure.

A page hides text from people and shows it to models. Looked at are attributes, the style of an
element itself and the page's own style sheets where a rule names one class, one id or one element;
style sheets in files of their own are not fetched, and not read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from web_browsing.reading.tree import Node, Parsed, names

NEVER_TEXT = names(
    "head script style template svg canvas object embed applet audio video map iframe frame"
    " frameset noframes noembed datalist textarea select progress meter title meta link base"
    " rp"
)
"""Elements whose text is not part of the page's."""
_ALWAYS_SEEN = frozenset({"html", "body"})
"""Pages hide their body until a script has run, against flicker."""
_FOR_SCREEN_READERS = frozenset(
    {"sr-only", "visually-hidden", "visuallyhidden", "screen-reader-text", "screen-reader-only"}
)
_LATER = re.compile(r"(?:^|:)(?:block|flex|grid|inline|table|contents)")
"""Classes of today's style systems that show again what `hidden` hides: `md:block`."""

_BRACE = re.compile(r"([{}])")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_SIMPLE = re.compile(
    r"[a-z][a-z0-9]{0,20}|[.#][a-z_-][\w-]{0,80}|[a-z]{1,12}[.#][a-z_-][\w-]{0,80}"
)
_NUMBER = re.compile(r"(-?\d{0,8}\.?\d{0,8})(px|em|rem|%|pt|vw|vh|ch|ex)?")
_PER_PX = {"px": 1, "": 1, "em": 16, "rem": 16, "pt": 1.33, "ch": 8, "ex": 8, "vw": 12, "vh": 8}
_FAR_PX = 400.0
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "#fff": (255, 255, 255)}
_HEX = re.compile(r"#([0-9a-f]{3,8})")
_RGB = re.compile(
    r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]{1,8}%?))?\s*\)"
)
_SHIFT = re.compile(r"translate(?:x|y|3d)?\(\s*(-?\d{1,8})(px|%|vw|vh|em)")
_MAX_STYLE = 2000
_MOST_LOOKED_INTO = 20
"""Elements whose share of the page is counted; each costs time in proportion to the page."""

_MAX_COLOUR = 60

Style = Mapping[str, str]


@dataclass(slots=True)
class Hidden:
    """How much was taken out."""

    elements: int = 0
    texts: list[str] = field(default_factory=list[str])
    looked_into: int = 0
    is_shown_late: bool = False
    """Most of the page waits for a script to show it; it was kept."""

    @property
    def characters(self) -> int:
        return sum(len(each) for each in self.texts)


def drop_hidden(page: Parsed, besides: frozenset[str] = frozenset()) -> Hidden:
    """Take out of the tree what a person does not see; the tree is changed.

    `besides` are elements to be left out too, and not counted as hidden.
    """
    unread = NEVER_TEXT | besides
    hidden = Hidden()
    rules = sheet(page.styles)
    total = sum(len(each) for each in page.root.texts())
    default = None if page.linked_styles else (255, 255, 255)
    pending: list[tuple[Node, Colour]] = [(page.root, default)]
    while pending:
        node, background = pending.pop()
        kept: list[Node | str] = []
        for child in node.children:
            if isinstance(child, str):
                kept.append(child)
                continue
            if child.tag in unread:
                continue
            style = style_of(child, rules)
            below = colour(style.get("background-color", "")) or background
            if child.tag not in _ALWAYS_SEEN and _is_out(child, style, below, total, hidden):
                _count(child, hidden)
                continue
            kept.append(child)
            pending.append((child, below))
        node.children = kept
    return hidden


def _is_out(node: Node, style: Style, below: "Colour", total: int, hidden: Hidden) -> bool:
    if is_hidden(node) or style.get("display", "") == "none":
        return True
    if not (is_unseen(style) or _has_colour_of(style, below)):
        return False
    # A page that hides most of itself until its script runs is read all the same.
    if hidden.looked_into < _MOST_LOOKED_INTO and _is_faded(style):
        hidden.looked_into += 1
        if 2 * sum(len(each) for each in node.texts()) > total > 0:
            hidden.is_shown_late = True
            return False
    return True


def _count(node: Node, hidden: Hidden) -> None:
    text = node.text()
    if text:
        hidden.elements += 1
        hidden.texts.append(text)


def is_hidden(node: Node) -> bool:
    """By its attributes and by classes whose meaning is known everywhere."""
    if "hidden" in node.attributes:
        return True
    if node.tag == "dialog" and "open" not in node.attributes:
        return True
    if node.tag == "input" and node.get("type").lower() == "hidden":
        return True
    classes = node.classes
    if not classes and "aria-hidden" not in node.attributes:
        return False
    if node.get("aria-hidden").strip().lower() == "true" and (
        # Seen by people and not read aloud: ornaments, and a formula's second rendering. A dialogue
        # is marked so while it is closed.
        node.get("role") in ("dialog", "alertdialog") or "katex-html" in classes
    ):
        return True
    if any(each in _FOR_SCREEN_READERS for each in classes):
        return True
    if "hidden" in classes or "d-none" in classes:
        return not any(
            (each.startswith("d-") and each != "d-none") or _LATER.search(each) for each in classes
        )
    return False


def is_unseen(style: Style) -> bool:
    """By a style that lets an element be there and nobody see it."""
    if not style:
        return False
    return (
        _is_faded(style)
        or any(_is_off_screen(style))
        or any(_is_without_size(style))
        or _is_clipped(style)
    )


def _is_faded(style: Style) -> bool:
    opacity = _length_px(style.get("opacity", ""))
    return style.get("visibility", "") in ("hidden", "collapse") or (
        opacity is not None and opacity < 0.05
    )


def _is_off_screen(style: Style) -> Iterator[bool]:
    indent = _length_px(style.get("text-indent", ""))
    yield indent is not None and indent <= -_FAR_PX
    placed = style.get("position", "") in ("absolute", "fixed")
    for side in ("left", "top", "right", "bottom"):
        far = _length_px(style.get(side, "")) if placed else None
        yield far is not None and far <= -_FAR_PX
    for side in ("margin-left", "margin-top"):
        far = _length_px(style.get(side, ""))
        yield far is not None and far <= -2 * _FAR_PX
    moved = _SHIFT.search(style.get("transform", "")[:200])
    yield moved is not None and int(moved[1]) <= (-_FAR_PX if moved[2] == "px" else -1000)


def _is_without_size(style: Style) -> Iterator[bool]:
    for name, least in (("font-size", 1.5), ("line-height", 0.01)):
        size = _length_px(style.get(name, ""))
        yield size is not None and size < least and (name == "font-size" or _cuts(style))
    for name in ("width", "height", "max-width", "max-height"):
        size = _length_px(style.get(name, ""))
        yield size is not None and size <= 1 and _cuts(style)
    yield (
        re.search(r"\bscale(?:x|y|3d)?\(\s*0(?:\.0*)?\s*[,)]", style.get("transform", ""))
        is not None
    )


def _cuts(style: Style) -> bool:
    return any(
        style.get(name, "").startswith(("hidden", "clip"))
        for name in ("overflow", "overflow-x", "overflow-y")
    )


def _is_clipped(style: Style) -> bool:
    clip = "".join(style.get("clip", "").split()).replace(",", "").replace("px", "")
    if clip.startswith("rect(") and set(clip[5:-1]) <= {"0", "1"} and len(clip) <= 10:
        return True
    path = "".join(style.get("clip-path", "").split())
    return path.startswith(("inset(50%", "inset(100%", "circle(0", "polygon(00,00"))


Colour = tuple[int, int, int] | None


def colour(value: str) -> Colour:
    """A colour that is written plainly; None for all others and for see-through ones."""
    if not value or len(value) > _MAX_COLOUR:
        return None
    if value in _NAMED:
        return _NAMED[value]
    if found := _HEX.fullmatch(value):
        digits = found[1] if len(found[1]) > 4 else "".join(each * 2 for each in found[1])
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))
    if (found := _RGB.fullmatch(value)) and (found[4] or "1").strip("0.%"):
        return (int(found[1]), int(found[2]), int(found[3]))
    return None


def _has_colour_of(style: Style, below: Colour) -> bool:
    """Whether its text has the colour of what is behind it."""
    value = style.get("color", "")[:_MAX_COLOUR]
    if value == "transparent" or ((found := _RGB.fullmatch(value)) and found[4] in ("0", "0.0")):
        # Letters that are filled with a picture are seen.
        return "background-clip" not in style and "-webkit-background-clip" not in style
    text = colour(value)
    if text is None or below is None or "background-image" in style:
        return False
    return max(abs(one - other) for one, other in zip(text, below, strict=True)) <= 8


def style_of(node: Node, rules: "Mapping[str, Style]") -> Style:
    """What the page's own sheets and the element itself say, the latter last."""
    found: dict[str, str] = {}
    if rules:
        keys = [node.tag, *(f".{each}" for each in node.get("class").lower().split()[:30])]
        if name := node.get("id").lower():
            keys.append(f"#{name}")
        for key in keys:
            found.update(rules.get(key, ()))
            if key is not node.tag:
                found.update(rules.get(f"{node.tag}{key}", ()))
    if own := node.get("style"):
        found.update(declarations(own))
    return found


def declarations(text: str) -> dict[str, str]:
    """The declarations of one rule, names and values in lower case."""
    found: dict[str, str] = {}
    for declaration in text[:_MAX_STYLE].lower().split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            name = name.strip()
            value = value.replace("!important", "").strip()
            if name == "background":
                if "url(" in value or "gradient" in value:
                    found["background-image"] = value
                else:
                    name = "background-color"
            found[name] = value
    return found


def sheet(css: str) -> dict[str, Style]:
    """The rules that name one class, id or element, by its selector.

    Rules inside @media and the like hold in some places only, and are passed over.
    """
    rules: dict[str, dict[str, str]] = {}
    depth = 0
    selectors = ""
    # A pattern of a rule as a whole would take time with the square of a text without braces.
    parts = iter(_BRACE.split(_COMMENT.sub(" ", css)))
    for text, brace in zip(parts, parts, strict=False):
        if brace == "{":
            depth += 1
            if depth == 1:
                selectors = text.rpartition(";")[2]
            continue
        if depth == 1 and not selectors.lstrip().startswith("@") and _may_hide(text):
            told = declarations(text)
            for selector in selectors.lower().split(",")[:100]:
                if _SIMPLE.fullmatch(key := selector.strip()):
                    rules.setdefault(key, {}).update(told)
        depth = max(0, depth - 1)
    return dict(rules)


_HIDERS = re.compile(
    r"display|visibility|opacity|font-size|indent|left|top|right|clip|transform|color|background"
    r"|height|width|position|overflow",
    re.IGNORECASE,
)


def _may_hide(text: str) -> bool:
    return _HIDERS.search(text) is not None


def _length_px(value: str) -> float | None:
    """A length in pixels, roughly; None where it is none. A percentage counts as one of 1,000."""
    found = _NUMBER.fullmatch(value)
    if found is None:
        return None
    try:
        number = float(found[1])
    except ValueError:
        return None
    return number * 10 if found[2] == "%" else number * _PER_PX[found[2] or ""]
