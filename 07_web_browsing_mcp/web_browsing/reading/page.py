"""A page as it is read: its text, what is said about it, where it leads."""

from collections.abc import Sequence

from flotilla.persuasion import notes_on
from flotilla.sizes import strip_invisible
from web_browsing.reading.about import about
from web_browsing.reading.blocks import Run, blocked, only, runs
from web_browsing.reading.data_uris import cut_data
from web_browsing.reading.hidden import Hidden, drop_hidden
from web_browsing.reading.inline import Inline
from web_browsing.reading.links import links
from web_browsing.reading.main_text import main_runs, trafilatura_text
from web_browsing.reading.markup import sanitised
from web_browsing.reading.scripted import keeps_noscript, needs_script
from web_browsing.reading.shapes import About, Form, Link, Read
from web_browsing.reading.targets import Targets, targets_of
from web_browsing.reading.tree import MAX_NODES, Node, Parsed, limit_depth, parse
from web_browsing.reading.written import written

__all__ = ["About", "Form", "Link", "Read", "read_html"]


_NOT_MAIN = frozenset({"button"})


def read_html(html: str, url: str, form: Form = "markdown", *, whole: bool = False) -> Read:
    """Read a page; `url` is where it was found, for its relative links.

    The main text alone, unless `whole`: then everything that a person would see. Never raises for
    a page, however broken; takes time in proportion to its size.
    """
    page = parse(html)
    targets = targets_of(page.root, url)
    told = about(page, targets)
    # Asked before anything is taken out: it is told by elements that are empty or not shown.
    scripted = needs_script(page)
    besides = _NOT_MAIN if not whole else frozenset[str]()
    hidden = drop_hidden(page, besides if keeps_noscript(page) else besides | {"noscript"})
    limit_depth(page.root)
    found_links = links(page.root, targets)
    found = ("", "") if whole else _found(page.root, url)
    tree = blocked(page.root)
    all_runs = list(runs(tree))
    chosen = all_runs if whole else main_runs(all_runs, *found, told.title or "")
    text = strip_invisible(_text(tree, chosen, form, targets))
    return Read(
        about=told,
        text=text,
        links=found_links,
        notes=_notes(page, hidden, text),
        needs_script=scripted,
    )


def _found(root: Node, url: str) -> tuple[str, str]:
    return trafilatura_text(root, url, strict=True), trafilatura_text(root, url, strict=False)


def _text(tree: Node, chosen: Sequence[Run], form: Form, targets: Targets) -> str:
    kept = only(tree, {id(run.node) for run in chosen})
    if kept is None:
        return ""
    if form == "html":
        return cut_data(sanitised(kept, targets))
    return cut_data(written(kept, Inline(targets, is_plain=form == "text"))).strip()


def _notes(page: Parsed, hidden: Hidden, text: str) -> tuple[str, ...]:
    told: list[str] = []
    if hidden.elements:
        count = "1 element was" if hidden.elements == 1 else f"{hidden.elements} elements were"
        told.append(
            f"{count} left out that a person would not see, with {hidden.characters} characters"
        )
        if notes_on("\n".join(hidden.texts)):
            told.append("text that was hidden from people looked like instructions to a model")
    if hidden.is_shown_late:
        told.append("most of the page is hidden until its script runs; it was read all the same")
    if page.is_cut:
        told.append(f"the page has more than {MAX_NODES} elements; what follows was not read")
    return (*told, *notes_on(text))
