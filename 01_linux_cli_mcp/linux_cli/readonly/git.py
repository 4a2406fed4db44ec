"""Which git commands only read, and how they are kept from running what a repository names. Pure.

A repository that somebody else prepared can name programs in its own configuration: a file system
monitor, filters, diff drivers, a pager. So git runs with an environment and with options that turn
off what can be turned off, and not at all where its configuration says anything beyond what is
known to be harmless.
"""

import re
from collections.abc import Mapping, Sequence

from linux_cli.readonly.grammar import Grammar, refused

ENVIRONMENT: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # A partial clone fetches what it lacks from wherever its configuration says, by any command.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

SAFE_OPTIONS = (
    "--no-pager",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "log.showSignature=false",
    "-c", "diff.ignoreSubmodules=all",
)  # fmt: skip
"""Put before the command of every git that runs."""


def config_query(arguments: Sequence[str]) -> tuple[str, ...]:
    """What asks for the names of all settings in force where git will run; it runs nothing."""
    folders = 0
    while arguments[folders : folders + 1] == ["-C"]:
        folders += 2
    query = ("config", "--list", "--name-only", "--includes", "-z")
    return ("git", *SAFE_OPTIONS, *arguments[:folders], *query)


_DIFF = (
    "-p -u -U= --unified= --patch -s --no-patch --raw --stat? --numstat --shortstat --dirstat? "
    "--summary --patch-with-stat --name-only --name-status --color? --no-color --word-diff? "
    "--word-diff-regex= --color-words? --no-renames --find-renames? -M? -C? --find-copies? "
    "--diff-filter= -S= -G= --pickaxe-all --pickaxe-regex -R -a --text -b -w -W --minimal "
    "--patience --histogram --diff-algorithm= --ignore-all-space --ignore-space-change "
    "--ignore-blank-lines --ignore-space-at-eol --function-context --inter-hunk-context= "
    "--abbrev? --full-index --binary --relative? --no-prefix --src-prefix= --dst-prefix= "
    "--exit-code --quiet --cc -c -m --check -z --no-ext-diff --no-textconv --compact-summary "
    "--merge-base"
)
_LOG = (
    "-n= --max-count= --skip= --since= --after= --until= --before= --author= --committer= "
    "--grep= --all-match --invert-grep -i --regexp-ignore-case -E -F -P --merges --no-merges "
    "--first-parent --all --branches? --tags? --remotes? --glob= --exclude= --reverse --oneline "
    "--pretty? --format= --abbrev-commit --no-abbrev-commit --decorate? --no-decorate --graph "
    "--date= --date-order --topo-order --author-date-order --follow --full-history --ancestry- "
    "path --left-right --cherry-pick --cherry --cherry-mark --left-only --right-only --boundary "
    "--simplify-by-decoration --reflog --walk-reflogs -g --relative-date --parents --children "
    "--no-notes --no-walk? --show-pulls --source --encoding= --count"
)
_LIST = (
    "--list --contains? --no-contains? --merged? --no-merged? --points-at= --sort= --format= "
    "--column? --no-column --color? --no-color -i --ignore-case"
)


def _git(spec: str, *, number: bool = False, operands: int | None = None) -> Grammar:
    return Grammar(spec=spec, number=number, operands=operands)


