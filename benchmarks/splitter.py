"""How fast a large message is read in pieces, against `json.loads` of the same text.

usage: python3 benchmarks/splitter.py [--mib 8] [--rounds 3]

For each kind of content: the time of both, the ratio, and the longest that one feed of 64 KiB took,
which is how long the event loop stands still at most when nobody cuts the chunks smaller (`split`
feeds 16 KiB at a time and gives way between). Then the same for the scrubber, with 20 secrets.
Quote the ratios: machines are noisy.
"""

import argparse
import base64
import gc
import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

from master.streaming.scrub import Scrubber  # noqa: E402
from master.streaming.splitter import Splitter  # noqa: E402

CHUNK_BYTES = 64 * 1024


def mixed(chance: random.Random, depth: int) -> Any:
    if depth == 0:
        return chance.choice([1, "text", None, 3.5e-7, True, "é\n"])
    if chance.random() < 0.6:
        return {f"{chance.choice('abc')}{i}": mixed(chance, depth - 1) for i in range(3)}
    return [mixed(chance, depth - 1) for _ in range(3)]


def texts(size: int) -> dict[str, str]:
    chance, values, length = random.Random(1), [], 0
    while length < size:
        values.append(mixed(chance, chance.randint(1, 8)))
        length += len(json.dumps(values[-1]))
    prose = 'He said "no".\n\tAnd then — well, \\ nothing.'
    return {
        "one base64 string": json.dumps(base64.b64encode(random.randbytes(size * 3 // 4)).decode()),
        "prose with escapes": json.dumps(prose * (size // 50)),
        "prose, not ASCII": json.dumps(
            "Größe und Maß — 度量衡 " * (size // 32), ensure_ascii=False
        ),
        "nothing but escapes": '"' + "\\n" * (size // 2) + '"',
        "a list of numbers": json.dumps(list(range(size // 9))),
        "a list of 1": "[1" + ",1" * (size // 2) + "]",
        "mixed objects": json.dumps(values),
        "mixed, indented": json.dumps(values, indent=1)[:-1].rstrip() + "]",
        "nested by 3 (hostile)": "[" + ",".join(["[[[]]]"] * (size // 7)) + "]",
        "nested by 300": "[" + ",".join(["[" * 300 + "]" * 300] * (size // 601)) + "]",
    }


def message(content: str) -> bytes:
    return f'{{"result":{{"content":{content}}},"jsonrpc":"2.0","id":1}}'.encode()


def read_s(raw: bytes, feed: Callable[[bytes], object]) -> tuple[float, float]:
    """Seconds of this process for all, and for the slowest chunk."""
    total = slowest = 0.0
    for at in range(0, len(raw), CHUNK_BYTES):
        began = time.process_time()
        feed(raw[at : at + CHUNK_BYTES])
        took = time.process_time() - began
        total, slowest = total + took, max(slowest, took)
    return total, slowest


def loads_s(raw: bytes) -> float:
    began = time.process_time()
    json.loads(raw)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    known = [secrets.token_urlsafe(32) for _ in range(20)]
    # The collector's runs over the values of `loads` would be counted against whoever comes next.
    gc.disable()
    print(
        f"{'':24}{'json.loads':>12}{'Splitter':>18}{'slowest':>10}{'Scrubber':>18}{'slowest':>10}"
    )
    for name, content in texts(options.mib * 2**20).items():
        raw = message(content)
        loads = min(loads_s(raw) for _ in range(options.rounds))
        cells = f"{name:24}{loads * 1e3:9.0f} ms"
        for make in (Splitter, lambda: Scrubber(known)):
            rounds = [read_s(raw, make().feed) for _ in range(options.rounds)]
            total = min(each for each, _ in rounds)
            slowest = min(each for _, each in rounds)
            cells += f"{total * 1e3:8.0f} ms{total / loads:6.2f}x{slowest * 1e3:7.2f} ms"
        print(cells)
    gc.enable()


if __name__ == "__main__":
    main()
