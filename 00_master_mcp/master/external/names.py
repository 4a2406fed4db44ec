"""The names of external tools: `ext.<server>.<tool>`, and one that every client accepts. Pure.

A server's tool may have any name. Its canonical name holds it to the letter; policy and audit use
that. Its safe name fits `^[a-zA-Z0-9_-]{1,64}$`: `ext_<server>_<tool>`, whatever is not allowed
replaced by `_`. Where that is too long, or would be the name of two tools, the start of it and the
first digits of the SHA-256 of the canonical name stand instead.

How stable that is. A server's name has no dot and no underscore, so two servers never meet, and
what one server offers never renames a tool of another. Within a server, a name depends on the set
of its tools alone, not on their order; a tool that collides with nothing keeps its plain name
whatever else comes and goes. When a colliding tool appears, *both* get a digest: a safe name that a
person has approved never silently comes to mean the other tool, it is gone.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

from flotilla.names import EXTERNAL, MAX_NAME_LENGTH

_NOT_SAFE = re.compile(r"[^a-zA-Z0-9_-]")
# At 24 digits the server's part is still whole: 64 - 25 >= len("ext_" + 32 characters + "_").
_DIGITS = (0, 8, 16, 24)


def canonical_name(server: str, tool: str) -> str:
    """`("github", "issues/list")` -> `ext.github.issues/list`."""
    return f"{EXTERNAL}.{server}.{tool}"


def split_canonical(name: str) -> tuple[str, str] | None:
    """The server and the tool of a canonical name, None when it is not an external tool's."""
    namespace, _, rest = name.partition(".")
    server, dot, tool = rest.partition(".")
    return (server, tool) if namespace == EXTERNAL and server and dot else None


def safe_names(server: str, tools: Iterable[str]) -> dict[str, str]:
    """The safe name of each of a server's tools, by the tool's own name; all are distinct.

    `server` has passed `check_server_name`.
    """
    level = dict.fromkeys(tools, 0)
    for tool in level:
        if len(_name(server, tool, 0)) > MAX_NAME_LENGTH:
            level[tool] = 1
    while True:
        by_name: dict[str, list[str]] = defaultdict(list)
        for tool, at in level.items():
            by_name[_name(server, tool, _DIGITS[at])].append(tool)
        # Only upwards, and together: the outcome depends on the set, not on who came first. Those
        # at the last level differ in 96 bits of a hash; the first of a clash there would have won.
        clashing = [tool for group in by_name.values() if len(group) > 1 for tool in group]
        raisable = [tool for tool in clashing if level[tool] < len(_DIGITS) - 1]
        if not raisable:
            return {tool: name for name, group in by_name.items() for tool in group}
        for tool in raisable:
            level[tool] += 1


def _name(server: str, tool: str, digits: int) -> str:
    plain = _NOT_SAFE.sub("_", f"{EXTERNAL}_{server}_{tool}")
    if not digits:
        return plain
    # A lone surrogate is a character in JSON's escapes, and in no UTF-8.
    canonical = canonical_name(server, tool).encode(errors="surrogatepass")
    digest = hashlib.sha256(canonical).hexdigest()[:digits]
    return f"{plain[: MAX_NAME_LENGTH - digits - 1]}_{digest}"
