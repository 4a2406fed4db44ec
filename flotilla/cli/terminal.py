"""What commands print: text that steers no terminal, and rows."""

import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table


def plain(text: object) -> str:
    """Text on one line of a terminal: what would steer the terminal stands there as its escape."""
    return "".join(each if each.isprintable() else _escaped(each) for each in str(text))


def show_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    """A table for a person at a terminal, else a line for each row with tabs between its cells.

    Where there are no rows, `none` says so on standard error.
    """
    if not rows:
        typer.echo(none, err=True)
    elif sys.stdout.isatty():
        show_table(heads, rows)
    else:
        for row in rows:
            typer.echo("\t".join(map(plain, row)))


def show_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """What is too long for its column goes on below; names are text, and no markup of rich's."""
    table = Table(box=None)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    Console(markup=False, emoji=False, highlight=False).print(table)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
