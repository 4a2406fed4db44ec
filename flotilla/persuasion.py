"""What in a stranger's text looks like instructions to a model. Pure.

A page, a mail or a ticket is data, and a model reads it as if somebody spoke to it. The rules know
the ways that are published, in English: overridden instructions, secrecy towards the user, marks
that imitate a conversation's, orders to hand on what the model knows. They are rules of thumb: a
note says to be careful, and nothing is safe for having none.
"""

import re
import unicodedata
from typing import NamedTuple

from flotilla.sizes import strip_invisible

MAX_LENGTH = 256 * 1024
"""Characters that are looked at; a result has fewer."""

NEAR = r"[^.!?\n]{0,80}?"
"""Later in the same sentence; bounded, so that no text takes long."""
NOT = r"\b(?:do not|don't|dont|never|must not|mustn't|should not|avoid|without|refrain from) "
TELL = r"(?:tell|mention|inform|reveal|notify|disclose|alert|let|warn|explain)(?:ing)?\b"
CONVERSATION = (
    r"(?:conversation|chat history|system prompt|(?:previous|prior|all) messages|message history"
    r"|context window|chain of thought|(?:list|names) of (?:all |the )?(?:available )?tools)"
)
"""What a model has been told, by the names that people have for it."""
TEMPLATE_MARKS = (
    r"<\|\w{1,40}\|>",
    r"\[/?inst\]",
    r"<</?sys>>",
    r"### ?(?:system|instruction)s?\b ?:",
)
"""What separates the turns in the templates of models; a text that holds them imitates a turn."""

_LOOKALIKES = str.maketrans("асеорхуіјѕһԁɡοаεικνρτ‘’“”", "aceopxyijshdgoaeikvpt''\"\"")
_SPACES = re.compile(r"[^\S\n]+")
_LONG_RUN = 150
_TAG_CHARACTERS = re.compile("[\U000e0020-\U000e007e]{4}")


def plain(raw: str) -> str:
    """The text as a reader takes it, in lower case: without what hides or disguises words."""
    text = raw if raw.isascii() else unicodedata.normalize("NFKC", strip_invisible(raw))
    text = text.casefold().translate(_LOOKALIKES)
    # Long runs of spaces are themselves looked for in a tool's description.
    return _SPACES.sub(
        lambda run: " " if len(run[0]) < _LONG_RUN else run[0].replace("\t", " "), text
    )


class _Sign(NamedTuple):
    note: str
    words: tuple[str, ...]
    """One of them is in whatever the pattern finds; looking for words is far cheaper."""
    pattern: re.Pattern[str]


def _sign(says: str, words: str, *alternatives: str) -> _Sign:
    note = f"something in the text looks like instructions to a model: {says}"
    return _Sign(note, tuple(words.split()), re.compile("|".join(alternatives)))


_MODEL = (
    r"(?:ai|a\.i\.|llms?|(?:large )?language models?|chatbots?|chatgpt|claude|gemini|copilot"
    r"|ai (?:agents?|assistants?|models?|systems?|crawlers?))"
)
_EARLIER = r"(?:previous|prior|above|earlier|preceding|original|system|existing|foregoing)"
_ORDERS = r"(?:instructions?|prompts?|directions|directives|guidelines|commands)"
_IN_YOUR_HANDS = (
    r"(?:your|the|this|full|entire|complete|whole) (?:\w+ ){0,2}?(?:system prompt|chat history"
    r"|conversation history|message history|hidden instructions|initial instructions)"
)

