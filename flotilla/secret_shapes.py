"""Finds what has the shape of a secret, whoever's it is. Pure.

Three kinds: what its issuer gave a mark of its own (`ghp_...`), what stands where a secret stands
(`Authorization: Bearer ...`, `user:...@host`), and what is assigned to a name that says so
(`password=...`). Of the last, what is only a placeholder, a type, a path, a call, a variable or a
handle stays, so that code and prose stay readable.
"""

import re
from functools import lru_cache

from pydantic_core import SchemaValidator, core_schema

_MARKS: tuple[tuple[str, str], ...] = (
    # A private key in PEM or PGP armour, whole or cut off; lines may end as in JSON.
    (
        "-----BEGIN ",
        r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    # The same in base64, as a kubeconfig and a Secret have it: PRIVATE, RSA, EC, DSA, OPENSSH,
    # ENCRYPTED. Certificates and public keys begin alike and are none.
    (
        "LS0tLS1CRUdJTiB",
        r"(?:QUklWQVRF|SU0EgUFJJVkFU|FQyBQUklWQVRF|EU0EgUFJJVkFU|PUEVOU1NIIFBSSVZBVE|FTkNSWVBURUQg)"
        r"[A-Za-z0-9+/=_-]*",
    ),
    ("AGE-SECRET-KEY-1", r"[0-9A-Z]{30,}"),
    *((mark, r"[0-9A-Z]{16}\b") for mark in ("AKIA", "ASIA")),
    ("AIza", r"[0-9A-Za-z_-]{35}\b"),
    ("ya29.", r"[0-9A-Za-z_-]{20,}"),
    ("GOCSPX-", r"[0-9A-Za-z_-]{20,}"),
    *((f"gh{kind}_", r"[A-Za-z0-9]{36,}") for kind in "pousr"),
    ("github_pat_", r"[A-Za-z0-9_]{22,}"),
    *(
        (f"gl{kind}-", r"[A-Za-z0-9_-]{16,}")
        for kind in ("pat", "dt", "rt", "ptt", "ft", "imt", "agent", "oas", "soat", "cbt")
    ),
    *((f"xox{kind}-", r"[A-Za-z0-9-]{10,}") for kind in "abceoprs"),
    ("xoxe.xox", r"[bp]-[A-Za-z0-9-]{10,}"),
    ("xapp-", r"[0-9]-[A-Za-z0-9-]{10,}"),
    ("hooks.slack.com/", r"(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
    ("npm_", r"[A-Za-z0-9]{36,}"),
    ("pypi-", r"[A-Za-z0-9_-]{50,}"),
    *(
        (mark, r"[A-Za-z0-9]{16,}")
        for mark in ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")
    ),
    ("sk-", r"[A-Za-z0-9_-]{20,}"),
    ("hf_", r"[A-Za-z0-9]{30,}"),
    *((f"hv{kind}.", r"[A-Za-z0-9_-]{20,}") for kind in "sbr"),
    ("dckr_pat_", r"[A-Za-z0-9_-]{20,}"),
    *((f"do{kind}_v1_", r"[a-f0-9]{40,}") for kind in "por"),
    ("SG.", r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("flt_", r"[A-Za-z0-9_-]{20,}"),
    ("eyJ", r"[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
)
"""What a secret begins with, and how it goes on."""


def _marked(mark: str, rest: str) -> re.Pattern[str]:
    # It begins with its letters, and only then looks whether a word begins there: what begins with
    # something else is looked for at every place, which costs forty times as much.
    begins = "" if mark.startswith("-") else rf"(?<=\b{re.escape(mark)})"
    return re.compile(f"{re.escape(mark)}{begins}{rest}")


_MARKED = tuple((mark, _marked(mark, rest)) for mark, rest in _MARKS)
_PLACED = tuple(
    (hint, re.compile(pattern))
    for hint, pattern in (
        # The password in scheme://user:password@host.
        (
            r"://[^\s/:@]*:[^\s/@]+@",
            r"(?P<keep>://(?<=[a-z0-9+.-]://)[^\s/:@]{0,256}:)(?P<value>[^\s/@]{1,512})(?=@)",
        ),
        ("sig=", r"(?P<keep>[?&;]sig=)(?P<value>[A-Za-z0-9%+/=_-]{20,})"),
        (
            "(?i:authorization)",
            r"(?i)(?P<keep>\bauthorization[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}"
            r"(?:bearer|basic|token|apikey|negotiate)\s{1,4})(?P<value>[^\s\"'\\,;<>]{4,8192})",
        ),
        (
            "(?i:bearer) [A-Za-z0-9._~+/-]{20}",
            r"(?i)(?P<keep>\bbearer )(?P<value>[A-Za-z0-9._~+/-]{20,8192}={0,2})",
        ),
        (
            "curl[^\n]* (?:-u|--user)",
            r"(?P<keep>\bcurl\b[^\n|;&]{0,400}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,64}:)"
            r"(?P<value>[^\s\"']{1,256})",
        ),
        (
            "(?i:password|passwd|secret|token|key)>[^<]+</",
            r"(?i)(?P<keep>(?:password|passwd|secret|token|key)>)(?P<value>[^<\s]{3,512})(?=</)",
        ),
        (
            r"login \S+ password ",
            r"(?P<keep>\blogin \S{1,64} password )(?P<value>\S{3,256})",
        ),
    )
)
"""Where only the `value` is the secret; before each, where it is worth looking."""

_MANIFEST_HINTS = (
    r"stringData[\\\"']{0,4}\s{0,4}:",
    r"kind[\\\"']{0,4}\s{0,4}:\s{0,4}[\\\"']{0,4}Secret(?-u:\b)",
)
_HELD = r"\\{0,4}[\"']?\b(?:stringData|data)\\{0,4}[\"']?[ \t]{0,4}:"
_IN_BRACES = re.compile(rf"(?P<keep>{_HELD}\s{{0,400}})(?P<held>\{{[^{{}}]*(?:\}}|\Z))")
_IN_BLOCK = re.compile(rf"(?P<before>[ \t]*(?:- )?){_HELD}[ \t]*(?:#.*)?")
"""What a Secret of Kubernetes holds, as JSON and as YAML in blocks."""
_TOLD = re.compile(r":\s*\\{0,4}[\"']?<hidden: \d+ bytes>")
"""A value of one as our own service shows it."""

_STRONG = (
    r"[a-z]*pass(?:word|wd|phrase)|pass(?:code)?|pwd|client_?secret|secret_?(?:access_?)?key|api_?key|"
    r"(?:shared_?)?access_?key|account_?key|private_?key|signing_?key|encryption_?key|"
    r"(?:auth|access|refresh|bearer|session|id|api|bot)_?token|web_?hook_?secret"
)
_WEAK = r"secret|token|credentials?"
"""Names of what is often no secret: only what looks random is taken for one."""
_NAME = re.compile(rf"(?:|.*?[^a-z])(?:(?P<strong>{_STRONG})|{_WEAK})", re.DOTALL)
_NAME_TAIL = re.compile(r"[A-Za-z0-9_.-]*\Z")
_MAX_NAME = 64
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENDING = r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|key|token|credentials?)"
_VALUE = (
    r"(?:(?P<quote>\\*[\"'`])(?P<quoted>[^\"'`\n]{1,4096}?)(?P=quote)"
    r"|(?P<bare>[^\s\"'`,;&<>(){}\[\]|\\]{1,4096}))"
)
_ASSIGNED = re.compile(
    rf"(?i:{_ENDING})(?:\\*[\"'])?(?P<op>\s{{0,4}}(?:=>|:=|==?|:)\s{{0,4}}){_VALUE}"
)
_FLAG = re.compile(rf"(?<![\w-])(?P<name>--?[A-Za-z][A-Za-z0-9-]{{0,48}})(?P<op>[ ]){_VALUE}")
_VARIABLE = re.compile(
    r"(?P<keep>^[ \t]*(?:export[ \t]+|set[ \t]+)?(?P<name>[A-Z][A-Z0-9_]{0,63})=)"
    r"(?P<value>[^\s\"'][^\n]{2,4096})",
    re.MULTILINE,
)
"""A line of a shell or of a file of settings: the value is all of the rest."""
_WORDS = (
    "none null nil true false yes no on off str string int integer number bytes bool boolean any "
    "object array text optional required unset empty missing invalid changed changeme example "
    "hidden redacted masked undefined value secret secrets password passwords token tokens key "
    "keys flag option argument parameter field prompt file path name type stdin env ask is are "
    "was has must should the for and with from not your"
)
_NO_SECRETS = frozenset(re.findall(r"\w+", _WORDS))
_PLACEHOLDER = re.compile(
    r"\$\{[^}]*\}?|\$\([^)]*\)?|\$[A-Za-z_]\w*|\{\{?[^{}]*\}?\}?|<[^<>]*>?|%[sdrv]|%\(\w+\)s|%\w+%"
    r"|\*+|\.\.\.|[xX]{3,}|your[-_ ].*|secret:.*|//.*",
    re.DOTALL,
)
_PATH = re.compile(r"(?:~|\.{1,2})?/[\w./@ -]*")
_CODE = re.compile(r"[A-Za-z_][\w.]*")
_LETTERS = re.compile(r"[A-Za-z_.-]*")
_RANDOM_CHARS = 16


def names_a_secret(name: str, value: str) -> bool:
    """Whether a member of that name with this value is a secret: `clientSecret`, `DB_PASSWORD`."""
    weight = _weight(name)
    return weight is not None and not _is_none(value) and (weight == "strong" or _is_random(value))


def without_shapes(text: str, instead: str) -> str:
    """The text with `instead` in the place of what has the shape of a secret."""
    readable = _readable(text)
    if not _ANY.isinstance_python(readable):
        return text
    if _MARKS_HINT.isinstance_python(readable):
        for mark, shape in _MARKED:
            if mark in text:
                text = shape.sub(instead, text)
    for hint, place in _PLACED_HINTS:
        if hint.isinstance_python(readable):
            text = place.sub(rf"\g<keep>{instead}", text)
    if _MANIFEST_HINT.isinstance_python(readable):
        text = _IN_BRACES.sub(lambda found: _without_braces(found, instead), text)
        text = _without_block(text, instead)
    if _ASSIGNED_HINT.isinstance_python(readable):
        text = _VARIABLE.sub(lambda found: _without_variable(found, instead), text)
        text = _ASSIGNED.sub(lambda found: _without_assigned(found, instead), text)
        text = _FLAG.sub(lambda found: _without_flag(found, instead), text)
    return text


def may_have_shapes(text: str) -> bool:
    """Whether it is worth looking; about 2 µs a KB."""
    return _ANY.isinstance_python(_readable(text))


def _finder(*patterns: str) -> SchemaValidator:
    """See flotilla.known_values: one look for all of them at once."""
    pattern = "|".join(patterns)
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


_MARK_HINTS = (
    "-----BEGIN [A-Z0-9 ]*PRIVATE",
    # Of the rest it is enough to see that it goes on as it should for a while.
    *(rf"(?-u:\b){re.escape(mark)}[A-Za-z0-9_/-]{{8}}" for mark, _ in _MARKS[1:]),
)
_ASSIGNMENT_HINTS = (
    r"(?i:pass(?:word|wd|phrase|code)?|pwd|secret|key|token|credentials?)[\\\"']{0,4}\s{0,4}[=:]",
    r"-[A-Za-z0-9-]{0,48}(?i:pass(?:word|wd|phrase|code)?|pwd|secret|key|token|credentials?) ",
)
_MARKS_HINT = _finder(*_MARK_HINTS)
_PLACED_HINTS = tuple((_finder(hint), place) for hint, place in _PLACED)
_MANIFEST_HINT = _finder(*_MANIFEST_HINTS)
_ASSIGNED_HINT = _finder(*_ASSIGNMENT_HINTS)
_ANY = _finder(*_MARK_HINTS, *(hint for hint, _ in _PLACED), *_MANIFEST_HINTS, *_ASSIGNMENT_HINTS)


def _readable(text: str) -> str:
    """The text without half surrogate pairs, which would hide all the rest."""
    return text if text.isascii() else text.encode(errors="replace").decode()


@lru_cache(maxsize=4096)
def _weight(name: str) -> str | None:
    if len(name) > _MAX_NAME:
        name = name[-_MAX_NAME:]
    plain = _CAMEL.sub("_", name).lower().replace("-", "_")
    found = _NAME.fullmatch(plain)
    if found is None:
        return None
    return "strong" if found["strong"] else "weak"


def _without_braces(found: re.Match[str], instead: str) -> str:
    return found[0] if ":" not in _TOLD.sub("", found["held"]) else f"{found['keep']}{instead}"


def _without_block(text: str, instead: str) -> str:
    """The text without the lines that stand deeper than the `data:` of a manifest above them."""
    kept: list[str] = []
    lines, at = text.split("\n"), 0
    while at < len(lines):
        line = lines[at]
        at += 1
        kept.append(line)
        if (found := _IN_BLOCK.fullmatch(line)) is None:
            continue
        start = at
        while at < len(lines) and _stands_within(lines[at], found.end("before")):
            at += 1
        held = lines[start:at]
        if ":" in _TOLD.sub("", "".join(held)):
            kept[-1] = f"{line} {instead}"
        else:
            kept += held
    return "\n".join(kept)


def _stands_within(line: str, depth: int) -> bool:
    inner = line.lstrip(" \t")
    return not inner or len(line) - len(inner) > depth


def _without_variable(found: re.Match[str], instead: str) -> str:
    value = found["value"].rstrip()
    weight = _weight(found["name"])
    if weight is None or _is_none(value) or (weight == "weak" and not _is_random(value)):
        return found[0]
    if len(value.split()) > 1:
        # `PGPASSWORD=... psql -h db`: the value is the first word.
        return f"{found['keep']}{instead} {value.split(maxsplit=1)[1]}"
    return f"{found['keep']}{instead}"


def _without_assigned(found: re.Match[str], instead: str) -> str:
    text, start = found.string, found.start()
    before = _NAME_TAIL.search(text, max(0, start - _MAX_NAME), start)
    name = text[before.start() if before else start : found.start("op")].rstrip("\\\"'")
    return _without_value(found, name, instead)


def _without_flag(found: re.Match[str], instead: str) -> str:
    return _without_value(found, found["name"], instead)


def _without_value(found: re.Match[str], name: str, instead: str) -> str:
    group = "bare" if found["quoted"] is None else "quoted"
    value, text = found[group], found.string
    weight = _weight(name.lstrip("-"))
    if weight is None or instead in value or _is_none(value):
        return found[0]
    if weight == "weak" and not _is_random(value):
        return found[0]
    after = text[found.end() : found.end() + 1]
    if group == "bare" and not _is_value(found["op"], value, after):
        return found[0]
    at = found.start(group) - found.start()
    return f"{found[0][:at]}{instead}{found[0][at + len(value) :]}"


def _is_value(op: str, value: str, after: str) -> bool:
    """Whether what stands there without quotes is a value, and no code or prose."""
    ends_line = after in ("", "\n", "\r")
    letters = _LETTERS.fullmatch(value) is not None
    if letters and _weight(value) is not None:
        # `password=db_password` names what holds it.
        return False
    if not op.strip():
        return not letters or ends_line
    if _CODE.fullmatch(value) is None:
        # A number or a time is none of ours.
        return not value.replace(".", "").replace(":", "").isdigit() or len(value) > 5
    if after and after in "([":
        return False
    if op == op.strip():
        return after not in (")", ",") or not letters
    return (not letters and "." not in value) or (ends_line and ":" in op)


def _is_none(value: str) -> bool:
    """Whether it only stands for a value, or says that there is none."""
    if len(value) < 3 or value.lower() in _NO_SECRETS or _PLACEHOLDER.fullmatch(value):
        return True
    if _PATH.fullmatch(value) and not _is_random(value):
        return True
    return value[-1] in ".!?" and " " in value


def _is_random(value: str) -> bool:
    if len(value) < _RANDOM_CHARS or " " in value:
        return False
    kinds = (str.isdigit, str.isupper, str.islower)
    return any(map(str.isdigit, value)) and sum(any(map(kind, value)) for kind in kinds) >= 2
