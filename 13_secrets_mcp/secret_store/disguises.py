"""Further ways to write a value, which only somebody who wants to get it out would take. Pure."""

import base64
import re
from collections.abc import Iterator

_LEAST = 4
"""Shorter values are everywhere; the store takes them, but cannot hide them."""
_MOST_ESCAPED = 128
"""Characters; each costs a look at every place of the text."""


def disguises_of(secret: str) -> Iterator[str]:
    """Reversed, in base32, with its case changed, byte by byte in hexadecimal, octal and decimal.

    Those that the fleet's redactor knows (as it is, URL-encoded, base64, hexadecimal, over lines)
    come from there, but for values that are too short for it. The longest come first.
    """
    if len(secret) < _LEAST:
        return
    raw = secret.encode()
    forms = {secret, secret[::-1]}
    forms |= {secret.swapcase(), secret.upper(), secret.lower()}
    forms |= {base64.b64encode(raw).decode(), base64.b64encode(raw[::-1]).decode()}
    forms |= {base64.b32encode(raw).decode().rstrip("="), raw[::-1].hex()}
    for separator in (" ", ":", "\\x", "%", ","):
        forms |= {
            separator.join(f"{byte:02x}" for byte in raw),
            separator.join(f"{byte:02X}" for byte in raw),
        }
    forms |= {" ".join(map(str, raw)), ",".join(map(str, raw)), ", ".join(map(str, raw))}
    forms |= {" ".join(f"{byte:03o}" for byte in raw), "\\".join(f"{byte:03o}" for byte in raw)}
    forms |= {separator.join(secret) for separator in (" ", "\n", "-", ".", ",", "_", ":")}
    yield from sorted((form for form in forms if len(form) >= _LEAST), key=len, reverse=True)


def escaped(secret: str) -> re.Pattern[str] | None:
    """Finds the value with any of its characters escaped, as URLs, C, JSON and HTML do it.

    Any white space may stand between them. None for values that are too short or too long.
    """
    if not _LEAST <= len(secret) <= _MOST_ESCAPED:
        return None
    return re.compile(r"\s*".join(map(_written, secret)))


def _written(char: str) -> str:
    ways = [re.escape(char), rf"\\{re.escape(char)}"]
    raw = char.encode()
    ways += ["".join(rf"(?i:{prefix}{byte:02x})" for byte in raw) for prefix in ("%", r"\\x")]
    ways += ["".join(rf"\\{byte:03o}" for byte in raw)]
    ways += [rf"(?i:\\u{ord(char):04x})", rf"(?i:&#x0*{ord(char):x};)", rf"&#0*{ord(char)};"]
    return f"(?:{'|'.join(ways)})"
