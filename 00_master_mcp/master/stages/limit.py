"""How often a principal may call a service."""

import math
from collections.abc import Callable

from flotilla import RateLimited
from flotilla.resilience import Resilience
from master.call import Call, Stage
from master.meters import Meters
from master.result import Result
from master.state.seam import RateLimits


def limited(
    inner: Stage, limits: RateLimits, resilience: Callable[[str], Resilience], meters: Meters
) -> Stage:
    async def stage(call: Call) -> Result:
        service = call.resolved().service
        limit = resilience(service).rate_limit
        wait_s = await limits.take(f"{service}:{call.principal.name}", limit)
        if wait_s > 0:
            meters.turned_away(service, "rate_limit")
            raise RateLimited(
                f"{call.principal.name} has called {service} more than {limit.per_minute:g} times "
                "a minute",
                retry_after_ms=math.ceil(wait_s * 1000),
                hint="Wait as long as retryAfterMs says, or raise its rate_limit in services.yaml.",
            )
        return await inner(call)

    return stage
