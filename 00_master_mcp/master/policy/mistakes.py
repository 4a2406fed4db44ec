"""What is wrong with a rule, and where it stands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from flotilla.settings import Misconfigured

MAX_TOLD = 20


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """`line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class Mistaken(Misconfigured):
    """The rules cannot be followed; the message has a line for each of the first mistakes."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        told = [str(mistake) for mistake in self.mistakes[:MAX_TOLD]]
        if len(self.mistakes) > MAX_TOLD:
            told.append(f"and {len(self.mistakes) - MAX_TOLD} more")
        super().__init__("\n".join(told))
