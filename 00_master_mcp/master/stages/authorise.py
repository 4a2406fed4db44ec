"""Whether the rules let this principal make this call; the refusal names the rule."""

from flotilla import NotAllowed
from master.call import Call, Stage
from master.policy.seam import Policy
from master.result import Result


def authorised(inner: Stage, policy: Policy) -> Stage:
    async def stage(call: Call) -> Result:
        entry = call.resolved()
        verdict = policy.judge(call.principal, entry, call.arguments, method=call.method)
        call.verdict = verdict
        if not verdict.allowed:
            rules = list(verdict.rules)
            raise NotAllowed(
                verdict.reason or f"no rule lets {call.principal.name} call {entry.name}",
                hint="Ask an administrator; `python3 -m flotilla policy explain` says why.",
                details={"rules": rules},
            )
        return await inner(call)

    return stage