COMMANDS: dict[str, Grammar] = {
    "status": _git("-s -b -v -z --short --branch --show-stash --porcelain? --long --verbose "
                   "--untracked-files? -u? --ignored? --ahead-behind --no-ahead-behind "
                   "--renames --no-renames --column? --no-column"),
    "log": _git(f"{_LOG} {_DIFF}", number=True),
    "show": _git(f"{_LOG} {_DIFF}", number=True),
    "diff": _git(f"{_DIFF} --cached --staged"),
    "shortlog": _git(f"-s -e -w? {_LOG} --numbered --summary --email --group=", number=True),
    "rev-list": _git(f"{_LOG} --objects --disk-usage --header --timestamp --no-commit-header",
                     number=True),
    # Not `branch -l`, which older versions read as: create it, with a log.
    "branch": _git(f"{_LIST} -a -r -v --all --remotes --verbose --abbrev? --no-abbrev "
                   "--show-current"),
    "tag": _git(f"{_LIST} -l -n?"),
    "remote": _git("-v --verbose"),
    "stash": _git(f"{_LOG} {_DIFF}", number=True),
    "worktree": _git("-v -z --verbose --porcelain"),
    "reflog": _git(f"{_LOG} {_DIFF}", number=True),
    "rev-parse": _git("--short? --verify -q --quiet --abbrev-ref? --symbolic --symbolic-full-name "
                      "--show-toplevel --show-prefix --show-cdup --git-dir --absolute-git-dir "
                      "--git-common-dir --is-inside-work-tree --is-bare-repository --all "
                      "--is-inside-git-dir --is-shallow-repository --show-object-format? "
                      "--branches? --tags? --remotes?"),
    "ls-files": _git("-c -d -m -o -i -s -u -k -t -v -z --cached --deleted --modified --others "
                     "--ignored --stage --unmerged --killed --exclude= --exclude-standard "
                     "--error-unmatch --full-name --abbrev? --eol --deduplicate --directory"),
    "ls-tree": _git("-d -r -t -l -z --long --name-only --name-status --object-only --full-name "
                    "--full-tree --abbrev? --format="),
    "cat-file": _git("-t -s -e -p"),
    "blame": _git("-L= -l -t -s -f -n -p -e -w -M? -C? --porcelain --line-porcelain --show-name "
                  "--show-number --show-email --show-stats --root --since= --date= --reverse "
                  "--abbrev= --first-parent"),
    "describe": _git("--all --tags --long --always --abbrev= --candidates= --match= --exclude= "
                     "--contains --dirty? --exact-match --first-parent"),
    "show-ref": _git("--head --heads --tags --branches -d -s -q --dereference --hash? --verify "
                     "--quiet --abbrev?"),
    "for-each-ref": _git("--count= --sort= --format= --points-at= --merged? --no-merged? "
                         "--contains? --no-contains? --ignore-case"),
    "merge-base": _git("-a --all --octopus --is-ancestor --independent"),
    "name-rev": _git("--tags --refs= --exclude= --all --name-only --no-undefined --always"),
    "count-objects": _git("-v -H --verbose --human-readable"),
    "grep": _git("-i -w -v -h -H -l -L -n -c -o -E -F -G -P -e= -A= -B= -C= -W -p -q -z -a -I "
                 "--ignore-case --word-regexp --invert-match --name-only --files-with-matches "
                 "--files-without-match --count --only-matching --line-number --column "
                 "--extended-regexp --fixed-strings --basic-regexp --perl-regexp --cached "
                 "--untracked --no-index --max-depth= --color? --no-color --heading --break "
                 "--show-function --function-context --and --or --not --all-match --quiet "
                 "--full-name --null --text -m= --max-count= --context= --after-context= "
                 "--before-context= --recursive --no-recursive", number=True),
}  # fmt: skip
"""The commands that only read. `branch`, `tag`, `stash` and others do so with some words only."""

_WORDS = {
    "stash": frozenset({"list", "show"}),
    "worktree": frozenset({"list"}),
    "reflog": frozenset({"show", "list"}),
}
# A submodule has a configuration of its own, which git would obey while it looks for changes there.
_SAFE_DIFF = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
_KEPT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("log", "show", "diff", "stash", "reflog"), _SAFE_DIFF),
    "status": ("--ignore-submodules=all",),
}

