"""What it costs to look for secrets in a text, against `json.loads` of a text as long.

usage: python3 benchmarks/redaction.py

For texts without a secret, and for one that speaks of secrets in every line: the time for 1 KB and
the ratio, with none, 3 and 200 known values. Then what a result of 1 KB costs the hub while values
of stored secrets are released. Quote the ratios: machines are noisy.
"""

import json
import secrets
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

from flotilla.known_values import Known  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from master.handles.hidden_text import hidden_texts  # noqa: E402

KB = 1024
MEMBERS = '{"name":"web1","cpu":3,"state":"running","host":"10.0.0.1"},'
TEXTS = {
    "prose": "The quick brown fox jumps over the lazy dog at 10:30 and goes to bed.\n",
    "JSON": MEMBERS,
    "speaks of secrets": "The api key and the password are kept: token=abc, secret: none.\n",
}


def cost_us(work: Callable[[], Any]) -> float:
    """Microseconds, the best of nine."""
    return min(timeit.repeat(work, number=500, repeat=9)) / 500 * 1e6


def main() -> None:
    parsed = ("[" + MEMBERS * (KB // len(MEMBERS)))[:-1] + "]"
    against_us = cost_us(lambda: json.loads(parsed)) * KB / len(parsed)
    print(f"json.loads of 1 KB: {against_us:.1f} µs")
    for known in (0, 3, 200):
        redactor = Redactor(secrets.token_urlsafe(24) for _ in range(known))
        for name, line in TEXTS.items():
            text = (line * KB)[:KB]
            took_us = cost_us(lambda text=text, redactor=redactor: redactor.text(text))
            print(f"{known:3} known, {name:18} {took_us:7.1f} µs/KB  {took_us / against_us:6.2f} x")
    result = {
        "content": json.dumps([{"type": "text", "text": parsed[: KB // 2]}]),
        "structuredContent": parsed[: KB // 2],
        "isError": "false",
    }
    for released in (1, 20, 200):
        values = Known(secrets.token_urlsafe(24) for _ in range(released))
        took_us = cost_us(lambda values=values: hidden_texts(result, values))
        print(
            f"{released:3} released, a result   {took_us:7.1f} µs     {took_us / against_us:6.2f} x"
        )


if __name__ == "__main__":
    main()
