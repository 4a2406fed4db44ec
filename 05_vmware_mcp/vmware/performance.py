"""infra.vmware.getPerformance: counters of a machine or a host over a while, as a small table."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flotilla import Conflict, Context, InvalidArgument, Model, NotFound, Tool, reads
from vmware.inventory import HOST
from vmware.link import Links
from vmware.machines import KIND, VmId, VmName, found
from vmware.names import MoId, VCenterName

if TYPE_CHECKING:
    from vmware.reading import Vc

REALTIME_S = 20
"""The interval of what a host measures itself; it keeps about an hour of it."""
MAX_SAMPLES = 180
DEFAULT_COUNTERS = (
    "cpu.usage.average",
    "cpu.usagemhz.average",
    "cpu.ready.summation",
    "mem.usage.average",
    "mem.active.average",
    "mem.consumed.average",
    "mem.vmmemctl.average",
    "disk.usage.average",
    "net.usage.average",
)
CounterName = Annotated[
    str, Field(max_length=100, pattern=r"^[A-Za-z0-9]+\.[A-Za-z0-9]+\.[A-Za-z0-9]+$")
]
"""Group, name and kind, as vSphere's documentation has them."""
HUNDREDTHS = "percent"
"""vSphere counts percentages in hundredths of one. Source: PerformanceManager.PercentUnit."""


class Counter(Model):
    """One counter over the samples: `unit` as vSphere has it, percentages from 0 to 100."""

    counter: str
    unit: str
    minimum: float
    average: float
    maximum: float
    latest: float


class Performance(Model):
    """Counters of one machine or host; `missing` are those that it does not have."""

    vcenter: str
    target_id: str
    interval_s: int
    sample_count: int
    first_at: datetime | None
    last_at: datetime | None
    counters: list[Counter]
    missing: list[str]


class Counters:
    """The tool of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (reads("infra.vmware.getPerformance", self.get_performance, title="Performance"),)

    async def get_performance(
        self,
        context: Context,
        vcenter: VCenterName = None,
        vm_id: VmId = None,
        name: VmName = None,
        host_id: Annotated[MoId | None, Field(description="A host instead of a machine.")] = None,
        counters: Annotated[
            list[
                Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9]+(\.[A-Za-z0-9]+){2}$")]
            ]
            | None,
            Field(
                min_length=1,
                max_length=30,
                description="Such as cpu.usage.average; group.name.kind.",
            ),
        ] = None,
        minutes: Annotated[int, Field(ge=1, le=60, description="How far back.")] = 15,
    ) -> Performance:
        """Show how busy a virtual machine or a host was in the last minutes.

        For each counter the least, mean, greatest and latest value of samples of 20 seconds. By
        default CPU, memory, disk and network; cpu.ready is how long it waited for a CPU.
        """
        if sum(given is not None for given in (vm_id, name, host_id)) != 1:
            raise InvalidArgument("give one of vmId, name and hostId")
        link = self._links.to(vcenter)
        wanted = tuple(counters or DEFAULT_COUNTERS)
        samples = min(MAX_SAMPLES, minutes * 60 // REALTIME_S)

        def work(vc: "Vc") -> Performance:
            kind = KIND if host_id is None else HOST
            mo_id = host_id if host_id is not None else found(vc, vm_id, name)
            state = vc.leaves(kind, mo_id, ("runtime.powerState",)).get("runtime.powerState")
            if str(state) == "poweredOff":
                raise Conflict(
                    f"{mo_id} is powered off: nothing of it is measured",
                    hint="What it did before is no longer kept by its host.",
                )
            return measured(vc, kind, mo_id, wanted, samples)

        return await link.use(context.deadline, work)


def measured(vc: "Vc", kind: str, mo_id: str, wanted: Sequence[str], samples: int) -> Performance:
    known = _counters(vc)
    asked = {known[name][0]: name for name in wanted if name in known}
    if not asked:
        raise NotFound(
            f"{vc.alias} has none of these counters",
            hint="Leave `counters` out for the usual ones.",
        )
    perf = vc.vim.PerformanceManager
    spec = perf.QuerySpec(
        entity=vc.ref(kind, mo_id),
        metricId=[perf.MetricId(counterId=number, instance="") for number in asked],
        intervalId=REALTIME_S,
        maxSample=samples,
        format="normal",
    )
    answer = vc.content.perfManager.QueryPerf([spec])
    series = {each.id.counterId: each.value for each in (answer[0].value if answer else ())}
    times = sorted(info.timestamp for info in (answer[0].sampleInfo if answer else ()))
    newest_last = _in_time_order(answer[0].sampleInfo if answer else ())
    table = [
        counter_row(name, known[name][1], [series[number][index] for index in newest_last])
        for number, name in asked.items()
        if series.get(number)
    ]
    shown = {counter.counter for counter in table}
    return Performance(
        vcenter=vc.alias,
        target_id=mo_id,
        interval_s=REALTIME_S,
        sample_count=len(times),
        first_at=times[0] if times else None,
        last_at=times[-1] if times else None,
        counters=table,
        missing=[name for name in wanted if name not in shown],
    )


def counter_row(name: str, unit: str, values: Sequence[int]) -> Counter:
    """A counter's row from its samples, oldest first; percentages are made of hundredths."""
    scale = 100 if unit == HUNDREDTHS else 1
    return Counter(
        counter=name,
        unit=unit,
        minimum=round(min(values) / scale, 2),
        average=round(sum(values) / len(values) / scale, 2),
        maximum=round(max(values) / scale, 2),
        latest=round(values[-1] / scale, 2),
    )


def _in_time_order(infos: Sequence[Any]) -> list[int]:
    return sorted(range(len(infos)), key=lambda index: infos[index].timestamp)


def _counters(vc: "Vc") -> dict[str, tuple[int, str]]:
    """The numbers and units of all counters by name, read once in a session."""
    with vc.session.lock:
        if vc.session.counters:
            return vc.session.counters
    manager = vc.content.perfManager
    values = vc.leaves("PerformanceManager", manager._moId, ("perfCounter",))
    found = {
        f"{each.groupInfo.key}.{each.nameInfo.key}.{each.rollupType}": (
            each.key,
            str(each.unitInfo.key),
        )
        for each in values.get("perfCounter") or ()
    }
    with vc.session.lock:
        vc.session.counters.update(found)
    return found
