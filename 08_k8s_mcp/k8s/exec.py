"""Running a program in a container of a pod: argv, no terminal, everything bounded.

Source: Kubernetes, "WebSocket streaming" (channels v4 and v5): each message begins with the number
of its channel; v5 adds a message that closes one.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlencode

import orjson
from pydantic import Field

from flotilla import (
    Conflict,
    Context,
    Deadline,
    FlotillaError,
    InvalidArgument,
    NotFound,
    Unavailable,
    UpstreamError,
    cut,
)
from flotilla.model import Model
from flotilla.tool import Preview, Tool, writes
from k8s.answers import upstream_status
from k8s.clusters import Clusters
from k8s.objects import Object, members, objects, text
from k8s.parameters import ClusterName, Namespace, ObjectName
from k8s.targets import Target, Uid, expect_uid, target_of, uid_of

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

PREVIEW = "preview.execInPod"
V4: Final = "v4.channel.k8s.io"
V5: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"

MAX_STDIN_BYTES: Final = 64 * 1024
MAX_SHOWN_BYTES: Final = 24 * 1024
MAX_STDERR_BYTES: Final = 8 * 1024
MAX_READ_BYTES: Final = 8 * 1024 * 1024
"""A program that never stops printing is left after this much."""
MAX_ERROR_BYTES: Final = 64 * 1024
SPARE_S: Final = 1.0
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
HANG_UP_S: Final = 0.3

Argument = Annotated[str, Field(max_length=32 * 1024)]
Command = Annotated[
    list[Argument],
    Field(
        min_length=1,
        max_length=256,
        description='The program and its arguments, such as ["ls", "-l", "/data"]; no shell reads '
        "them.",
    ),
]
ContainerName = Annotated[
    str | None, Field(max_length=63, description="Left out: the pod's default or only container.")
]
Stdin = Annotated[
    str | None,
    Field(max_length=MAX_STDIN_BYTES, description="What the program reads, up to 64 KB."),
]
TimeoutS = Annotated[int, Field(ge=1, le=600, description="When to stop listening to it.")]

Ended = Literal["exited", "timed_out", "too_much_output"]


class Ran(Model):
    """What a program printed, and how it ended."""

    cluster: str
    namespace: str
    pod: str
    uid: str
    container: str
    ended: Ended
    exit_code: int | None = None
    """None where it was left: it may go on in the container."""
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    note: str | None = None


class Exec:
    """Runs programs in pods."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        taken = ("name", "namespace", "cluster", "container", "command", "uid")
        return (
            writes(
                "infra.k8s.execInPod",
                self.exec_in_pod,
                title="Run a program in a pod",
                open_world=True,
                approval=True,
                long=True,
                untrusted=True,
                preview=Preview(operation=PREVIEW, taken={name: name for name in taken}),
                risk="it may do in the container, and with its service account, whatever it likes",
            ),
        )

    async def exec_in_pod(
        self,
        context: Context,
        name: ObjectName,
        command: Command,
        namespace: Namespace = None,
        cluster: ClusterName = None,
        container: ContainerName = None,
        uid: Uid = None,
        stdin: Stdin = None,
        timeout_s: TimeoutS = 30,
    ) -> Ran:
        """Run a program in a container of a running pod and return what it prints.

        argv only: for pipes pass ["sh", "-c", "..."] where the image has a shell. There is no
        terminal, so interactive programs are of no use. 24 KB of stdout and 8 KB of stderr are
        shown. At `timeoutS` the connection is cut, and the program may go on in the container.
        """
        if stdin is not None and len(stdin.encode()) > MAX_STDIN_BYTES:
            raise InvalidArgument(f"stdin is over {MAX_STDIN_BYTES} bytes")
        target, pod, chosen = await self.chosen(
            context.deadline, name, namespace, cluster, container, uid
        )
        heard = _Heard()
        # With a spare second, so that what it printed until then still comes to the caller.
        due = Deadline(context.deadline.at - SPARE_S).no_later_than(timeout_s)
        await self._run(target, chosen, command, stdin, (due, context.deadline), heard)
        return _ran(target, pod, chosen, heard)

    async def chosen(
        self,
        due: Deadline,
        name: str,
        namespace: str | None,
        cluster: str | None,
        container: str | None,
        uid: str | None,
    ) -> tuple[Target, Object, str]:
        """The pod and the container. Raises Conflict where it does not run."""
        target = await target_of(self._clusters, cluster, "pods", name, namespace, due)
        pod = await target.live(due)
        expect_uid(target, pod, uid)
        phase = text(members(pod, "status").get("phase"))
        if phase != "Running":
            raise Conflict(
                f"{target} does not run: it is {phase or 'not started'}",
                details={"reason": "not_running"},
            )
        return target, pod, container_of(target, pod, container)

    async def _run(
        self,
        target: Target,
        container: str,
        command: list[str],
        stdin: str | None,
        dues: tuple[Deadline, Deadline],
        heard: "_Heard",
    ) -> None:
        """Listen until the first of `dues`; all of it is over by the second."""
        # Only v5 can tell a program that its input has ended; without that it would wait for more.
        protocols = (V5,) if stdin is not None else (V5, V4)
        opened = False
        try:
            async with target.cluster.websocket(
                target.path("exec"),
                due=dues[1],
                query=_query(container, command, stdin),
                protocols=protocols,
            ) as socket:
                opened = True
                if socket.protocol not in protocols:
                    raise UpstreamError(f"cluster {target.cluster.alias} speaks no {protocols[0]}")
                try:
                    async with asyncio.timeout(dues[0].remaining_s()):
                        if stdin is not None:
                            await _say(socket, stdin)
                        await _listen(socket, heard)
                except TimeoutError:
                    heard.ended = "timed_out"
                finally:
                    await _hang_up(socket)
        except Unavailable as error:
            if opened and not heard.over:
                error.message += "; whether the program has ended is not known"
            raise
        except FlotillaError as error:
            if stdin is not None and upstream_status(error) in (400, 403, 500):
                error.hint = "A server before 1.30 cannot end the input; leave `stdin` out."
            raise
        if heard.ended == "exited" and not heard.over:
            raise Unavailable(
                f"the connection to {target} ended before the program's exit code came",
                hint="Whether it has ended is not known; look before you run it again.",
                details={"uncertain": True},
            )


