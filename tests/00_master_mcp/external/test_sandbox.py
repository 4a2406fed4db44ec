"""What a server can reach of this machine, tried from inside, and what is said of that."""

import asyncio
import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest

from flotilla import NotConfigured
from flotilla.leftovers import MARK
from master.external.cgroup import find_cgroups
from master.external.prepare import FIRST_UID, make_home, unusable
from master.external.programs import find_program, needed_by
from master.external.sandbox import HOME, Means, Wish, seal
from master.external.survey import survey
from tests.processes import runs

if TYPE_CHECKING:
    from conftest import Den

pytestmark = pytest.mark.anyio
mostly_boxed = pytest.mark.parametrize(
    "den", [pytest.param("bare", marks=pytest.mark.real), "boxed"], indirect=True
)
"""What takes seconds: the short run tries it as most machines have it."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as another user")

LOOK = """
    import json, os, sys
    def tried(action):
        try:
            return action()
        except OSError as error:
            return type(error).__name__
    def read(path):
        return tried(lambda: open(path).read())
    def write(path):
        return tried(lambda: open(path, "w").write("mine"))
    def status():
        lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
        return {key: lines[key].strip() for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    def connect(port):
        import socket
        with socket.socket() as probe:
            probe.settimeout(3)
            probe.connect(("127.0.0.1", port))
            return "connected"
    asked = json.loads(sys.argv[1])
    print(json.dumps({
        "env": dict(os.environ), "cwd": os.getcwd(), "uid": os.getuid(), "groups": os.getgroups(),
        "status": status(), "processes": [each for each in os.listdir("/proc") if each.isdigit()],
        "root": sorted(os.listdir("/")), "umask": os.umask(0o77),
        "fds": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1],
        "read": {path: read(path) for path in asked.get("read", [])},
        "list": {path: tried(lambda: os.listdir(path)) for path in asked.get("list", [])},
        "write": {path: write(path) for path in asked.get("write", [])},
        "connect": {port: tried(lambda: connect(port)) for port in asked.get("connect", [])},
        "home": write(os.environ["HOME"] + "/a"), "tmp": write(os.environ["TMPDIR"] + "/a"),
    }), flush=True)
