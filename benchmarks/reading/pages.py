"""A set of pages with the main text that people took from them."""

import json
from dataclasses import dataclass
from pathlib import Path

from page_site import html_of


@dataclass(frozen=True)
class Page:
    name: str
    text: str
    """Its main text, as a person marked it."""
    html: bytes


def load(folder: Path, most: int | None = None) -> list[Page]:
    """The pages of a folder with `ground-truth.json` and `html/<name>.html.gz`, by name."""
    truth = json.loads((folder / "ground-truth.json").read_text())
    pages: list[Page] = []
    for name in sorted(truth)[:most]:
        html = html_of(folder / "html" / f"{name}.html.gz")
        pages.append(Page(name, truth[name].get("articleBody", ""), html))
    return pages
