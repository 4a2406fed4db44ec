"""The process that reads what strangers wrote: `python -m web_browsing.fetching.reader_process`.

It takes orders on standard input and answers on standard output, each a length of four bytes (big
end first) and that many bytes: an order as JSON and a body in, a reading or an error as JSON out.
A page that takes too long or too much is its end alone; it can write no file.
"""

import ctypes
import gc
import json
import logging
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from flotilla import FlotillaError
from web_browsing.fetching.bodies import read_body
from web_browsing.fetching.orders import Order

MEMORY_BYTES = 1024**3
"""Of address space, of which a page of 16 MB takes a third."""
MAX_FILES = 64
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_ORDER = TypeAdapter(Order)


def main(orders: BinaryIO, answers: BinaryIO) -> int:
    """Answer until the orders end."""
    # Looking for garbage again and again takes two fifths of the time of a large page, of which
    # nothing is garbage before it was read.
    gc.disable()
    while (told := _frame(orders)) is not None:
        body = _frame(orders)
        if body is None:
            break
        answer = _as_json(_answer(told, body))
        answers.write(len(answer).to_bytes(4))
        answers.write(answer)
        answers.flush()
        del body, told, answer
        gc.collect()
    return 0


def confine() -> None:
    """Give up what reading does not need; where a system lacks a limit it has the others."""
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_FILES),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Whoever waits for the answers takes us along, in the middle of a page too.
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _answer(told: bytes, body: bytes) -> dict[str, Any]:
    try:
        return {"reading": asdict(read_body(_ORDER.validate_json(told), body))}
    except FlotillaError as error:
        return {"error": {"message": error.message, "reason": error.details.get("reason")}}
    except MemoryError:
        return {"error": {"message": "reading it takes too much memory", "reason": "too_much"}}
    except Exception as error:  # noqa: BLE001 - a page is no reason to end
        where = traceback.extract_tb(error.__traceback__)[-1]
        return {"failed": f"{type(error).__name__} at {where.filename}:{where.lineno}"}


def _as_json(answer: dict[str, Any]) -> bytes:
    """Lone surrogates, which some files hold, are no text and become question marks."""
    return json.dumps(answer, ensure_ascii=False).encode(errors="replace")


def _frame(stream: BinaryIO) -> bytes | None:
    size = stream.read(4)
    return stream.read(int.from_bytes(size)) if len(size) == 4 else None


if __name__ == "__main__":
    logging.disable()
    # The pipe is kept for answers: whatever a library prints must not be one.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    confine()
    sys.exit(main(sys.stdin.buffer, answers))
