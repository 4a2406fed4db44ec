"""The rules of the scan: what is said in a description that is addressed to the model alone. Pure.

They are matched against text in lower case, with plain quotes, Latin letters and single spaces.
Each distance is bounded, so that no text takes long.
"""

import re
from typing import Literal, NamedTuple

from flotilla.persuasion import CONVERSATION, NEAR, NOT, TELL, TEMPLATE_MARKS

Severity = Literal["severe", "notice"]

# One that forbids it is honest: "do not include passwords or keys".
_FETCH = (
    r"(?<!not )(?<!never )(?<!don't )"
    r"\b(?:read|open|cat|load|fetch|access|get|include|attach|copy|find)\b"
)
_HAND_ON = r"\b(?:pass|send|include|provide|put|attach|append|submit|upload|supply|return|add)\b"
_PERSON = r"\b(?:user|human|person|operator|customer|anyone|anybody)\b"
_KEYS = (
    r"(?:~?/?\.ssh\b|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/credentials|/etc/(?:passwd|shadow)"
    r"|\.cursor/mcp\.json|claude_desktop_config|\.(?:gnupg|netrc|git-credentials)\b|\bmcp\.json\b"
    r"|\b(?:private|ssh|api) keys?\b|\bkeychain\b|\bbrowser cookies\b)"
)
_CONFIGS = r"(?:(?<![\w.])\.env\b|~/\.\w[\w./-]*|\.(?:npmrc|pypirc|bash_history|zsh_history)\b)"
_OTHER_TOOLS = r"\b(?:any|all|every|other|another) (?:other )?(?:\w+ )?tools?\b"


class Rule(NamedTuple):
    name: str
    severity: Severity
    pattern: re.Pattern[str]


def _severe(name: str, *alternatives: str) -> Rule:
    return Rule(name, "severe", re.compile("|".join(alternatives)))


def _notice(name: str, *alternatives: str) -> Rule:
    return Rule(name, "notice", re.compile("|".join(alternatives)))


RULES = (
    _severe(
        "override",
        rf"\b(?:ignore|disregard|forget|override|bypass|discard)\b{NEAR}"
        rf"\b(?:previous|prior|above|earlier|preceding|system|your|other|original|safety)\b{NEAR}"
        r"\b(?:instructions?|prompts?|rules|guidelines|directions|directives|constraints|policies)\b",
        r"\b(?:your|these) new (?:instructions|role|task|objective|directive)s?\b",
        r"\bnew instructions?:",
        r"\bfrom now on,? you\b",
        r"\byou are now (?:a|an|in|the|no)\b",
    ),
    _severe(
        "secrecy",
        rf"{NOT}(?:\w+ ){{0,2}}?{TELL}{NEAR}{_PERSON}",
        rf"{NOT}(?:\w+ ){{0,2}}?(?:mention|reveal|disclose)(?:ing)? (?:this|these|that|it)\b",
        rf"\b(?:hide|conceal|keep)\b{NEAR}\bfrom the (?:user|human|person|operator)\b",
        r"\b(?:user|human) (?:must|should|need) (?:not|never) (?:know|see|notice|be told)\b",
    ),
    _severe(
        "consent",
        r"\b(?:do not|don't|never|no need to|without needing to) (?:\w+ )?"
        r"(?:ask|wait|request|prompt)\b[^.!?\n]{0,40}?\b(?:confirm\w*|permission|approval|consent|user)\b",
    ),
    _severe(
        "imitated_tag",
        r"</? ?(?:important|system|instructions?|critical|hidden|internal|priority"
        r"|system[_-]?(?:prompt|reminder|message)|assistant_instructions?) ?>",
        *TEMPLATE_MARKS,
        r"<(?P<tag>secret|user|assistant|admin|prompt|rules)>[^<]{0,2000}?</(?P=tag)>",
    ),
    _severe("hidden_comment", r"<!--[^>]{12,}"),
    _severe(
        "private_files",
        rf"{_FETCH}[^\n]{{0,80}}?{_KEYS}",
        rf"{_FETCH}[^\n]{{0,80}}?{_CONFIGS}[^\n]{{0,120}}?{_HAND_ON}",
        rf"{_HAND_ON}[^\n]{{0,40}}?\bcontents? of\b[^\n]{{0,40}}?(?:{_CONFIGS}|{_KEYS})",
    ),
    _notice("private_files", _KEYS, _CONFIGS),
    _severe(
        "other_tools",
        rf"\b(?:before|after|when(?:ever)?|each time|every time|prior to|instead of)\b{NEAR}"
        rf"{_OTHER_TOOLS}{NEAR}\b(?:must|always|first|should|call|use|run|invoke|send|pass|add)\b",
        rf"\b(?:must|always|first|should)\b{NEAR}\b(?:before|prior to)\b{NEAR}{_OTHER_TOOLS}",
        r"\b(?:never|do not|don't) (?:use|call) (?:any )?(?:the )?other (?:\w+ )?tools?\b",
    ),
    _severe(
        "conversation",
        r"\b(?:entire|full|complete|whole|verbatim|all of the|your|raw)\b[^.!?\n]{0,30}?"
        + CONVERSATION,
        rf"{_HAND_ON}[^.!?\n]{{0,40}}?{CONVERSATION}",
    ),
    _severe(
        "exfiltration",
        rf"\b(?:always|must|also|silently|secretly|quietly|additionally)\b{NEAR}"
        rf"\b(?:send|forward|post|upload|bcc|cc|copy|transmit|report|redirect)\b{NEAR}"
        r"(?:https?://|\b[\w.+-]{1,64}@[\w-]+\.\w)",
        r"\b(?:silently|secretly|covertly) (?:\w+ )?"
        r"(?:send|forward|post|upload|copy|read|collect)\b",
    ),
    _severe("encoded", r"(?<![a-z0-9+/])[a-z0-9+/]{200}", r"(?:\\x[0-9a-f]{2}){20}"),
    _severe("pushed_out_of_sight", r"\n{30}\s*\S", r" {150}"),
    _notice(
        "urgent",
        r"\b(?:important|critical|mandatory|attention)\b ?[:!]",
        r"\byou must (?:always|never|first)\b",
        r"\bact as\b",
    ),
)

BEFORE_THIS = re.compile(
    r"\b(?:before|prior to|after|whenever|each time|every time)[^.!?\n]{0,30}?"
    r"\b(?:using|calling|running|invoking|executing|you use|you call|you run)\b[^.!?\n]{0,20}?"
    r"\bthis (?:tool|function)\b[^!?\n]{0,30}?"
    r"\b(?:call|use|read|run|invoke|execute|send|open|get)\b[^!?\n]{0,60}"
)
"""An order that comes with the use of the tool: it may name a tool of the same server only."""

CARRIERS = re.compile(
    r"side_?notes?|(?:conversation|chat|message)_?(?:history|context|log)s?|system_?prompts?"
    r"|(?:full|whole|previous|all)_?(?:context|messages|conversation)|chain_?of_?thought"
    r"|tools?_?list|(?:user|model)_?secrets?"
)
"""Names of parameters that carry the conversation out."""

ORDERS = re.compile(r"\b(?:must|always|never|instead|first|should|before|after|do not|don't)\b")
