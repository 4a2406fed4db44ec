"""One pod in short: what each container does, and why it does not. Pure."""

from flotilla.model import Model
from k8s.events import EventEntry
from k8s.hiding import HIDDEN, is_secret_literal, without_encoded_keys
from k8s.objects import Object, members, number, objects, text

MAX_VARIABLES = 100


class ContainerState(Model):
    """`waiting`, `running` or `terminated`, with what the kubelet says of it."""

    state: str
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: str | None = None
    finished_at: str | None = None


class ContainerDetail(Model):
    """A container. `env` are variables given as text, those that look like secrets hidden;
    `env_from` says where others come from."""

    name: str
    image: str
    init: bool = False
    ready: bool
    restarts: int
    now: ContainerState | None = None
    before: ContainerState | None = None
    """Its last run, where it was started anew."""
    requests: dict[str, str]
    limits: dict[str, str]
    ports: list[str]
    env: dict[str, str]
    env_from: list[str]


class PodCondition(Model):
    """A condition that does not hold, or says why."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class PodDetail(Model):
    """A pod; `events` are the last ten of it, left out where the account may not read them."""

    namespace: str
    name: str
    uid: str
    phase: str
    reason: str | None = None
    message: str | None = None
    node: str | None = None
    ip: str | None = None
    created_at: str | None = None
    deleted_at: str | None = None
    owner: str | None = None
    service_account: str | None = None
    qos_class: str | None = None
    labels: dict[str, str]
    containers: list[ContainerDetail]
    conditions: list[PodCondition]
    volumes: list[str]
    events: list[EventEntry] | None = None


def detail_of(pod: Object, events: list[EventEntry] | None) -> PodDetail:
    meta, spec, status = (members(pod, part) for part in ("metadata", "spec", "status"))
    owners = objects(meta.get("ownerReferences"))
    containers = [
        *(_container(each, status, init=True) for each in objects(spec.get("initContainers"))),
        *(_container(each, status, init=False) for each in objects(spec.get("containers"))),
    ]
    return PodDetail(
        namespace=text(meta.get("namespace")),
        name=text(meta.get("name")),
        uid=text(meta.get("uid")),
        phase=text(status.get("phase")),
        reason=text(status.get("reason")) or None,
        message=text(status.get("message")) or None,
        node=text(spec.get("nodeName")) or None,
        ip=text(status.get("podIP")) or None,
        created_at=text(meta.get("creationTimestamp")) or None,
        deleted_at=text(meta.get("deletionTimestamp")) or None,
        owner=f"{text(owners[0].get('kind'))}/{text(owners[0].get('name'))}" if owners else None,
        service_account=text(spec.get("serviceAccountName")) or None,
        qos_class=text(status.get("qosClass")) or None,
        labels={key: text(value) for key, value in members(meta, "labels").items()},
        containers=containers,
        conditions=conditions_of(status),
        volumes=[_volume(each) for each in objects(spec.get("volumes"))],
        events=events,
    )


def conditions_of(status: Object) -> list[PodCondition]:
    """Those that do not hold or have something to say."""
    return [
        PodCondition(
            type=text(each.get("type")),
            status=text(each.get("status")),
            reason=text(each.get("reason")) or None,
            message=text(each.get("message"))[:600] or None,
        )
        for each in objects(status.get("conditions"))
        if each.get("status") != "True" or each.get("message")
    ]


def problems_of(pod: Object) -> list[tuple[str, str, str]]:
    """Why a pod is not ready: container (or empty), reason, message. Pure."""
    status = members(pod, "status")
    found: list[tuple[str, str, str]] = []
    for key in ("initContainerStatuses", "containerStatuses"):
        for each in objects(status.get(key)):
            if each.get("ready") is True:
                continue
            waiting = members(each, "state", "waiting")
            ended = members(each, "state", "terminated") or members(each, "lastState", "terminated")
            told = waiting if text(waiting.get("reason")) else ended
            reason = text(told.get("reason"))
            if reason and reason not in ("Completed", "PodInitializing", "ContainerCreating"):
                message = text(told.get("message")) or (
                    f"exit code {number(ended.get('exitCode'))}" if ended else ""
                )
                found.append((text(each.get("name")), reason, message[:300]))
    if not found:
        found.extend(
            ("", text(each["reason"]), text(each["message"])[:300])
            for each in objects(status.get("conditions"))
            if each.get("status") == "False" and each.get("reason") and each.get("message")
        )
    return found


def _container(container: Object, status: Object, *, init: bool) -> ContainerDetail:
    key = "initContainerStatuses" if init else "containerStatuses"
    name = text(container.get("name"))
    states = {text(each.get("name")): each for each in objects(status.get(key))}
    state = states.get(name, {})
    resources = members(container, "resources")
    return ContainerDetail(
        name=name,
        image=text(container.get("image")),
        init=init,
        ready=state.get("ready") is True,
        restarts=number(state.get("restartCount")),
        now=_state(members(state, "state")),
        before=_state(members(state, "lastState")),
        requests={k: text(v) for k, v in members(resources, "requests").items()},
        limits={k: text(v) for k, v in members(resources, "limits").items()},
        ports=[
            f"{number(each.get('containerPort'))}/{text(each.get('protocol')) or 'TCP'}"
            for each in objects(container.get("ports"))
        ],
        env=_literals(container),
        env_from=_sources(container),
    )


def _state(state: Object) -> ContainerState | None:
    for name in ("waiting", "running", "terminated"):
        if name in state:
            told = members(state, name)
            ended = name == "terminated"
            return ContainerState(
                state=name,
                reason=text(told.get("reason")) or None,
                message=text(told.get("message"))[:600] or None,
                exit_code=number(told.get("exitCode")) if ended else None,
                signal=number(told.get("signal")) or None,
                started_at=text(told.get("startedAt")) or None,
                finished_at=text(told.get("finishedAt")) or None,
            )
    return None


def _literals(container: Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in objects(container.get("env"))[:MAX_VARIABLES]:
        name, value = text(each.get("name")), each.get("value")
        if isinstance(value, str):
            kept = HIDDEN if is_secret_literal(name, value) else without_encoded_keys(value)
            found[name] = kept[:200]
    return found


def _sources(container: Object) -> list[str]:
    found: list[str] = []
    for each in objects(container.get("env"))[:MAX_VARIABLES]:
        for kind, told in members(each, "valueFrom").items():
            where = text(members(told).get("name") or members(told).get("fieldPath"))
            key = text(members(told).get("key"))
            found.append(f"{text(each.get('name'))} from {kind} {where} {key}".rstrip())
    for each in objects(container.get("envFrom")):
        found += [f"all of {kind} {text(members(told).get('name'))}" for kind, told in each.items()]
    return found


def _volume(volume: Object) -> str:
    kinds = [key for key in volume if key != "name"]
    kind = kinds[0] if kinds else ""
    told = members(volume, kind)
    where = told.get("claimName") or told.get("secretName") or told.get("name") or told.get("path")
    shown = f"{text(volume.get('name'))}: {kind} {text(where)}".rstrip()
    return shown if len(kinds) <= 1 else f"{shown} ..."
