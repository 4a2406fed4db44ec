"""What a person is told of a push before they decide. Pure."""

from collections import Counter
from collections.abc import Sequence

from cmdb.servicenow.answers import PROVIDER
from cmdb.servicenow.identification import Outcome
from cmdb.servicenow.pushing import Push
from flotilla.preview import Change, Foreseen

MAX_CHANGES = 40
MAX_NAMED = 8
MAX_WARNINGS = 10
MAX_DIFF_CHARS = 15_000


def foreseen(place: str, source: str, push: Push) -> Foreseen:
    """`place` names the instance, `push` is what its dry run said."""
    counts = Counter(one.state for one in push.outcomes)
    done = [
        f"make {counts['insert']} CIs" if counts["insert"] else "",
        f"change {counts['update']} CIs" if counts["update"] else "",
        f"draw {push.relations_made} relations" if push.relations_made else "",
    ]
    what = ", ".join(part for part in done if part) or "change nothing"
    touched = [one for one in push.outcomes if one.state in ("insert", "update")]
    changes = [
        Change(field=f"{one.name}.{each.field}", before=each.before or None, after=each.after)
        for one in touched
        for each in one.changes or ()
    ]
    return Foreseen(
        action=f"In {PROVIDER}'s CMDB {place}, as the data source {source}: {what}",
        target=_named(touched or push.outcomes),
        changes=changes[:MAX_CHANGES],
        diff=_diff(touched) if len(changes) > MAX_CHANGES else None,
        warnings=_warnings(push, counts)[:MAX_WARNINGS],
    )


def _named(some: Sequence[Outcome]) -> str:
    named = [f"{one.name} ({one.id}, {one.sys_id or f'new {one.class_name}'})" for one in some]
    more = f", and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return ", ".join(named[:MAX_NAMED]) + more


def _warnings(push: Push, counts: Counter[str]) -> list[str]:
    told: list[str] = []
    left_out = counts["error"] + counts["incomplete"]
    if left_out:
        told.append(f"{left_out} of {len(push.outcomes)} items are refused and would be left out")
    told += [f"{one.name}: {one.errors[0]}" for one in push.outcomes if one.errors]
    told += [f"{one.name}: {one.warnings[0]}" for one in push.outcomes if one.warnings]
    if push.relation_errors:
        told.append(f"{len(push.relation_errors)} relations: {push.relation_errors[0]}")
    return told


def _diff(some: Sequence[Outcome]) -> str:
    lines: list[str] = []
    for one in some:
        lines.append(f"@@ {one.name} ({one.sys_id or f'new {one.class_name}'}) @@")
        for each in one.changes or ():
            lines += [f"-{each.field}: {each.before}"] if each.before else []
            lines.append(f"+{each.field}: {each.after}")
    return "\n".join(lines)[:MAX_DIFF_CHARS]
