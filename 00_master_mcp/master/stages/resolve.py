"""Which tool a name means, and until when its caller waits."""

from collections.abc import Mapping
from dataclasses import replace

from flotilla.fleet import ServiceEntry
from flotilla.serving.spokes import deadline_of
from master.call import Call, Stage
from master.catalogue import Catalogue
from master.result import Result


def resolved(inner: Stage, catalogue: Catalogue, services: Mapping[str, ServiceEntry]) -> Stage:
    async def stage(call: Call) -> Result:
        entry = catalogue.find(call.name, call.view)
        service = services[entry.service]
        limit_s = service.long_timeout_s if entry.is_long else service.timeout_s
        return await inner(replace(call, tool=entry, deadline=deadline_of(call.meta, limit_s)))

    return stage
