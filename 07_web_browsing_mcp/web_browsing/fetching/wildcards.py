"""Patterns with `*`, matched in bounded time whoever wrote them. Pure.

Not regular expressions: robots.txt is written by strangers, patterns by models, and either could
ask for a match that takes for ever.
"""


def matches(pattern: str, text: str, *, whole: bool) -> bool:
    """Whether `text` begins with `pattern`, or with `whole` is it; `*` stands for anything.

    Each literal piece is looked for once, leftmost, which finds a match wherever there is one.
    """
    pieces = pattern.split("*")
    if not text.startswith(pieces[0]):
        return False
    at = len(pieces[0])
    if len(pieces) == 1:
        return not whole or at == len(text)
    for piece in pieces[1:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    if whole:
        return len(text) - len(pieces[-1]) >= at and text.endswith(pieces[-1])
    return text.find(pieces[-1], at) >= 0