@dataclass
class _Kept:
    """The start of a stream; the rest is counted and forgotten."""

    most: int
    parts: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, raw: bytes) -> None:
        self.size += len(raw)
        self.parts += raw[: max(0, self.most - len(self.parts))]

    @property
    def truncated(self) -> bool:
        return self.size > len(self.parts)

    def text(self) -> str:
        # What is cut in the middle of a character is no mistake of the program. Control characters
        # would take six bytes each in JSON.
        told = self.parts.decode("utf-8", "ignore" if self.truncated else "replace")
        return cut(_CONTROL.sub("?", told), self.most)[0]


@dataclass
class _Heard:
    """What came of a program so far."""

    stdout: _Kept = field(default_factory=lambda: _Kept(MAX_SHOWN_BYTES))
    stderr: _Kept = field(default_factory=lambda: _Kept(MAX_STDERR_BYTES))
    status: _Kept = field(default_factory=lambda: _Kept(MAX_ERROR_BYTES))
    ended: Ended = "exited"

    @property
    def over(self) -> bool:
        """Whether the server has said how it ended."""
        return self.status.size > 0

    def take(self, message: bytes) -> None:
        channel, raw = message[0], message[1:]
        kept = {STDOUT: self.stdout, STDERR: self.stderr, ERROR: self.status}.get(channel)
        if kept is not None:
            kept.add(raw)

    @property
    def floods(self) -> bool:
        return self.stdout.size + self.stderr.size > MAX_READ_BYTES


def _query(container: str, command: list[str], stdin: str | None) -> str:
    return urlencode(
        [
            *(("command", each) for each in command),
            ("container", container),
            ("stdin", "true" if stdin is not None else "false"),
            ("stdout", "true"),
            ("stderr", "true"),
            ("tty", "false"),
        ]
    )


async def _say(socket: "ClientWebSocketResponse", stdin: str) -> None:
    raw = stdin.encode()
    for start in range(0, len(raw), 16 * 1024):
        await socket.send_bytes(bytes([STDIN]) + raw[start : start + 16 * 1024])
    await socket.send_bytes(bytes([CLOSE, STDIN]))


async def _hang_up(socket: "ClientWebSocketResponse") -> None:
    """Close it. A program that goes on printing would keep the closing from ever ending."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_S):
            await socket.close()


async def _listen(socket: "ClientWebSocketResponse", heard: _Heard) -> None:
    from aiohttp import WSMsgType

    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data:
            heard.take(message.data)
        elif message.type is WSMsgType.TEXT and message.data:
            heard.take(message.data.encode())
        if heard.floods:
            heard.ended = "too_much_output"
            return
        if heard.over:
            return
        await asyncio.sleep(0)  # one that floods us must not hold up the others


def container_of(target: Target, pod: Object, wanted: str | None) -> str:
    """The container that is meant. Raises NotFound, or InvalidArgument where none is said."""
    spec = members(pod, "spec")
    known = [
        text(each.get("name"))
        for part in ("containers", "initContainers", "ephemeralContainers")
        for each in objects(spec.get(part))
    ]
    if wanted is not None:
        if wanted not in known:
            raise NotFound(
                f"{target} has no container {wanted!r}", hint=f"There are: {', '.join(known)}."
            )
        return wanted
    usual = text(members(pod, "metadata", "annotations").get(DEFAULT_CONTAINER))
    if usual in known:
        return usual
    regular = [text(each.get("name")) for each in objects(spec.get("containers"))]
    if len(regular) != 1:
        raise InvalidArgument(
            f"{target} has several containers",
            hint=f"Pass `container`, one of: {', '.join(regular)}.",
        )
    return regular[0]


def exit_code_of(raw: bytes) -> int:
    """The exit code that the last message tells. Raises UpstreamError where it did not start."""
    try:
        told: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        told = {}
    if members(told).get("status") == "Success":
        return 0
    if members(told).get("reason") == "NonZeroExitCode":
        for cause in objects(members(told, "details").get("causes")):
            code = text(cause.get("message"))
            if cause.get("reason") == "ExitCode" and code.lstrip("-").isdigit():
                return int(code)
    message = text(members(told).get("message"))[:1000] or "no reason was given"
    raise UpstreamError(
        f"the program did not start: {message}",
        hint="Look whether the image has it, and where.",
        details={"reason": "not_started"},
    )


def _ran(target: Target, pod: Object, container: str, heard: _Heard) -> Ran:
    notes = {
        "exited": None,
        "timed_out": "It did not end in time; the connection was cut, and it may go on.",
        "too_much_output": "It printed too much; the connection was cut, and it may go on.",
    }
    return Ran(
        cluster=target.cluster.alias,
        namespace=target.namespace or "",
        pod=target.name,
        uid=uid_of(pod),
        container=container,
        ended=heard.ended,
        exit_code=exit_code_of(bytes(heard.status.parts)) if heard.ended == "exited" else None,
        stdout=heard.stdout.text(),
        stderr=heard.stderr.text(),
        stdout_truncated=heard.stdout.truncated,
        stderr_truncated=heard.stderr.truncated,
        note=notes[heard.ended],
    )
