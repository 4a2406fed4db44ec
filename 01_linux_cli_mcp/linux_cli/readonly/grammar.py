"""A program's options as a table, and the strict reading of an argv by it. Pure.

Whatever the table does not name is refused: an option that nobody has looked at, an abbreviation of
a long option, and a letter in a cluster alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from flotilla import NotAllowed


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `takes` is whether a value must follow, may be attached, or neither."""

    name: str
    takes: str


@dataclass(frozen=True, slots=True)
class Given:
    """An argv as the program will read it: its options in order, and what is no option."""

    options: tuple[tuple[str, str | None], ...]
    operands: tuple[str, ...]

    def has(self, *names: str) -> bool:
        return any(name in names for name, _ in self.options)

    @property
    def values(self) -> tuple[str, ...]:
        """The values of options, any of which might name a file."""
        return tuple(value for _, value in self.options if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What a program may be given.

    `spec` lists the options: `-a` and `--all` take no value, `-n=` and `--lines=` need one, `-U?`
    and `--color?` may have one attached. `operands` is the highest count, None for any. `number`
    allows `-5`. `enters` names the options that make it enter folders, `follows` those that make
    it follow links that it meets there. `attached` False is for programs that do not take `-n5`.
    """

    spec: str
    operands: int | None = None
    number: bool = False
    attached: bool = True
    enters: frozenset[str] = frozenset()
    follows: frozenset[str] = frozenset()
    always_enters: bool = False
    operand_pattern: str | None = None
    table: dict[str, Option] = field(init=False)

    def __post_init__(self) -> None:
        words = self.spec.split()
        options = (Option(word.rstrip("=?"), word[len(word.rstrip("=?")) :]) for word in words)
        object.__setattr__(self, "table", {option.name: option for option in options})

    def read(self, program: str, arguments: Sequence[str]) -> Given:
        """The options and operands; NotAllowed for the first that is not in the table."""
        reader = _Reader(self, program, list(arguments))
        given = reader.read()
        if self.operands is not None and len(given.operands) > self.operands:
            raise refused(program, given.operands[self.operands], "is one operand too many")
        for operand in given.operands:
            if self.operand_pattern and not re.fullmatch(self.operand_pattern, operand):
                raise refused(program, operand, "is not an operand that only reads")
        return given


class _Reader:
    def __init__(self, grammar: Grammar, program: str, arguments: list[str]) -> None:
        self._table = grammar.table
        self._number = grammar.number
        self._attached = grammar.attached
        self._program = program
        self._left = arguments
        self._options: list[tuple[str, str | None]] = []

    def read(self) -> Given:
        operands: list[str] = []
        while self._left:
            argument = self._left.pop(0)
            if argument == "--":
                operands += [self._plain("--", operand) for operand in self._left]
                break
            if not argument.startswith("-") or argument == "-":
                operands.append(argument)
            elif argument.startswith("--"):
                self._long(argument)
            elif not (self._number and re.fullmatch(r"-\d{1,9}", argument)):
                self._cluster(argument)
        return Given(tuple(self._options), tuple(operands))

    def _long(self, argument: str) -> None:
        name, equals, value = argument.partition("=")
        option = self._table.get(name)
        if option is None:
            raise refused(self._program, name, "is not among the options that only read")
        if option.takes == "=" and not equals:
            value = self._next(name)
        elif equals and not option.takes:
            raise refused(self._program, name, "takes no value")
        self._options.append((name, value if equals or option.takes == "=" else None))

    def _cluster(self, argument: str) -> None:
        for at, letter in enumerate(argument[1:], start=1):
            name, rest = f"-{letter}", argument[at + 1 :]
            option = self._table.get(name)
            if option is None:
                raise refused(
                    self._program, argument, f"has {name}, which is not known to only read"
                )
            if rest and option.takes and not self._attached:
                raise refused(self._program, argument, f"needs a space after {name}")
            if option.takes == "=":
                self._options.append((name, rest or self._next(name)))
                return
            if option.takes == "?":
                self._options.append((name, rest or None))
                return
            self._options.append((name, None))

    def _next(self, name: str) -> str:
        if not self._left:
            raise refused(self._program, name, "lacks its value")
        return self._plain(name, self._left.pop(0))

    def _plain(self, before: str, word: str) -> str:
        # Were this table wrong on whether `before` takes a value, `word` would be an option to the
        # program. As long as no such word passes unread, a mistake here opens nothing.
        if word.startswith("-") and word != "-":
            raise refused(
                self._program, word, f"looks like an option after {before}; attach it, or use ./"
            )
        return word


def refused(program: str, part: str, why: str) -> NotAllowed:
    """The refusal of an argv, which says what to do instead."""
    return NotAllowed(
        f"{program}: {part[:200]!r} {why}",
        hint="Write options out in full, leave this one out, or ask for approval by runCommand.",
    )
