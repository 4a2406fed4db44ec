"""Speaks to the person who started the fleet. Nothing that it does can stop the fleet."""

import os
import sys
from typing import TextIO


class Terminal:
    """Plain lines; a terminal that went away is not an error."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def say(self, text: str = "") -> None:
        self._write(self._out, text)

    def warn(self, text: str) -> None:
        self._write(self._err, text)

    def refuse(self, sentence: str) -> None:
        """Why the fleet does not run."""
        self._write(self._err, f"flotilla: {sentence}")

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            print(text, file=stream, flush=True)
        except OSError:
            # The reader hung up. What follows goes nowhere, also Python's own flush at the end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
