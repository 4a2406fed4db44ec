"""Items and relations as CSV and JSON text, both ways and without loss. Pure.

CSV has the columns ciClass, name, attributes.<name>... and attributes (a JSON object of the rest);
relations have sourceClass, sourceName, type, targetClass, targetName. A cell is JSON where it reads
as JSON (5, true, ["a"], "5" for the text 5) and plain text otherwise; an empty cell is no value. A
text that a spreadsheet would run as a formula gets an apostrophe before it, which reading removes.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cmdb.items import ItemRef
from cmdb.relation_types import RelationTypeName
from cmdb.values import Attributes, ClassName, Name, check_attributes, check_value
from flotilla import FlotillaError, InvalidArgument, Model, TooLarge

Format = Literal["json", "csv"]
What = Literal["items", "relations"]
IsText = Callable[[str, str], bool]
"""`(class, attribute)`: whether the class takes only text there, so that 1.10 stays text."""

MAX_ROWS = 20_000
ATTRIBUTE_PREFIX = "attributes."
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_LINK_COLUMNS = ("sourceClass", "sourceName", "type", "targetClass", "targetName")
_IGNORED = frozenset({"id", "version", "createdAt", "updatedAt", "retiredAt"})
"""Columns of an export that the CMDB sets itself."""


class RowError(Model):
    """What is wrong with one row; rows count from 1, a CSV header not among them."""

    row: int
    field: str
    message: str


class _Row(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=Model.model_config.get("alias_generator")
    )


class ItemRow(_Row):
    """An item of an import."""

    ci_class: ClassName
    name: Name
    attributes: Attributes = Field(default_factory=dict)


class End(_Row):
    """An end of a relation, by what is unique among live items."""

    ci_class: ClassName
    name: Name


class LinkRow(_Row):
    """A relation of an import."""

    source: End
    type: RelationTypeName
    target: End


_R = TypeVar("_R", ItemRow, LinkRow)


class Parsed:
    """The rows of a document with their numbers, and what could not be read."""

    def __init__(self) -> None:
        self.items: list[tuple[int, ItemRow]] = []
        self.links: list[tuple[int, LinkRow]] = []
        self.errors: list[RowError] = []

    def add_item(self, row: int, told: object) -> None:
        read = self._read(ItemRow, row, told)
        if read is not None:
            try:
                check_attributes(read.attributes)
            except FlotillaError as error:
                self.errors.append(RowError(row=row, field="attributes", message=error.message))
            else:
                self.items.append((row, read))

    def add_link(self, row: int, told: object) -> None:
        read = self._read(LinkRow, row, told)
        if read is not None:
            self.links.append((row, read))

    def _read(self, kind: type[_R], row: int, told: object) -> _R | None:
        if isinstance(told, dict):
            members = cast("dict[str, Any]", told)
            told = {key: value for key, value in members.items() if key not in _IGNORED}
        try:
            read = kind.model_validate(told)
            check_value(cast("JsonValue", told), "row", -2)
        except ValidationError as error:
            for mistake in error.errors(include_url=False, include_input=False):
                field = ".".join(str(part) for part in mistake["loc"])
                self.errors.append(RowError(row=row, field=field or "row", message=mistake["msg"]))
            return None
        except FlotillaError as error:
            self.errors.append(RowError(row=row, field="row", message=error.message))
            return None
        return read


def parse(content: str, given: Format, what: What, is_text: IsText) -> Parsed:
    """The rows of a document; InvalidArgument where it is no such document at all."""
    content = content.removeprefix("\ufeff")
    parsed = Parsed()
    if given == "csv":
        _parse_csv(content, what, is_text, parsed)
    else:
        _parse_json(content, what, parsed)
    return parsed


def _parse_json(content: str, what: What, parsed: Parsed) -> None:
    try:
        document = orjson.loads(content)
    except ValueError as error:
        raise InvalidArgument(f"content is not JSON: {error}") from None
    parts = cast("dict[str, Any]", document if isinstance(document, dict) else {what: document})
    if parts.keys() - {"items", "relations"} or not all(
        isinstance(part, list) for part in parts.values()
    ):
        raise InvalidArgument(
            "content must be a list, or an object with the lists items and relations",
            hint='Say {"items": [{"ciClass": ..., "name": ..., "attributes": {...}}]}.',
        )
    _check_count(sum(len(part) for part in parts.values()))
    for row, told in enumerate(parts.get("items", ()), 1):
        parsed.add_item(row, told)
    for row, told in enumerate(parts.get("relations", ()), 1):
        parsed.add_link(row, told)


def _check_count(rows: int) -> None:
    if rows > MAX_ROWS:
        raise TooLarge(f"content has more than {MAX_ROWS} rows", hint="Import it in parts.")


def _parse_csv(content: str, what: What, is_text: IsText, parsed: Parsed) -> None:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = next(reader, list[str]())
        _check_header(header, what)
        count = 0
        for cells in reader:
            if not cells:
                continue
            count += 1
            _check_count(count)
            if len(cells) > len(header):
                message = f"has {len(cells)} cells; the header has {len(header)}"
                parsed.errors.append(RowError(row=count, field="row", message=message))
                continue
            named = dict(zip(header, cells, strict=False))
            if what == "relations":
                parsed.add_link(count, _link_told(named))
            else:
                _add_csv_item(count, named, is_text, parsed)
    except csv.Error as error:
        raise InvalidArgument(f"content is not CSV: line {reader.line_num}: {error}") from None


def _check_header(header: Sequence[str], what: What) -> None:
    known = {"ciClass", "name", "attributes"} if what == "items" else set(_LINK_COLUMNS)
    needed = {"ciClass", "name"} if what == "items" else known
    prefix = ATTRIBUTE_PREFIX if what == "items" else "\0"
    odd = [n for n in header if n not in known | _IGNORED and not n.startswith(prefix)]
    if needed - set(header) or odd or len(set(header)) < len(header):
        raise InvalidArgument(
            "the CSV header does not name the columns of such a document"
            + (f": {odd[0][:60]!r}" if odd else ""),
            hint=f"Needed: {', '.join(sorted(needed))}"
            + ("; then attributes.<name> for each attribute." if what == "items" else "."),
        )


def _link_told(named: Mapping[str, str]) -> dict[str, Any]:
    ends = {
        end: {
            "ciClass": named.get(f"{end}Class", ""),
            "name": _text(named.get(f"{end}Name", "")),
        }
        for end in ("source", "target")
    }
    return {**ends, "type": named.get("type", "")}


def _add_csv_item(row: int, named: Mapping[str, str], is_text: IsText, parsed: Parsed) -> None:
    ci_class = named.get("ciClass", "")
    attributes: dict[str, Any] = {}
    rest = named.get("attributes", "")
    if rest:
        value = _value(rest)
        if not isinstance(value, dict):
            parsed.errors.append(
                RowError(row=row, field="attributes", message="must be a JSON object")
            )
            return
        attributes.update(value)
    for column, cell in named.items():
        if cell and column.startswith(ATTRIBUTE_PREFIX):
            name = column.removeprefix(ATTRIBUTE_PREFIX)
            attributes[name] = _value(cell, only_text=is_text(ci_class, name))
    told = {"ciClass": ci_class, "name": _text(named.get("name", "")), "attributes": attributes}
    parsed.add_item(row, told)


def _escaped(cell: str) -> bool:
    return cell[:1] == "'" and cell[1:2] in _FORMULA


def _text(cell: str) -> str:
    """The text that a cell holds, whether it was written plain, escaped or as JSON."""
    if _escaped(cell):
        return cell[1:]
    if cell.startswith('"'):
        value = _json(cell)
        return value if isinstance(value, str) else cell
    return cell


def _value(cell: str, *, only_text: bool = False) -> JsonValue:
    if _escaped(cell) or (only_text and cell != "null"):
        return _text(cell)
    value = _json(cell)
    # A long number, say of a serial, would lose digits: it is text.
    is_long = isinstance(value, float) and cell.strip().lstrip("-").isdigit()
    return cell if value is _NOT_JSON or is_long else cast("JsonValue", value)


_NOT_JSON = object()


def _json(cell: str) -> object:
    try:
        return orjson.loads(cell)
    except ValueError:
        return _NOT_JSON


def _cell(value: JsonValue) -> str:
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    if not value or value.startswith('"') or _json(value) is not _NOT_JSON:
        return orjson.dumps(value).decode()
    return f"'{value}" if value.startswith(_FORMULA) else value


def item_cells(
    ci_class: str, name: str, attributes: Attributes, columns: Sequence[str]
) -> list[str]:
    """The cells of one item under `item_header(columns)`."""
    rest = {key: value for key, value in attributes.items() if key not in columns}
    named = [_cell(attributes[key]) if key in attributes else "" for key in columns]
    return [ci_class, _name_cell(name), *named, orjson.dumps(rest).decode() if rest else ""]


def _name_cell(name: str) -> str:
    # A name is always text: only what would be read as something else needs a mark.
    if name.startswith('"'):
        return orjson.dumps(name).decode()
    return f"'{name}" if name.startswith(_FORMULA) else name


def item_header(columns: Sequence[str]) -> list[str]:
    return ["ciClass", "name", *(f"{ATTRIBUTE_PREFIX}{key}" for key in columns), "attributes"]


def link_cells(source: ItemRef, kind: str, target: ItemRef) -> list[str]:
    """The cells of one relation under `link_header()`."""
    return [
        source.ci_class,
        _name_cell(source.name),
        kind,
        target.ci_class,
        _name_cell(target.name),
    ]


def link_header() -> list[str]:
    return list(_LINK_COLUMNS)


def csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue()


def fitting_texts(texts: Sequence[str], max_bytes: int) -> int:
    """How many texts, from the first on, have together at most `max_bytes`; one at least."""
    size = 0
    for count, text in enumerate(texts):
        size += len(text.encode()) + 1
        if size > max_bytes and count:
            return count
    return len(texts)
