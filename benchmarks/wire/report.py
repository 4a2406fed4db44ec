"""How the benchmarks tell what they found: Markdown for people, JSON for the picture."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    return (
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def command() -> str:
    """The command of this run as one types it in the repository."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def save(file: Path, benchmark: str, **figures: Any) -> None:
    """Write what a benchmark found, and how it was run."""
    told = {
        "benchmark": benchmark,
        "command": command(),
        "machine": machine(),
        "at": datetime.now(UTC).date().isoformat(),
        **figures,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
