"""Whether the rules let this principal make this call; the refusal names the rule."""

from collections.abc import Mapping
from typing import Any

from flotilla import NotAllowed, Principal
from master.call import Call, Stage
from master.entry import Entry, View
from master.policy.seam import Policy, Verdict
from master.result import Result


def authorised(inner: Stage, policy: Policy) -> Stage:
    async def stage(call: Call) -> Result:
        call.verdict = verdict = policy.judge(
            call.principal,
            call.resolved(),
            call.arguments,
            method=call.method,
            interactive=call.interactive,
            profile=profile_of(call.view),
        )
        if not verdict.allowed:
            raise denial(verdict, call.principal, call.resolved())
        return await inner(call)

    return stage


def allowed(
    policy: Policy,
    principal: Principal,
    entry: Entry,
    interactive: bool,
    view: View,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """NotAllowed where a call of it would be denied; for what does not take the way of a call."""
    verdict = policy.judge(
        principal, entry, arguments or {}, interactive=interactive, profile=profile_of(view)
    )
    if not verdict.allowed:
        raise denial(verdict, principal, entry)


def denial(verdict: Verdict, principal: Principal, entry: Entry) -> NotAllowed:
    return NotAllowed(
        verdict.reason or f"no rule lets {principal.name} call {entry.name}",
        hint="Ask an administrator; `python3 -m flotilla policy explain` says why.",
        details={"rules": list(verdict.rules)},
    )


def profile_of(view: View) -> str:
    """As rules know it: a server that is shown alone has none, and no profile's rules."""
    return "" if view.service is not None else view.profile