_HARMLESS = re.compile(
    r"""
    core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode
        |symlinks|autocrlf|eol|safecrlf|quotepath|sharedrepository|trustctime|checkstat|abbrev
        |compression|packedgitlimit|bigfilethreshold|untrackedcache|preloadindex|whitespace
        |longpaths|protectntfs|protecthfs|sparsecheckout|sparsecheckoutcone|commentchar|hookspath
        |fsmonitor)
    | (?:remote|branch)\..*
    | (?:init|pull|push|fetch|rebase|color|advice|gc|pack|index|feature|maintenance|user|author
        |committer|status|commit|rerere|receive|transfer|versionsort|column|repack|clone|http|url
        |alias|apply|blame|checkout|format|gui|i18n|lfs|log|merge|notes|protocol|submodule|tag
        |worktree|safe)\.(?:.*\.)?[a-z0-9]+
    | diff\.(?:renames|renamelimit|algorithm|colormoved|colormovedws|context|mnemonicprefix
        |noprefix|submodule|ignoresubmodules|wordregex|statgraphwidth|interhunkcontext|relative)
    | extensions\.(?:objectformat|refstorage|partialclone|worktreeconfig|noop|preciousobjects)
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Of the sections above, the settings that name a program.
_NAMES_PROGRAM = re.compile(
    r"merge\..*\.driver|.*\.(?:textconv|command|program|vcs|clean|smudge|process)"
    r"|remote\..*\.(?:uploadpack|receivepack|vcs)|submodule\..*\.update|pack\.packsizelimit\..*",
    re.IGNORECASE | re.DOTALL,
)


def check_git(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments to run git with, and the words of them that may be paths.

    NotAllowed for options before the command, other than `-C <folder>`, and for what may write.
    """
    left = list(arguments)
    folder: list[str] = []
    while left and left[0] == "-C":
        if len(left) < 2 or left[1].startswith("-"):
            raise refused("git", "-C", "needs a folder")
        folder += left[:2]
        del left[:2]
    if left == ["--version"]:
        return left, []
    if not left or left[0] not in COMMANDS:
        raise refused("git", left[0] if left else "git", "is not a command that only reads")
    command, rest = left[0], left[1:]
    options, paths = _split(rest)
    given = COMMANDS[command].read(f"git {command}", options)
    _check_words(command, rest, list(given.operands), given.has("--list", "-l"))
    for value in given.values:
        # %G shows signatures, by running whatever checks them.
        if "%G" in value or "signature" in value:
            raise refused(f"git {command}", value, "checks signatures, which runs a program")
    kept = _KEPT.get(command, ())
    # The second word of some decides what they do, so it stays in its place.
    fixed = 1 if command in _WORDS else 0
    run = [command, *rest[:fixed], *kept, *rest[fixed:]]
    words = [*folder[1::2], *given.operands, *given.values, *paths]
    return [*folder, *run], words


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after `--`; after it git has only paths."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    paths = arguments[at + 1 :]
    for path in paths:
        if path.startswith("-"):
            raise refused("git", path, "looks like an option; write it with ./ in front")
    return arguments[:at], paths


def _check_words(command: str, rest: list[str], operands: list[str], listing: bool) -> None:
    words = _WORDS.get(command)
    # The very first word: `git stash -p list` would stash.
    if words is not None and (not rest or rest[0] not in words):
        said = rest[0] if rest else command
        raise refused(f"git {command}", said, f"must be one of {', '.join(sorted(words))}")
    if command in ("branch", "tag") and operands and not listing:
        raise refused(f"git {command}", operands[0], "would be created; --list looks for it")
    if command == "remote" and operands:
        raise refused("git remote", operands[0], "is not needed to list the remotes with -v")


def check_config(names: str) -> None:
    """NotAllowed when a setting in force, by its name, may make git run a program."""
    for name in names.split("\0"):
        if name and (not _HARMLESS.fullmatch(name) or _NAMES_PROGRAM.fullmatch(name)):
            raise refused(
                "git", name, "in the repository's configuration may make git run a program"
            )
