"""Programs for a caller: runReadOnly and runCommand."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from flotilla import Context, InvalidArgument, Model, NotAllowed, NotFound, Tool, destroys, reads
from linux_cli.host import TRUSTED_FOLDERS, Host, HostName, Hosts, Order, absolute
from linux_cli.programs import Answer, Programs, timeout_within
from linux_cli.readonly import Judged, judge
from linux_cli.readonly.git import ENVIRONMENT, SAFE_OPTIONS, check_config, config_query

Argv = Annotated[
    list[Annotated[str, Field(max_length=128 * 1024)]],
    Field(min_length=1, max_length=1000, description="The program and its arguments; no shell."),
]
Command = Annotated[
    str | None,
    Field(min_length=1, max_length=128 * 1024, description="A command line for /bin/sh."),
]
Folder = Annotated[
    str | None,
    Field(min_length=1, max_length=4096, description="The working directory, an absolute path."),
]
Env = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")],
        Annotated[str, Field(max_length=32 * 1024)],
    ],
    Field(max_length=100, description="Variables on top of PATH, HOME, LANG, TERM and TZ."),
]
Timeout = Annotated[
    float | None,
    Field(gt=0, le=86_400, description="Seconds; by default as long as the call may last."),
]
Stdin = Annotated[
    str | None, Field(max_length=1024 * 1024, description="Given to it; empty without.")
]


class CommandResult(Model):
    """How a program ended. Of each stream, the first 32 KB and the last 16 KB are kept.

    `exitCode` is 128 + the number of `signal` where a signal ended it.
    """

    exit_code: int
    signal: str | None
    stdout: str
    stderr: str
    truncated: bool
    duration_ms: int
    timed_out: bool


class Commands:
    """Runs programs: those that only read at once, any other once a person has agreed."""

    def __init__(
        self, hosts: Hosts, programs: Programs, *, extra_read_only: Collection[str] = ()
    ) -> None:
        self._hosts = hosts
        self._programs = programs
        self._extra = frozenset(extra_read_only)

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.linux.runReadOnly", self.run_read_only, untrusted=True, long=True),
            destroys(
                "os.linux.runCommand", self.run_command, untrusted=True, open_world=True, long=True
            ),
        )

    async def run_read_only(
        self,
        context: Context,
        argv: Argv,
        host: HostName = "local",
        cwd: Folder = None,
        timeout_s: Timeout = None,
    ) -> CommandResult:
        """Run a program that only reads, such as ls, grep, find, git log, ps, df or journalctl.

        Program and options must be known to change nothing; no shell, so no pipes, globs or
        variables. Long options are written out in full, values that start with a minus attached
        (`-e-x`). `not_allowed` says which word was refused; runCommand takes any, with approval.
        """
        judged = judge(argv, self._extra)
        machine = self._hosts.find(host)
        found = await machine.find_program(judged.program, TRUSTED_FOLDERS)
        if found is None:
            raise _not_there(judged.program, host)
        folder = "/" if cwd is None else absolute(cwd)
        await machine.check_readable([folder, *judged.words], folder, enters=judged.enters)
        if judged.follows and not machine.confines:
            raise NotAllowed(
                "links in folders below are not followed here",
                hint="Leave that option out; the kernel of this host cannot confine programs.",
            )
        if judged.asks_git:
            limit_s = timeout_within(context, timeout_s)
            await self._check_git(machine, judged, found, folder, limit_s)
        order = Order(
            argv=(found, *judged.arguments),
            timeout_s=timeout_within(context, timeout_s),
            cwd=folder,
            env=judged.env,
            confined=True,
        )
        return _result(await self._programs.run(machine, order))

    async def run_command(
        self,
        context: Context,
        command: Command = None,
        argv: Annotated[list[str] | None, Field(min_length=1, max_length=1000)] = None,
        host: HostName = "local",
        cwd: Folder = None,
        env: Env | None = None,
        timeout_s: Timeout = None,
        stdin: Stdin = None,
    ) -> CommandResult:
        """Run any command: either `command`, a line for /bin/sh, or `argv`, a program as it is.

        Not interactive. At the timeout everything it started is ended and what it wrote so far is
        returned with `timedOut`. Processes left in its process group end with it; for work that
        outlasts the call use startJob.
        """
        order = Order(
            argv=chosen_argv(command, argv),
            timeout_s=timeout_within(context, timeout_s),
            cwd=None if cwd is None else absolute(cwd),
            env=env or {},
            stdin=None if stdin is None else stdin.encode(),
        )
        return _result(await self._programs.run(self._hosts.find(host), order))

    async def _check_git(
        self, machine: Host, judged: Judged, found: str, folder: str, timeout_s: float
    ) -> None:
        run = judged.arguments[len(SAFE_OPTIONS) :]
        query = (found, *config_query(list(run))[1:])
        order = Order(argv=query, timeout_s=timeout_s, cwd=folder, env=ENVIRONMENT, confined=True)
        answer = await self._programs.run(machine, order, head_bytes=1024 * 1024, tail_bytes=0)
        if answer.truncated or answer.ended.timed_out:
            raise NotAllowed("git's configuration here is too large to be judged")
        check_config(answer.stdout)


def chosen_argv(command: str | None, argv: list[str] | None) -> tuple[str, ...]:
    """The program to start for a call that gives exactly one of both."""
    if command is not None and argv is None:
        return ("/bin/sh", "-c", command)
    if argv is not None and command is None:
        if not argv[0]:
            raise InvalidArgument("argv needs a program as its first word")
        return tuple(argv)
    raise InvalidArgument("give either command or argv")


def _not_there(program: str, host: str) -> Exception:
    if "/" in program:
        return NotAllowed(
            f"{program!r} does not lie in a trusted folder",
            hint=f"Trusted: {', '.join(TRUSTED_FOLDERS)}. Name the program without a path.",
        )
    return NotFound(f"{program!r} is not installed on {host}", hint="installPackage can do that.")


def _result(answer: Answer) -> CommandResult:
    return CommandResult(
        exit_code=answer.ended.exit_code,
        signal=answer.ended.signal,
        stdout=answer.stdout,
        stderr=answer.stderr,
        truncated=answer.truncated,
        duration_ms=round(answer.ended.duration_s * 1000),
        timed_out=answer.ended.timed_out,
    )
