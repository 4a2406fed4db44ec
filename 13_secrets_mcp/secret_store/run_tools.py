"""The tool that runs a program with secrets in its environment."""

from collections.abc import Sequence
from typing import Annotated

from anyio import to_thread
from pydantic import Field

from flotilla import (
    MAX_TEXT_BYTES,
    Context,
    InvalidArgument,
    Model,
    Tool,
    cut,
    writes,
)
from flotilla.redaction import REDACTED, Redactor
from secret_store.actor import Actor
from secret_store.disguises import disguises_of, escaped
from secret_store.paths import SecretPath
from secret_store.program_list import check_variable
from secret_store.programs import Programs, check_arguments
from secret_store.using import Using

_MARGIN_S = 2.0
_MOST_SECRETS = 10

Argv = Annotated[
    list[Annotated[str, Field(max_length=8192)]],
    Field(
        min_length=1,
        max_length=200,
        description="The program, by its name or absolute path, and its arguments; no shell.",
    ),
]
Environment = Annotated[
    dict[str, SecretPath],
    Field(
        min_length=1,
        max_length=_MOST_SECRETS,
        description="Which variable gets which secret, by its path: {PGPASSWORD: db/password}.",
    ),
]


class Ran(Model):
    """How the program ended, and what it said, with every form of the secrets taken out."""

    exit_code: int
    stdout: str
    stderr: str
    truncated: bool
    timed_out: bool
    duration_ms: int


class RunTools:
    """security.secrets.runWithSecret."""

    def __init__(self, using: Using, programs: Programs) -> None:
        self._using = using
        self._programs = programs

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "security.secrets.runWithSecret",
                self.run_with_secret,
                title="Run a program with secrets",
                open_world=True,
                long=True,
                untrusted=True,
            ),
        )

    async def run_with_secret(
        self,
        context: Context,
        argv: Argv,
        env: Environment,
        timeout_s: Annotated[float, Field(gt=0, le=300)] = 60,
    ) -> Ran:
        """Run one of the operator's programs with secrets as environment variables.

        The secrets must allow security.secrets.runWithSecret. The program runs in an empty folder
        that goes away, reads nothing of the fleet's, and what it prints comes back without the
        secrets. Nothing expands $NAME in the arguments: name programs that read the variable.
        """
        program = self._programs.find(argv[0])
        check_arguments(argv[1:])
        for name in env:
            check_variable(name)
        actor = Actor.calling(context, "runWithSecret")
        values = await self._using.take(actor, "ran", list(env.values()))
        given = {name: values[path].text for name, path in env.items()}
        if any("\0" in text for text in given.values()):
            raise InvalidArgument("a value holds a NUL character, which no variable takes")
        left_s = max(0.1, context.deadline.remaining_s() - _MARGIN_S)
        done = await self._programs.run(program, argv[1:], given, timeout_s=min(timeout_s, left_s))
        secrets = [value.text for value in values.values()]
        out, err = await to_thread.run_sync(
            lambda: [
                clean(told, secrets, whole=not done.cut) for told in (done.stdout, done.stderr)
            ]
        )
        out, out_cut = cut(out, MAX_TEXT_BYTES)
        err, err_cut = cut(err, MAX_TEXT_BYTES // 3)
        return Ran(
            exit_code=done.exit_code,
            stdout=out,
            stderr=err,
            truncated=done.cut or out_cut or err_cut,
            timed_out=done.timed_out,
            duration_ms=done.duration_ms,
        )


def clean(text: str, secrets: Sequence[str], *, whole: bool) -> str:
    """The text without those values, however they are written.

    Where it is not the `whole` text, it may end in the middle of one, so its end is left out.
    """
    longest = 0
    for secret in secrets:
        for form in disguises_of(secret):
            text = text.replace(form, REDACTED)
            longest = max(longest, len(form))
        if (pattern := escaped(secret)) is not None:
            text = pattern.sub(REDACTED, text)
    text = Redactor(secrets).text(text)
    return text if whole else text[: max(0, len(text) - longest)]
