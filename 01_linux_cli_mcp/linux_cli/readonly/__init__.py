"""Judges whether an argv only reads. Pure; what it lets pass is still confined by the host."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flotilla import InvalidArgument, NotAllowed
from linux_cli.readonly.git import ENVIRONMENT, SAFE_OPTIONS, check_git
from linux_cli.readonly.programs import PROGRAMS
from linux_cli.readonly.verbs import VERBS, check_find, check_ip, rewritten


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An argv that only reads. `words` are those of it that may name files.

    `enters` says that it looks into folders below them, `follows` that it follows links found
    there, `asks_git` that the repository's configuration must be looked at first.
    """

    program: str
    arguments: tuple[str, ...]
    words: tuple[str, ...]
    enters: bool = False
    follows: bool = False
    asks_git: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str])


_QUIET = {"PAGER": "cat", "SYSTEMD_PAGER": "cat", "SYSTEMD_COLORS": "0", "LESSSECURE": "1"}


def judge(argv: Sequence[str], extra: Collection[str] = ()) -> Judged:
    """What may be run for `argv`; NotAllowed where it might do more than read.

    `extra` are programs that the operator vouches for, whatever their arguments. The program is
    named as in `argv`; the caller finds it in the trusted folders.
    """
    if not argv or not argv[0]:
        raise InvalidArgument("argv needs a program as its first word")
    program = argv[0].rsplit("/", 1)[-1]
    arguments = list(argv[1:])
    if program in extra:
        return Judged(program=argv[0], arguments=tuple(arguments), words=_every(arguments))
    grammar = PROGRAMS.get(program)
    if grammar is None:
        raise NotAllowed(
            f"{program!r} is not among the programs that only read",
            hint=f"Known ones: {', '.join(sorted(PROGRAMS))}. Others run by runCommand.",
        )
    if program == "git":
        return _git(argv[0], arguments)
    if program == "find":
        paths, follows = check_find(arguments)
        return Judged(
            program=argv[0],
            arguments=tuple(arguments),
            words=_every(paths),
            enters=True,
            follows=follows,
        )
    if program == "ip":
        check_ip(arguments)
        return Judged(program=argv[0], arguments=tuple(arguments), words=())
    given = grammar.read(program, arguments)
    if program in VERBS:
        VERBS[program](given)
    return Judged(
        program=argv[0],
        arguments=tuple(rewritten(program, arguments)),
        words=_every([*given.operands, *given.values]),
        enters=grammar.always_enters or given.has(*grammar.enters),
        follows=given.has(*grammar.follows),
        env=_QUIET,
    )


def _git(program: str, arguments: list[str]) -> Judged:
    run, words = check_git(arguments)
    return Judged(
        program=program,
        arguments=(*SAFE_OPTIONS, *run),
        words=_every(words),
        enters="--no-index" in run or "--untracked" in run,
        asks_git=True,
        env={**_QUIET, **ENVIRONMENT},
    )


def _every(words: Sequence[str]) -> tuple[str, ...]:
    """The words, and what stands after `=` in them, since both may name a file."""
    parts = [part for word in words for part in (word, word.partition("=")[2]) if part]
    return tuple(dict.fromkeys(part for part in parts if part != "-"))
