"""Plain SVG: a sheet to draw on, and scales that turn values into places. Readable light and dark.

Places are in pixels from the top left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

_STYLE = """
  svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --rule: #d1d9e0;
        --c0: #59636e; --c1: #9a6700; --c2: #0969da; --c3: #8250df; --bad: #cf222e; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --rule: #30363d;
          --c0: #9198a1; --c1: #d29922; --c2: #58a6ff; --c3: #bc8cff; --bad: #ff7b72; }
  }
  .paper { fill: var(--paper); } .rule { stroke: var(--rule); stroke-width: 1; }
  .ink { fill: var(--ink); } .faint { fill: var(--faint); }
  .limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
  .bad { fill: var(--bad); }
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 12px;
         paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
  .head { font-size: 15px; font-weight: 600; } .title { font-size: 19px; font-weight: 600; }
  .small { font-size: 11px; } .code { font-family: ui-monospace, monospace; font-size: 11px; }
  .c0 { fill: var(--c0); stroke: var(--c0); } .c1 { fill: var(--c1); stroke: var(--c1); }
  .c2 { fill: var(--c2); stroke: var(--c2); } .c3 { fill: var(--c3); stroke: var(--c3); }
  .thick { stroke-width: 2; } .path { fill: none; stroke-width: 2; }
"""

Anchor = Literal["start", "middle", "end"]


class Sheet:
    """What is drawn, in the order it is drawn in."""

    def __init__(self, width: float, title: str, description: str) -> None:
        self._width = width
        self._title = title
        self._description = description
        self._marks: list[str] = []

    def text(
        self, x: float, y: float, said: str, css: str = "ink", anchor: Anchor = "start"
    ) -> None:
        self._marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">'
            f"{escape(said)}</text>"
        )

    def upright(self, x: float, y: float, said: str, css: str = "faint") -> None:
        """A text that reads from below, around its middle: the name of a vertical axis."""
        self._marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="middle" '
            f'transform="rotate(-90 {x:.1f} {y:.1f})">{escape(said)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str = "rule") -> None:
        self._marks.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'
        )

    def bar(self, x: float, y: float, width: float, height: float, css: str) -> None:
        self._marks.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" '
            f'rx="2" class="{css}"/>'
        )

    def dot(self, x: float, y: float, css: str, radius: float = 4) -> None:
        self._marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{css}"/>')

    def path(self, points: Sequence[tuple[float, float]], css: str) -> None:
        told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        # A style of its own, since the class of a series also fills.
        self._marks.append(f'<polyline points="{told}" class="{css} path" style="fill: none"/>')

    def svg(self, height: float) -> str:
        """The whole picture."""
        size = f'viewBox="0 0 {self._width:.0f} {height:.0f}" width="{self._width:.0f}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} height="{height:.0f}" role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<desc>{escape(self._description)}</desc>",
                f"<style>{_STYLE}</style>",
                f'<rect class="paper" width="{self._width:.0f}" height="{height:.0f}"/>',
                *self._marks,
                "</svg>\n",
            ]
        )


@dataclass(frozen=True)
class Scale:
    """From values between `low` and `high` to places between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values to name on the axis, some four to eight of them."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [lead * 10.0**decade for decade in decades for lead in (1, 2, 5)]
            if len(decades) > 4:
                found = [10.0**decade for decade in decades]
        else:
            step = _round_up((self.high - self.low) / 6)
            found = [step * number for number in range(math.floor(self.high / step) + 1)]
        return [each for each in found if self.low * 0.999 <= each <= self.high * 1.001]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ..."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(lead * unit for lead in (1, 2, 5, 10) if lead * unit >= value)


def plain(value: float) -> str:
    """A number as an axis says it."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"
