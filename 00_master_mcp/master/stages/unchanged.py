"""Whether a stored call is still the one that a person allowed: its tool may be another by now."""

from collections.abc import Callable

from master.approvals.digest import digest_of
from master.approvals.rules import refused
from master.call import Call, Stage
from master.result import Result


def unchanged(inner: Stage, digest_by_approval: Callable[[str], str | None]) -> Stage:
    async def stage(call: Call) -> Result:
        known = None if call.approval is None else digest_by_approval(call.approval)
        if known is None or digest_of(call) != known:
            raise refused("approval_mismatch", call.approval)
        return await inner(call)

    return stage
