"""What is wrong with single rows of a discovery: fatal, or told beside the plan of the others."""

from collections.abc import Generator
from contextlib import contextmanager

from flotilla import Conflict, InvalidArgument, NotFound, TooLarge

MAX_TOLD = 100
_MAX_CHARS = 300


class Faults:
    """Mistakes of a caller who can mend them are fatal; those of a source are told."""

    def __init__(self, *, fatal: bool) -> None:
        self.fatal = fatal
        self.count = 0
        self.told: list[str] = []

    @contextmanager
    def of(self, what: str) -> Generator[None]:
        try:
            yield
        except (InvalidArgument, Conflict, NotFound, TooLarge) as error:
            if self.fatal:
                raise
            self.count += 1
            if len(self.told) < MAX_TOLD:
                self.told.append(f"{what}: {error.message}"[:_MAX_CHARS])
