"""Whether a call may run without a person, and what it says when it may not."""

from flotilla.toolbox import approval_required
from master.call import Call, Stage
from master.result import Result


def approved(inner: Stage, *, approvals_off: bool) -> Stage:
    """Refuse what waits for a person, unless the operator switched approvals off."""

    async def stage(call: Call) -> Result:
        entry = call.resolved()
        if call.approval is not None:
            # A stored call: a person allowed it, and the approvals have counted it as begun.
            call.approved = True
            return await inner(call)
        if entry.needs_approval and not approvals_off:
            raise approval_required(entry.name)
        call.approved = entry.needs_approval
        return await inner(call)

    return stage
