"""What a rule looks at, and what is left of it while nothing is known of the call. Pure.

A rule's clauses are read as the engine's own syntax tree. `context` is what only a call has: time,
arguments, target. Whatever names no part of it is the same for every call of a tool.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from cedarpy import pst

Path = tuple[str, ...]
"""A part of the context: `("target", "host")`; empty is all of it."""


def paths_in(node: Any) -> frozenset[Path]:
    """The parts of the context that are looked at anywhere below a node."""
    return frozenset(_paths(node))


def possible(rule: pst.Template) -> pst.Template:
    """The rule without the conditions that a call decides: it fits wherever the rule may fit.

    Clauses are joined by `and`, so that leaving one out, or a part of one that is joined by `and`,
    can only widen the rule.
    """
    kept = (_without_context(clause) for clause in rule.clauses)
    return replace(rule, clauses=tuple(clause for clause in kept if clause is not None))


def conditions(rule: pst.Template) -> Iterator[pst.Clause]:
    """The clauses in their smallest parts, all of which must hold."""
    for clause in rule.clauses:
        is_when = isinstance(clause, pst.When)
        for part in _parts(clause.expr, "and" if is_when else "or"):
            yield pst.When(part) if is_when else pst.Unless(part)


def nodes(node: Any) -> Iterator[Any]:
    """The node and everything below it."""
    yield node
    for below in _below(node):
        yield from nodes(below)


def path_of(expression: Any) -> Path | None:
    """Which part of the context an expression is; None where it is none."""
    if isinstance(expression, pst.Var):
        return () if expression.name == "context" else None
    if isinstance(expression, pst.GetAttr):
        base = path_of(expression.base)
        return None if base is None else (*base, expression.attr)
    return None


def _paths(node: Any) -> Iterator[Path]:
    if isinstance(node, pst.HasAttr) and (base := path_of(node.base)) is not None:
        yield (*base, *node.attrs)
        return
    if (path := path_of(node)) is not None:
        yield path
        return
    for below in _below(node):
        yield from _paths(below)


def _below(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        yield from node  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(node, dict):
        yield from node.values()  # pyright: ignore[reportUnknownVariableType]
    elif is_dataclass(node) and not isinstance(node, type):
        for each in fields(node):
            yield getattr(node, each.name)


def _without_context(clause: pst.Clause) -> pst.Clause | None:
    is_when = isinstance(clause, pst.When)
    operator: pst.BinaryOpName = "and" if is_when else "or"
    kept = [part for part in _parts(clause.expr, operator) if not paths_in(part)]
    if not kept:
        return None
    joined = kept[0]
    for part in kept[1:]:
        joined = pst.BinaryOp(operator, joined, part)
    return pst.When(joined) if is_when else pst.Unless(joined)


def _parts(expression: pst.Expr, operator: str) -> Iterator[pst.Expr]:
    if isinstance(expression, pst.BinaryOp) and expression.op == operator:
        yield from _parts(expression.left, operator)
        yield from _parts(expression.right, operator)
    else:
        yield expression