# A page may well write about all this; so each rule wants an order and what it is about, close by.
_SIGNS = (
    _sign(
        "it asks to ignore earlier instructions",
        "ignore disregard forget override bypass discard",
        rf"\b(?:ignore|disregard|forget|override|bypass|discard)\b(?: \w+){{0,3}}? {_EARLIER}"
        rf"(?: \w+){{0,2}}? {_ORDERS}\b",
        rf"\b(?:ignore|disregard|forget) (?:all )?(?:of )?your (?:\w+ )?(?:{_ORDERS}|training)\b",
        r"\b(?:ignore|disregard|forget) (?:everything|anything|all) (?:\w+ ){0,2}?"
        r"(?:above|before this|so far|you (?:were|have been) told)\b",
    ),
    _sign(
        "it gives a model a new task or role",
        "new now",
        rf"(?:^|[.!?:;\n] ?)new {_ORDERS}:",
        rf"\byour new (?:{_ORDERS}|role|objective|goal)\b(?: is|s are| are|:)",
        r"\byou are now (?:a|an|in|the|no longer)\b[^.!?\n]{0,40}?"
        r"\b(?:assistant|mode|ai|model|agent|restricted|bound|jailbroken|unfiltered)\b",
        r"\bfrom now on,? you (?:will|must|are|shall|should) (?:\w+ ){0,2}?"
        r"(?:act|answer|respond|obey|follow|reply|ignore|pretend|only)\b",
    ),
    _sign(
        "it speaks to whatever model reads it",
        "ai a.i. llm model chatbot chatgpt claude gemini copilot",
        rf"\b(?:if|when|since|because) you(?:'re| are) (?:an? |the )?{_MODEL}\b",
        rf"\b(?:attention|note|notice|instructions?|message|important) (?:to|for) (?:all |any )?"
        rf"{_MODEL}\b",
        rf"\b{_MODEL}(?: \w+){{0,2}}? (?:reading|processing|summari[sz]ing|visiting|parsing)"
        r" th(?:is|e)(?: \w+)?(?:[,:]| must| should| shall)",
        rf"(?:^|[.!?\n] ?)(?:dear |hey |hello )?{_MODEL}[,:]"
        r" (?:you |please |ignore |do |send |call )",
    ),
    _sign(
        "it asks to keep something from the user",
        "user human operator",
        rf"{NOT}(?:\w+ ){{0,2}}?{TELL}[^.!?\n]{{0,30}}?\b(?:the|your) (?:user|human|operator)\b"
        rf"[^.!?\n]{{0,40}}?\b(?:about|that|this|of (?:this|these|the)|anything)\b",
        r"\b(?:hide|conceal|keep) (?:this|these|it|that)\b[^.!?\n]{0,30}?"
        r"\bfrom (?:the|your) (?:user|human|operator)\b",
        r"\b(?:do not|don't|never|no need to) (?:ask|wait for|request)\b[^.!?\n]{0,20}?"
        r"\b(?:the|your) (?:user|human|operator)\b[^.!?\n]{0,20}?"
        r"\b(?:confirm\w*|permission|approval|consent)\b",
    ),
    _sign(
        "it imitates the turns of a conversation",
        "< [ ###",
        *TEMPLATE_MARKS[:3],
        r"</? ?(?:system[-_ ](?:prompt|reminder|message)|assistant_instructions?) ?>",
        r"(?:^|\n)### ?(?:system|instruction)s?\b ?:",
    ),
    _sign(
        "it asks for what a model was told or may do",
        "prompt history instructions tool user",
        r"\b(?:send|post|forward|upload|append|include|add|put|output|print|repeat|reveal|show|leak"
        rf"|copy|attach)\b(?: \w+){{0,4}}? {_IN_YOUR_HANDS}",
        r"\b(?:use|call|invoke|run) your (?:\w+ )?tools? (?:to|and|now)\b",
        r"\b(?:send|post|forward|upload|exfiltrate)\b[^.!?\n]{0,40}?\b(?:the|your)"
        r" (?:user's|users') (?:\w+ )?(?:files?|e-?mails?|messages?|passwords?|credentials|secrets"
        r"|tokens?|keys?|data)\b",
    ),
)
_SPELT = "characters that nobody sees spell words in the text, as is done to reach a model alone"


def notes_on(text: str) -> tuple[str, ...]:
    """What a careful reader should be told of the text, a sentence for each sign; mostly nothing.

    Looks at the first MAX_LENGTH characters. Never repeats what the text says.
    """
    looked_at = text[:MAX_LENGTH]
    if not looked_at:
        return ()
    read = plain(looked_at)
    told = [
        each.note
        for each in _SIGNS
        if any(word in read for word in each.words) and each.pattern.search(read)
    ]
    if _TAG_CHARACTERS.search(looked_at):
        told.append(_SPELT)
    return tuple(told)
