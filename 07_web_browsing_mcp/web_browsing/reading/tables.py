"""Tables as grids: what spans cells stands in the first of them. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from web_browsing.reading.tree import Node

MAX_COLUMNS = 60
MAX_SPAN = 60


@dataclass(frozen=True, slots=True)
class Cell:
    text: str = ""
    is_head: bool = False


def rows_of(table: Node) -> Iterator[Node]:
    """The table's own rows, none of a table inside it."""
    for each in table.elements():
        if each.tag == "tr":
            yield each
        elif each.tag in ("thead", "tbody", "tfoot", "div"):
            yield from (inner for inner in each.elements() if inner.tag == "tr")


def is_layout(table: Node) -> bool:
    """Whether a table only places parts of a page beside each other."""
    if table.get("role") in ("presentation", "none"):
        return True
    rows = [[each for each in row.elements() if each.tag in ("td", "th")] for row in rows_of(table)]
    if max((len(row) for row in rows), default=0) < 2:
        return True
    for row in rows:
        for cell in row:
            paragraphs = 0
            for each in cell.walk():
                paragraphs += each.tag in ("p", "blockquote", "article", "section")
                # Prose in paragraphs is no figure in a table.
                if each.tag in ("table", "h1", "h2", "h3", "form") or paragraphs > 3:
                    return True
    return False


def as_grid(table: Node, cell_of: Callable[[Node], Cell]) -> list[list[Cell]]:
    """Rows of equal length; a cell that spans several fills them with empty ones."""
    grid: list[list[Cell]] = []
    reserved: dict[int, int] = {}
    for row in rows_of(table):
        line: list[Cell] = []
        for node in row.elements():
            if node.tag not in ("td", "th"):
                continue
            _skip(line, reserved)
            wide = span(node.get("colspan"))
            for at in range(len(line), len(line) + wide):
                if (high := span(node.get("rowspan"))) > 1:
                    reserved[at] = high
            line += [cell_of(node), *[Cell()] * (wide - 1)]
            if len(line) > MAX_COLUMNS:
                break
        _skip(line, reserved)
        reserved = {at: left - 1 for at, left in reserved.items() if left > 1}
        if line:
            grid.append(line[:MAX_COLUMNS])
    width = max((len(line) for line in grid), default=0)
    return [line + [Cell()] * (width - len(line)) for line in grid]


def _skip(line: list[Cell], reserved: dict[int, int]) -> None:
    # `reserved` counts the row that began the span too; it is lowered once that row is done.
    while reserved.get(len(line), 0) > 0 and len(line) < MAX_COLUMNS:
        line.append(Cell())


def span(raw: str) -> int:
    raw = raw.strip()
    return (
        max(1, min(int(raw), MAX_SPAN)) if raw.isascii() and raw.isdigit() and len(raw) < 6 else 1
    )


def markdown_table(grid: Sequence[Sequence[Cell]]) -> str:
    """As GitHub's Markdown has it: the first row is the head, or an empty one is."""
    full = [row for row in grid if any(each.text for each in row)]
    if not full:
        return ""
    width = len(full[0])
    first = full[0]
    has_head = any(each.is_head for each in first) or len(full) > 1
    head = first if has_head else [Cell()] * width
    body = full[1:] if has_head else full
    lines = [head, [Cell("---")] * width, *body]
    return "\n".join(f"| {' | '.join(each.text for each in row)} |" for row in lines)


def plain_table(grid: Sequence[Sequence[Cell]]) -> str:
    rows = (row for row in grid if any(each.text for each in row))
    return "\n".join("\t".join(each.text for each in row).rstrip() for row in rows)
