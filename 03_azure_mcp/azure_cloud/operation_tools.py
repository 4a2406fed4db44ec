"""Following operations that go on in Azure."""

import asyncio
from time import monotonic
from typing import Annotated

from pydantic import Field

from azure_cloud.clouds import Clouds
from azure_cloud.long_operations import DEFAULT_POLL_S, OperationState, gone, read, stood
from flotilla import Context, NotFound, Tool, reads

GOES_ON = "It goes on in Azure whether or not anybody waits for it."
LEAST_POLL_S = 0.2
SPARE_S = 2.0
"""Of the deadline, for one more answer after the last wait."""


class OperationTools:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def tools(self) -> tuple[Tool, ...]:
        return (reads("cloud.azure.getOperation", self.get_operation, long=True),)

    async def get_operation(
        self,
        context: Context,
        operation_id: Annotated[str, Field(max_length=8192)],
        wait_s: Annotated[
            float, Field(ge=0, le=280, description="Seconds to wait for its end; 0 just asks.")
        ] = 0,
    ) -> OperationState:
        """How an operation stands that another tool began: running, succeeded, failed or canceled.

        A failed one has Azure's error. With `waitS` it is followed until it ends or the time is
        up, with progress notifications; a cancel stops the waiting alone, never the operation.
        """
        followed = read(operation_id)
        cloud = self._clouds.chosen(followed.account)
        cloud.subscriptions.check(followed.subscription)
        until = monotonic() + min(wait_s, context.deadline.remaining_s() - SPARE_S)
        started = monotonic()
        while True:
            try:
                answer = await cloud.arm.ask("GET", followed.path, context)
            except NotFound as error:
                if followed.way == "resource" and followed.action == "delete":
                    return gone(operation_id, followed)
                if followed.way != "resource":
                    error.hint = "Azure forgets operations after a time; look at the target."
                raise
            state = stood(operation_id, followed, answer)
            left_s = until - monotonic()
            if state.status != "running":
                return state
            asked_s = DEFAULT_POLL_S if state.retry_after_s is None else state.retry_after_s
            pause_s = max(LEAST_POLL_S, min(asked_s, left_s))
            if left_s <= 0:
                return state.model_copy(update={"note": GOES_ON})
            waited_s = monotonic() - started
            await context.report(
                round(waited_s, 1), wait_s, f"{state.action} of {state.target} runs. {GOES_ON}"
            )
            await asyncio.sleep(pause_s)
