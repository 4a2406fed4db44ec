"""The three charts of the benchmarks' picture, each on its own part of the sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wire.rounds import Ratio
from wire.svg import Scale, Sheet, plain


@dataclass(frozen=True)
class Frame:
    """A part of the sheet: the area of the data, without its heading and axes."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


def heading(sheet: Sheet, frame: Frame, left: float, said: str, more: str) -> None:
    sheet.text(left, frame.top - 38, said, "ink head")
    sheet.text(left, frame.top - 20, more, "faint")


def legend(sheet: Sheet, x: float, y: float, names: Mapping[str, str]) -> None:
    """Names by the class of their colour, in one line."""
    for css, name in names.items():
        sheet.dot(x, y - 4, css)
        sheet.text(x + 9, y, name)
        x += 26 + 6.6 * len(name)


def horizontal_axis(sheet: Sheet, frame: Frame, scale: Scale, name: str) -> None:
    for tick in scale.ticks():
        sheet.line(scale.at(tick), frame.top, scale.at(tick), frame.bottom)
        sheet.text(scale.at(tick), frame.bottom + 16, plain(tick), "faint", "middle")
    middle = frame.left + frame.width / 2
    sheet.text(middle, frame.bottom + 34, name, "faint", "middle")


@dataclass(frozen=True)
class Limit:
    value: float
    said: str


def ranges(
    sheet: Sheet,
    frame: Frame,
    rows: Sequence[tuple[str, Mapping[str, Ratio]]],
    axis: str,
    limit: Limit,
) -> None:
    """For each row a dot for the median and a line from lowest to highest, by class of colour."""
    every = [ratio for _, row in rows for ratio in row.values()]
    low = min(0.5, *(max(each.low, 0.1) for each in every))
    scale = Scale(low, max(2, *(each.high for each in every)) * 1.1, frame.left, frame.right, True)
    horizontal_axis(sheet, frame, scale, axis)
    place = scale.at(limit.value)
    sheet.line(place, frame.top - 4, place, frame.bottom, "limit")
    sheet.text(place + 4, frame.top + 4, limit.said, "bad small")
    step = frame.height / len(rows)
    for number, (name, row) in enumerate(rows):
        middle = frame.top + step * (number + 0.5)
        sheet.text(frame.left - 10, middle + 4, name, "ink", "end")
        for offset, (css, ratio) in enumerate(row.items()):
            y = middle + (offset - (len(row) - 1) / 2) * 14 + 2
            if ratio.low > 0:
                sheet.line(scale.at(ratio.low), y, scale.at(ratio.high), y, f"{css} thick")
            sheet.dot(scale.at(ratio.median), y, css)
            sheet.text(scale.at(max(ratio.high, ratio.median)) + 8, y + 4, f"{ratio.median:.2f}")


def curves(
    sheet: Sheet,
    frame: Frame,
    at: Sequence[int],
    values: Mapping[str, Sequence[float]],
    names: tuple[str, str],
) -> None:
    """A line for each class of colour over places that stand equally far apart."""
    top = max(max(line) for line in values.values())
    scale = Scale(0, top * 1.08, frame.bottom, frame.top)
    for tick in scale.ticks():
        sheet.line(frame.left, scale.at(tick), frame.right, scale.at(tick))
        sheet.text(frame.left - 8, scale.at(tick) + 4, plain(tick), "faint", "end")
    places = [frame.left + frame.width * (n + 0.5) / len(at) for n in range(len(at))]
    for place, value in zip(places, at, strict=True):
        sheet.text(place, frame.bottom + 16, plain(value), "faint", "middle")
    sheet.text(frame.left + frame.width / 2, frame.bottom + 34, names[0], "faint", "middle")
    sheet.upright(frame.left - 52, frame.top + frame.height / 2, names[1])
    for css, line in values.items():
        points = [(x, scale.at(value)) for x, value in zip(places, line, strict=True)]
        sheet.path(points, css)
        for x, y in points:
            sheet.dot(x, y, css)


def bars(
    sheet: Sheet, frame: Frame, rows: Sequence[tuple[str, str, float, str]], axis: str
) -> None:
    """One bar a row: name, class of colour, value, and what stands behind the bar."""
    low = min(value for _, _, value, _ in rows) / 2
    high = max(value for _, _, value, _ in rows) * 1.2
    scale = Scale(low, high, frame.left, frame.right, True)
    horizontal_axis(sheet, frame, scale, axis)
    step = frame.height / len(rows)
    for number, (name, css, value, said) in enumerate(rows):
        y = frame.top + step * number + 4
        sheet.text(frame.left - 10, y + step / 2, name, "ink", "end")
        sheet.bar(frame.left, y, scale.at(value) - frame.left, step - 8, css)
        sheet.text(scale.at(value) + 8, y + step / 2, said)