"""


async def looked(den: "Den", asked: Any, **entry: Any) -> dict[str, Any]:
    sealed = den.sealed(LOOK, json.dumps(asked), **entry)
    async with den.running(sealed) as child:
        with anyio.fail_after(20):
            lines = [line async for line in child.lines()]
            ended = await child.end()
    assert ended.code == 0, ended.reason
    return json.loads(lines[0])


async def test_nothing_of_the_fleets_environment_goes_through(den: "Den") -> None:
    found = await looked(den, {}, env={"OWN": "given ${home}"})
    env = found["env"]
    assert env.pop("OWN") == f"given {env['HOME']}"
    assert len(env.pop(MARK)) == 32
    env.pop("LC_CTYPE", None)  # Python's own doing
    assert set(env) == {"PATH", "LANG", "HOME", "TMPDIR", "NODE_OPTIONS"}
    assert "never-to-be-seen" not in json.dumps(found)


async def test_its_home_and_temporary_folder_are_its_own_and_it_has_no_rights(den: "Den") -> None:
    found = await looked(den, {})
    assert (found["home"], found["tmp"], found["umask"]) == (4, 4, 0o77)
    assert found["status"]["CapEff"] == "0000000000000000"
    assert found["status"]["NoNewPrivs"] == "1"
    assert found["fds"] == [0, 1, 2], "it holds no descriptor of ours"
    home = den.folder / "external" / "toy" / "home"
    assert (home / "a").read_text() == "mine"
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
async def test_started_by_root_it_is_a_user_of_its_own(den: "Den") -> None:
    found = await looked(den, {"read": ["/etc/shadow"]})
    assert found["uid"] >= FIRST_UID
    assert found["groups"] == []
    assert found["read"]["/etc/shadow"] == "PermissionError"
    assert found["status"]["CapBnd"] == "0000000000000000"


async def test_the_sandbox_hides_what_is_not_the_servers_business(
    boxed: "Den", tmp_path: Path
) -> None:
    secret = tmp_path / "beside" / "secret"
    secret.parent.mkdir()
    secret.write_text("canary")
    secret.chmod(0o644)
    hidden = [str(secret), "/run/docker.sock", "/var/run/docker.sock", "/etc/nothing"]
    found = await looked(
        boxed,
        {
            "read": hidden,
            "list": ["/root", "/home", "/srv", "/var", "/sys", str(Path.home())],
            "write": ["/usr/a", "/etc/a", "/a", "/.flotilla/inside.py"],
        },
    )
    assert set(found["read"].values()) == {"FileNotFoundError"}
    for path, seen in found["list"].items():
        # A folder above the interpreter may be there; then the interpreter is all that is in it.
        assert seen in ("FileNotFoundError", ["tmp"]) or len(seen) <= 1, path
    assert set(found["write"].values()) <= {"OSError", "PermissionError"}
    assert set(found["processes"]) == {"1", "2"}, "no other process is seen"


async def test_the_sandbox_has_no_network_unless_the_entry_has_it(boxed: "Den") -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        without = await looked(boxed, {"connect": [port]})
        assert without["connect"][str(port)] == "ConnectionRefusedError"
        assert boxed.sealed(LOOK, "{}").protection.network == "none"
        within = await looked(boxed, {"connect": [port]}, network=True)
        assert within["connect"][str(port)] == "connected"


async def test_folders_that_the_entry_names_are_readable_or_writable(
    boxed: "Den", tmp_path: Path
) -> None:
    readable, writable, inner = tmp_path / "r", tmp_path / "w", tmp_path / "r" / "inner"
    for folder in (readable, writable, inner):
        folder.mkdir()
        (folder / "file").write_text("content")
        (folder / "file").chmod(0o666)
        folder.chmod(0o777)
    files = [str(folder / "file") for folder in (readable, writable, inner)]
    found = await looked(
        boxed,
        {"read": files, "write": files},
        readable=[str(readable)],
        writable=[str(writable), str(inner)],
        cwd=str(writable),
    )
    assert set(found["read"].values()) == {"content"}
    assert found["cwd"] == str(writable)
    assert found["write"] == dict(zip(files, ["OSError", 4, 4], strict=True))


async def test_the_fleets_own_stays_hidden_within_a_folder_that_is_shown(
    boxed: "Den", tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    for name in ("data", "src"):
        (fleet / name).mkdir(parents=True)
        (fleet / name / "file").write_text("canary")
    (fleet / ".env").write_text("canary")
    paths = [str(fleet / each) for each in ("data/file", ".env", "src/file")]
    found = await looked(
        boxed,
        {"read": paths, "write": [str(fleet / "data" / "new")]},
        readable=[str(fleet)],
        hidden=[fleet / "data", fleet / ".env", fleet / "none"],
    )
    data, env, source = (found["read"][path] for path in paths)
    assert (data, source) == ("FileNotFoundError", "canary")
    assert env in ("", "PermissionError")
    assert set(found["write"].values()) <= {"OSError", "PermissionError"}


@pytest.mark.parametrize("member", ["readable", "writable"])
@pytest.mark.parametrize("way", ["data", "data/inner", "link"])
def test_a_server_cannot_be_given_what_is_the_fleets(
    bare: "Den", tmp_path: Path, member: str, way: str
) -> None:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data" / "inner")
    with pytest.raises(NotConfigured, match="belongs to the fleet"):
        bare.sealed("", hidden=[tmp_path / "data"], **{member: [str(tmp_path / way)]})


@pytest.mark.parametrize("path", ["/", "/proc", "/dev", "/sys/fs"])
def test_a_server_cannot_be_given_the_machine_itself(bare: "Den", path: str) -> None:
    with pytest.raises(NotConfigured, match="is the machine itself"):
        bare.sealed("", readable=[path])


async def test_secrets_stand_on_no_command_line_and_in_no_environment_of_the_sandbox(
    boxed: "Den",
) -> None:
    sealed = boxed.sealed(LOOK, "{}", env={"KEY": "canary-4711", "LD_PRELOAD": "/tmp/evil.so"})
    assert "canary-4711" not in " ".join(sealed.argv) + repr(sealed)
    async with boxed.running(sealed) as child:
        environ = Path(f"/proc/{child.pid}/environ").read_bytes()
        assert environ.split(b"=")[0] == MARK.encode()
        assert environ.count(b"\0") == 1


async def test_memory_is_capped_for_each_process_where_there_are_no_groups(den: "Den") -> None:
    greedy = """
        taken = []
        for _ in range(40):
            taken.append(bytearray(10_000_000))
        print("took it", flush=True)
    """
    async with den.running(den.sealed(greedy, memoryMb=200)) as child:
        with anyio.fail_after(20):
            ended = await child.wait()
            ended = await child.end()
    assert (ended.code, ended.last_words.split(" | ")[-1]) == (1, "MemoryError")
    assert "for each process" in child.protection.memory


@mostly_boxed
async def test_memory_is_capped_for_all_processes_where_groups_can_be_made(
    den: "Den", tmp_path: Path
) -> None:
    den.cgroups = find_cgroups(tmp_path)
    if den.cgroups is None:
        pytest.skip("no control group with memory can be made here")
    greedy = """
        import subprocess, sys, time
        code = "taken = bytearray(b'x') * 120_000_000; print('took it', flush=True); input()"
        held = []
        for _ in range(int(sys.argv[1])):
            held.append(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE))
            held[-1].stdout.readline()
        for _ in range(50):
            if any(each.poll() for each in held):
                break
            time.sleep(0.02)
        print([each.poll() for each in held], flush=True)
    """
    for children, ended in ((2, b"[None, None]"), (3, b"-9")):
        async with den.running(den.sealed(greedy, str(children), memoryMb=320)) as child:
            with anyio.fail_after(30):
                assert ended in await anext(child.lines())
    assert "for all its processes" in child.protection.memory
    assert not den.cgroups.folder.exists()


async def test_a_group_holds_whoever_left_everything_else_behind(
    bare: "Den", tmp_path: Path
) -> None:
    bare.cgroups = find_cgroups(tmp_path)
    if bare.cgroups is None:
        pytest.skip("no control group with memory can be made here")
    script = """
        import subprocess, sys
        hidden = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                  start_new_session=True, env={}, stdout=subprocess.DEVNULL)
        print(hidden.pid, flush=True)
        sys.stdin.read()
    """
    async with bare.running(bare.sealed(script)) as child:
        with anyio.fail_after(20):
            hidden = psutil.Process(int(await anext(child.lines())))
            # The tether dies first, as when memory runs out; nobody else knows of the hidden one.
            os.kill(child.pid, 9)
            await child.wait()
        assert hidden.is_running()
        another = await asyncio.to_thread(find_cgroups, tmp_path / "another")
        assert another is not None
        another.settle()
        assert hidden.is_running(), "it is not another hub's to end"
        bare.cgroups.settle()
        with anyio.fail_after(5):
            while runs(hidden):
                await anyio.sleep(0.01)


def test_a_group_of_version_2_is_written_as_the_kernel_reads_it(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    found = find_cgroups(tmp_path / "owner", mount=tmp_path)
    assert found is not None
    assert found.version == 2
    procs = Path(found.make("git", 1024))
    assert procs == found.folder / "git" / "cgroup.procs"
    for folder in (tmp_path, found.folder):
        assert (folder / "cgroup.subtree_control").read_text() == "+memory"
    assert (procs.parent / "memory.max").read_text() == "1024"
    assert (procs.parent / "memory.oom.group").read_text() == "1"
    assert find_cgroups(tmp_path, mount=tmp_path / "none") is None


def test_what_is_weaker_without_the_sandbox_is_said(bare: "Den") -> None:
    told = bare.sealed("").protection
    assert told.sandbox == "none"
    assert told.weaker[:2] == (
        "no sandbox: bubblewrap is not installed",
        "it can reach the network, which only a sandbox prevents",
    )


MEANS = Means("/usr/bin/python3", (), "/a/inside.py", is_root=False, bwrap="/usr/bin/bwrap")


def test_full_protection_has_nothing_weaker_to_say() -> None:
    means = replace(MEANS, cgroup=True)
    told = seal(Wish("a", "/usr/bin/a", home="/h", uid=None), means, "m").protection
    assert told.weaker == ()
    named = seal(Wish("a", "/usr/bin/a", home="/h", network=("a.example",)), means, "m").protection
    assert named.network == ("all, this machine's own ports included (meant for a.example)")
    assert named.weaker == ("it can reach every host: the sandbox does not tell them apart",)


def test_a_plain_users_sandbox_has_a_user_namespace_and_may_make_no_further_ones() -> None:
    argv = seal(Wish("a", "/usr/bin/a"), replace(MEANS, modern_bwrap=True), "m").argv
    assert {"--unshare-user", "--disable-userns", "--unshare-net", "--die-with-parent"} <= set(argv)
    rooted = replace(MEANS, is_root=True, modern_bwrap=True)
    assert "--unshare-user" not in seal(Wish("a", "/usr/bin/a", uid=65_000), rooted, "m").argv


@as_root
def test_each_server_keeps_a_user_that_no_other_has(tmp_path: Path) -> None:
    uids = [make_home(tmp_path, name, is_root=True)[1] for name in ("a", "b", "a", "c")]
    assert uids == [FIRST_UID, FIRST_UID + 1, FIRST_UID, FIRST_UID + 2]


def test_a_folder_that_its_user_cannot_write_is_named_with_the_remedy(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    wish = Wish("a", "/usr/bin/a", uid=FIRST_UID, writable=(str(tmp_path),))
    (told,) = unusable(wish)
    assert f"setfacl -R -m u:{FIRST_UID}:rwX" in told
    tmp_path.chmod(0o777)
    assert unusable(wish) == []


def test_a_program_that_is_missing_is_named_with_what_to_install() -> None:
    with pytest.raises(NotConfigured, match="there is no program 'npx'") as caught:
        find_program("npx", "/nonexistent")
    assert "Install Node.js" in str(caught.value.hint)


@pytest.mark.parametrize("command", ["docker", "/usr/local/bin/docker", "podman"])
def test_a_container_would_outlive_the_hub_and_is_refused(command: str) -> None:
    with pytest.raises(NotConfigured, match="out of the fleet's reach"):
        find_program(command, "/usr/local/bin:/usr/bin")


def test_an_installation_of_its_own_is_shown_whole_and_a_lone_program_alone(
    tmp_path: Path,
) -> None:
    venv, lone = tmp_path / "venv", tmp_path / ".local"
    for folder in (venv, lone):
        (folder / "bin").mkdir(parents=True)
        (folder / "lib" / "node_modules").mkdir(parents=True)
    for program in (venv / "bin" / "tool", lone / "bin" / "uvx", lone / "bin" / "uv"):
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    assert needed_by(str(venv / "bin" / "tool")) == (str(venv),)
    assert needed_by(str(lone / "bin" / "uvx")) == (
        str(lone / "bin" / "uvx"),
        str(lone / "bin" / "uv"),
    )
    assert needed_by("/usr/bin/env") == ()


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="this is no virtual environment")
async def test_a_server_in_a_virtual_environment_runs_in_the_sandbox(boxed: "Den") -> None:
    command = ("-c", "import anyio, sys; print(sys.prefix)")
    async with boxed.running(boxed.sealed_command(sys.executable, *command)) as child:
        with anyio.fail_after(20):
            assert await anext(child.lines()) == sys.prefix.encode()


def test_a_machine_whose_bubblewrap_fails_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    found = survey(cgroup=False, bwrap=str(broken))
    assert found.bwrap is None
    assert found.why_no_bwrap.endswith("here: No permissions to create new namespace")


def test_the_home_in_the_sandbox_is_where_no_entry_reaches() -> None:
    with pytest.raises(NotConfigured):
        seal(Wish("a", "/usr/bin/a", writable=(HOME,)), MEANS, "m")
