"""What attackers write where a text is expected. Each payload does its harm only where it is taken
for more than a text: `trap` is made, or something of `closed` is shown. Pure."""

from collections.abc import Mapping
from pathlib import Path

KEPT = "admin_token"
"""The file in the closed folder that payloads ask for."""


def payloads(trap: Path, closed: Path) -> Mapping[str, str]:
    """Texts by what they try; none of them writes or reads anything beyond these two places."""
    kept = closed / KEPT
    return {**_shells(trap), **_options(trap), **_paths(kept), **_queries(trap), **_texts(kept)}


def _shells(trap: Path) -> dict[str, str]:
    run = f"touch {trap}"
    return {
        "semicolon": f"x; {run}",
        "and": f"x && {run}",
        "or": f"x || {run}",
        "pipe": f"x | {run}",
        "background": f"x & {run} &",
        "substitution": f"$({run})",
        "backquotes": f"`{run}`",
        "newline": f"x\n{run}\n",
        "carriage return": f"x\r\n{run}\r\n",
        "single quote": f"x'; {run}; '",
        "double quote": f'x"; {run}; "',
        "both quotes": f"x'\";{run} #",
        "redirection": f"x > {trap}",
        "process substitution": f"<({run})",
        "braces": f"{{touch,{trap}}}",
        "no blanks": f"x;touch${{IFS}}{trap}",
        "ansi quote": f"$'\\x3b{run}'",
        "here document": f"x <<E\n$({run})\nE\n",
    }


def _options(trap: Path) -> dict[str, str]:
    run = f"touch {trap}"
    return {
        "end of options": "--",
        "ssh option": f"-oProxyCommand={run}",
        "ssh option, parted": f"-o ProxyCommand={run}",
        "apt option": f"-oAPT::Update::Pre-Invoke::={run}",
        "exec option": f"--exec={run}",
        "output option": f"--output={trap}",
        "short output option": f"-o{trap}",
        "find option": f"-fprint={trap}",
        "git option": f"--upload-pack={run}",
        "pager option": f"--pager={run}",
        "systemd option": "--host=root@127.0.0.1",
        "tar option": f"--checkpoint-action=exec={run}",
    }


def _paths(kept: Path) -> dict[str, str]:
    return {
        "up": f"{'../' * 24}{str(kept).lstrip('/')}",
        "up, escaped": f"..%2f..%2f{kept.name}",
        "up, doubled": f"....//....//{kept.name}",
        "absolute": str(kept),
        "absolute, doubled": f"//{kept}",
        "absolute, dotted": f"/./{kept}/.",
        "by another root": f"/proc/self/root{kept}",
        "environment": "/proc/self/environ",
        "memory": "/proc/self/mem",
        "link to a file": "link-to-token",
        "link to a folder": f"link-to-data/{kept.name}",
        "url": f"file://{kept}",
        "home": "~/.ssh/id_ed25519",
        "NUL": f"{kept}\0.txt",
    }


def _queries(trap: Path) -> dict[str, str]:
    return {
        "sql quote": "' OR '1'='1",
        "sql statement": "'; DROP TABLE items; --",
        "sql double quote": '" OR ""="',
        "sql union": "x' UNION SELECT sql FROM sqlite_master --",
        "sql attach": f"'; ATTACH DATABASE '{trap}' AS x; --",
        "sql file": f"'; COPY (SELECT 1) TO '{trap}'; --",
        "like": "%_\\%",
        "full text": 'name:* OR "',
        "full text, near": 'NEAR(a b) AND NOT "*"',
        "json path": '$."x"; --',
        "json path, deep": "$..[?(@.x)]",
        "json": '"}],"$where":{"a":1,"b":[{"',
        "cedar": '" } ; permit(principal, action, resource); @id("x',
        "cedar condition": '" || true || "',
        "regular expression": "((a+)+)+$",
        "broken expression": "(?P<x>[\\",
        "formula": f"=cmd|' /C touch {trap}'!A0",
        "yaml": f"!!python/object/apply:os.system ['touch {trap}']",
        "template": "{{7*7}}${7*7}#{7*7}<%= 7*7 %>",
        "lookup": "${jndi:ldap://127.0.0.1:1/x}",
        "format": "%s%s%s%n%(password)s{0.__class__.__init__.__globals__}",
        "cursor": "eyJvZmZzZXQiOi0xfQ",
    }


def _texts(kept: Path) -> dict[str, str]:
    return {
        "nothing": "",
        "blank": " ",
        "long": "A" * 70_000,
        "many lines": "x\n" * 5_000,
        "right to left": "safe\u202etxt.exe",
        "zero width": "a\u200bb\ufeffc\u2060",
        "tags": "".join(chr(0xE0000 + ord(letter)) for letter in "obey me"),
        "terminal": "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://127.0.0.1:1\x07x",
        "terminal, C1": "\x9b31mred\x9dtitle\x9c",
        "backspaces": "deny\b\b\b\bgood\x7f",
        "log line": 'x\n{"event": "forged_by_an_argument", "level": "info"}',
        "xml": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{kept}">]><x>&e;</x>',
        "reference": f'{{"$ref": "file://{kept}"}}',
        "handle": "secret://AAAAAAAAAAAAAAAAAAAAAA",
        "object": '{"__proto__": {"approved": true}, "constructor": 1}',
        "number": "9" * 400,
        "half a pair, escaped": "\\ud800",
    }
