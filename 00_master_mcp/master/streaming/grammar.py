"""JSON's grammar as regular expressions that take a whole run of values at once. Pure.

The runs are atomic groups around ordinary repeats, never `(?:...)*+`: before Python 3.11.5 a
possessive repeat of a group keeps the bytes of an iteration that failed half way.
"""

import re

NESTED = 2
"""How deep the containers may nest that one match takes whole."""

_SPACE = rb"[ \t\n\r]*+"
# Everything but the quote, the backslash and control characters; a positive class is twice as fast.
_PLAIN = rb"[ !#-\[\]-\xff]*+"
_ESCAPED = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_INSIDE = _PLAIN + rb"(?>(?:" + _ESCAPED + _PLAIN + rb")*)"
_STRING = rb'"' + _INSIDE + rb'"'
# A number ends where something else begins: what was received so far may be half of one.
_WORD_ENDS = rb"(?=[ \t\n\r,\]}])"
_FRACTION = rb"(?>(?:\.[0-9]++)?)(?>(?:[eE][+-]?+[0-9]++)?)"
# The plain integer comes first because the general number takes three times as long.
_WORD = (
    rb"(?:[1-9][0-9]*+" + _WORD_ENDS + rb"|0" + _WORD_ENDS + rb"|true" + _WORD_ENDS
    + rb"|false" + _WORD_ENDS + rb"|null" + _WORD_ENDS
    + rb"|-?+(?:[1-9][0-9]*+|0)" + _FRACTION + _WORD_ENDS + rb")"
)  # fmt: skip
_SCALAR = _STRING + rb"|" + _WORD
_ATOM = _SCALAR + rb"|\[" + _SPACE + rb"\]|\{" + _SPACE + rb"\}"
_NAME = _STRING + _SPACE + rb":" + _SPACE


def _value(nested: int) -> bytes:
    if nested == 0:
        return rb"(?:" + _SCALAR + rb")"
    inner = _value(nested - 1)

    def container(opens: bytes, member: bytes, closes: bytes) -> bytes:
        # Each member is followed by a comma and one more, or by the end.
        more = rb"(?:," + _SPACE + rb"(?!" + closes + rb")|(?=" + closes + rb"))"
        return opens + _SPACE + rb"(?>(?:" + member + _SPACE + more + rb")*)" + closes

    lists, objects = container(rb"\[", inner, rb"\]"), container(rb"\{", _NAME + inner, rb"\}")
    return rb"(?:" + _SCALAR + rb"|" + lists + rb"|" + objects + rb")"


# The beginnings of containers that hold each other, with the names of what they hold.
_OPENERS = (
    rb"((?>(?:" + _SPACE + rb"(?:\[(?!" + _SPACE + rb"\])|\{" + _SPACE + _STRING + _SPACE
    + rb":))+))"
)  # fmt: skip
_CLOSERS = rb"([\]}](?:[\]} \t\n\r]*[\]}])?)"
_ENTERED = _OPENERS + rb"(?:" + _SPACE + rb"(" + _ATOM + rb"))?"


def _further(name: bytes, value: bytes) -> re.Pattern[bytes]:
    comma = _SPACE + rb"," + _SPACE + name
    turn = _SPACE + _CLOSERS + rb"|" + comma + _ENTERED
    return re.compile(rb"(?>(?:" + comma + value + rb")*)(?:" + turn + rb")?")


SPACE = re.compile(_SPACE)
STRING = re.compile(_STRING)
INSIDE = re.compile(_INSIDE)
"""A string's content as far as it is well-formed, without the quotes."""
HALF_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?")
WORD = re.compile(_WORD)
"""A number, `true`, `false` or `null`, and then something else."""
HALF_WORD = re.compile(rb"[-+.0-9A-Za-z]++")
VALUE = re.compile(_value(NESTED))
"""A value that nests no deeper than NESTED."""
ENTERED = re.compile(_ENTERED)
"""Openers (group 1) and, where it is whole, the first value that is no container (group 2)."""

LIST, OBJECT = b"]}"
"""The kinds of containers, by what closes them."""
FURTHER = {LIST: _further(b"", _value(NESTED)), OBJECT: _further(_NAME, _value(NESTED))}
"""After a value: further elements or members, and then one of three.

Closers (group 1), or a comma, openers (group 2) and a first value (group 3), or nothing.
"""
FURTHER_SCALARS = {LIST: _further(b"", _value(0)), OBJECT: _further(_NAME, _value(0))}
"""The same, with scalars alone: for where the depth is nearly used up."""
