"""Running programs in pods: what they print, how they end, and when they do not."""

import asyncio
from typing import Any

import pytest

from k8s.exec import MAX_SHOWN_BYTES
from tests.backends.kube.bare import StartBare
from tests.backends.kube.bare import authority as authority
from tests.backends.kube.bare import start_bare as start_bare
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.kube.things import pod
from tests.backends.kube.writing import V4, V5, Out, Writes

pytestmark = pytest.mark.anyio


async def echo(argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(1, " ".join(argv[1:]).encode())
    await out(2, b"done")
    return 0


async def cat(_argv: list[str], stdin: bytes, out: Out) -> int:
    await out(1, stdin)
    return 0


async def fails(_argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(2, b"no such thing")
    return 7


async def floods(_argv: list[str], _stdin: bytes, out: Out) -> int:
    try:
        while True:
            await out(1, b"y\n" * 32_000)
            # A connection that is lost only shows to whoever lets the loop go on.
            await asyncio.sleep(0)
    except ConnectionError:
        return -1


async def sleeps(_argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(1, b"so far")
    await asyncio.sleep(60)
    return 0


async def chats(_argv: list[str], _stdin: bytes, out: Out) -> int:
    try:
        while True:
            await out(1, b"tick\n")
            await asyncio.sleep(0.05)
    except ConnectionError:
        return -1


async def beeps(_argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(1, b"\0\x07\x1b[31mred" + b"\0" * 40_000)
    return 0


async def vanishes(_argv: list[str], _stdin: bytes, out: Out) -> int:
    await out(1, b"half")
    return -1


PROGRAMS = (echo, cat, fails, floods, sleeps, chats, beeps, vanishes)


@pytest.fixture
def kube() -> KubeEmulator:
    found = KubeEmulator()
    found.put("Pod", pod("web"))
    return found


@pytest.fixture
def writes(kube: KubeEmulator) -> Writes:
    found = Writes(kube)
    found.run |= {each.__name__: each for each in PROGRAMS}
    return found


@pytest.mark.parametrize("protocols", [(V5, V4), (V4,)])
async def test_a_program_runs_with_its_arguments_as_they_are(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, protocols: tuple[str, ...]
) -> None:
    writes.protocols = protocols
    argv = ["echo", "a b", "$HOME; rm -rf /", "ü&command=x"]
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("execInPod", name="web", command=argv)
        assert writes.ran == []
        done = await k8s("execInPod", name="web", command=argv)
    assert writes.ran == [argv]
    assert done["stdout"] == "a b $HOME; rm -rf / ü&command=x"
    assert done["stderr"] == "done"
    assert (done["exitCode"], done["ended"], done["container"]) == (0, "exited", "app")
    assert "'echo' in container app of Pod default/web" in foreseen.action
    assert foreseen.state["image"] == "registry.test/app:1.2"


async def test_the_exit_code_comes_from_the_server(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        done = await k8s("execInPod", name="web", command=["fails"])
    assert (done["exitCode"], done["stderr"]) == (7, "no such thing")


async def test_a_program_reads_its_input_to_the_end(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        done = await k8s("execInPod", name="web", command=["cat"], stdin="häppy\n" * 5000)
        await k8s.refused(
            "invalid_argument", "execInPod", name="web", command=["cat"], stdin="x" * 100_000
        )
    assert done["stdout"].startswith("häppy\nhäppy")
    assert done["stdoutTruncated"]
    assert len(done["stdout"].encode()) <= MAX_SHOWN_BYTES


async def test_input_needs_a_server_that_can_end_it(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    writes.protocols = (V4,)
    async with start_bare(kube) as k8s:
        error = await k8s.refused(
            "invalid_argument", "execInPod", name="web", command=["cat"], stdin="x"
        )
    assert "stdin" in error["hint"]
    assert writes.ran == []


@pytest.mark.parametrize(("program", "said"), [("sleeps", "so far"), ("chats", "tick\ntick\n")])
async def test_a_program_that_does_not_end_is_left_at_its_time_with_what_it_said(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes, program: str, said: str
) -> None:
    async with start_bare(kube, deadline_s=5) as k8s:
        done = await k8s("execInPod", name="web", command=[program], timeoutS=1)
    assert done["ended"] == "timed_out"
    assert done["stdout"].startswith(said)
    assert "exitCode" not in done
    assert "may go on" in done["note"]


async def test_a_program_that_never_stops_printing_is_left(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        done = await k8s("execInPod", name="web", command=["floods"])
    assert done["ended"] == "too_much_output"
    assert done["stdoutTruncated"]
    assert len(done["stdout"]) == MAX_SHOWN_BYTES


async def test_control_characters_neither_reach_a_terminal_nor_swell_the_answer(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        result = await k8s.raw("execInPod", name="web", command=["beeps"])
    assert result["structuredContent"]["stdout"].startswith("???[31mred?")
    assert len(result["content"][0]["text"]) < 48 * 1024


async def test_a_connection_that_ends_without_an_exit_code_is_no_success(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        error = await k8s.refused("unavailable", "execInPod", name="web", command=["vanishes"])
    assert error["uncertain"] is True


async def test_a_program_that_is_not_there_did_not_start(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    async with start_bare(kube) as k8s:
        error = await k8s.refused("upstream_error", "execInPod", name="web", command=["bash"])
    assert "executable file not found" in error["message"]
    assert error["reason"] == "not_started"


async def test_the_container_is_the_one_that_is_meant(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    several = pod("many")
    several["spec"]["containers"] = [{"name": "one", "image": "x"}, {"name": "two", "image": "x"}]
    kube.put("Pod", several)
    more: dict[str, Any] = {"name": "many", "command": ["echo"]}
    async with start_bare(kube) as k8s:
        error = await k8s.refused("invalid_argument", "execInPod", **more)
        assert "one, two" in error["hint"]
        await k8s.refused("not_found", "execInPod", **more, container="three")
        named = await k8s("execInPod", **more, container="two")
        several["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "one"}
        kube.put("Pod", several)
        usual = await k8s("execInPod", **more)
    assert (named["container"], usual["container"]) == ("two", "one")


async def test_only_a_pod_that_runs_and_was_looked_at_is_entered(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    kube.put("Pod", pod("waits", phase="Pending"))
    async with start_bare(kube) as k8s:
        await k8s.refused("conflict", "execInPod", name="waits", command=["echo"])
        await k8s.refused("conflict", "execInPod", name="web", command=["echo"], uid="another")
        await k8s.refused("not_found", "execInPod", name="none", command=["echo"])
        await k8s.refused(
            "not_allowed", "execInPod", name="web", command=["echo"], cluster="reader"
        )
        await k8s.refused("invalid_argument", "execInPod", name="web", command=[])
    assert writes.ran == []


async def test_a_pod_that_owns_its_node_is_told_before_anything_runs_in_it(
    start_bare: StartBare, kube: KubeEmulator, writes: Writes
) -> None:
    agent = pod("agent", securityContext={"privileged": True})
    kube.put("Pod", agent)
    async with start_bare(kube) as k8s:
        foreseen = await k8s.foreseen("execInPod", name="agent", command=["sh"])
    assert any("privileged" in each for each in foreseen.warnings)
