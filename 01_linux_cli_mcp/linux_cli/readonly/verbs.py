"""Programs that do what their first words say: which of those words only read. Pure."""

import re
from collections.abc import Callable, Sequence

from linux_cli.readonly.grammar import Given, refused

Check = Callable[[Given], None]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one_of(program: str, verbs: str, *, may_lack: bool = False) -> Check:
    allowed = frozenset(verbs.split())

    def check(given: Given) -> None:
        if not given.operands:
            if may_lack or given.has("--help", "--version"):
                return
            raise refused(program, program, "needs a verb that only reads")
        if given.operands[0] not in allowed:
            raise refused(program, given.operands[0], "is not among the verbs that only read")

    return check


def _check_ps(given: Given) -> None:
    for name, value in given.options:
        # `-o environ`, which newer versions know, shows other processes' environments.
        if value is not None and "env" in value.lower():
            raise refused("ps", value, "shows environments")
        if name in ("-p", "-q") and not re.fullmatch(r"[\d,]+", value or ""):
            raise refused("ps", str(value), "is not a list of process IDs")


def _check_tar(given: Given) -> None:
    if not given.has("-t", "--list"):
        raise refused("tar", "tar", "only lists here, which needs -t")


def _check_rpm(given: Given) -> None:
    if not given.has("-q", "--query", "--version", "--help"):
        raise refused("rpm", "rpm", "only answers queries here, which needs -q")


VERBS: dict[str, Check] = {
    "systemctl": _one_of(
        "systemctl",
        "status show cat list-units list-unit-files list-timers list-sockets list-jobs list-paths "
        "list-dependencies list-automounts is-active is-enabled is-failed is-system-running "
        "get-default",
        may_lack=True,
    ),
    # Not `hosts`: names would be asked of the network.
    "getent": _one_of("getent", "passwd group services protocols networks rpc ethers"),
    "apt-cache": _one_of(
        "apt-cache", "show showpkg showsrc policy search depends rdepends madison pkgnames stats"
    ),
    "apk": _one_of("apk", "info list policy search version stats"),
    "timedatectl": _one_of("timedatectl", "status show list-timezones", may_lack=True),
    "hostnamectl": _one_of("hostnamectl", "status", may_lack=True),
    "loginctl": _one_of(
        "loginctl",
        "list-sessions list-users list-seats session-status show-session user-status show-user",
        may_lack=True,
    ),
    "ps": _check_ps,
    "tar": _check_tar,
    "rpm": _check_rpm,
}
"""What more is asked of an argv whose options have passed."""


def rewritten(program: str, arguments: Sequence[str]) -> list[str]:
    """The argv to run in place of a judged one: the same, less what its program could mistake."""
    if program == "ps":
        # ps reads the whole line again in BSD's way when it fails to understand it in the other,
        # and there `e` shows environments. -A means the same as -e and has no second meaning.
        return [re.sub("e", "A", word) if _is_cluster(word) else word for word in arguments]
    if program == "tar":
        # Else `-f host:path` would start a remote shell.
        return ["--force-local", *arguments]
    return list(arguments)


def _is_cluster(word: str) -> bool:
    return word.startswith("-") and not word.startswith("--")


_IP_FLAGS = _words(
    "-4 -6 -0 -B -M -s -stats -statistics -d -details -o -oneline -br -brief -j -json -p "
    "-pretty -h -human -human-readable -iec -t -timestamp -ts -tshort -N -Numeric -c=never -V "
    "-Version -color=never"
)
_IP_OBJECTS = _words(
    "a ad addr address l li lin link r ro route ru rule n ne neigh neighbor neighbour maddr "
    "maddress mroute tunnel tuntap token ntable vrf netns addrlabel nexthop tcp_metrics "
    "macsec netconf mptcp"
)
_IP_VERBS = frozenset({"show", "list", "lst", "ls"})


def check_ip(arguments: Sequence[str]) -> None:
    """NotAllowed unless `ip` shows something; it takes abbreviations, of which only some are known.

    Options come before the object. `-batch` reads commands, `-netns` and `netns exec` change
    namespaces, `-all` does all of it, `-resolve` asks the network.
    """
    left = list(arguments)
    while left and left[0].startswith("-"):
        if left[0] == "-f" or left[0] == "-family":
            if len(left) < 2 or left[1] not in ("inet", "inet6", "link", "bridge", "mpls"):
                raise refused("ip", left[0], "needs a known family")
            left.pop(0)
        elif left[0] not in _IP_FLAGS:
            raise refused("ip", left[0], "is not among the options that only read")
        left.pop(0)
    if not left:
        return
    if left[0] not in _IP_OBJECTS:
        raise refused("ip", left[0], "is not an object that can be shown")
    verb = left[1] if len(left) > 1 else "show"
    if verb not in _IP_VERBS and not (verb == "get" and left[0] in ("r", "ro", "route")):
        raise refused("ip", verb, "is not a verb that only reads")
    for word in left[2:]:
        if word.startswith("-"):
            raise refused("ip", word, "stands after the object")


_FIND_FLAGS = frozenset({"-H", "-L", "-P"})
_FIND_ALONE = _words(
    "-print -print0 -ls -prune -quit -true -false -empty -executable -readable -writable "
    "-nouser -nogroup -depth -d -mount -xdev -daystart -noleaf -follow -ignore_readdir_race "
    "-a -and -o -or -not ! ( ) , -warn -nowarn"
)
_FIND_VALUED = _words(
    "-name -iname -path -ipath -wholename -iwholename -lname -ilname -regex -iregex "
    "-regextype -type -xtype -size -mtime -mmin -atime -amin -ctime -cmin -newer -anewer "
    "-cnewer -newermt -newerat -newerct -newermm -user -group -uid -gid -perm -links -inum "
    "-samefile -maxdepth -mindepth -fstype -printf -used -context"
)


def check_find(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The paths that `find` starts from or compares with, and whether it follows links.

    NotAllowed for what runs, deletes, or writes files, and for every other word not known here.
    """
    paths: list[str] = []
    follows = False
    left = list(arguments)
    while left and left[0] in _FIND_FLAGS:
        follows = follows or left[0] == "-L"
        left.pop(0)
    while left:
        word = left.pop(0)
        if word in _FIND_ALONE:
            follows = follows or word == "-follow"
        elif word in _FIND_VALUED:
            if not left:
                raise refused("find", word, "lacks its value")
            value = left.pop(0)
            # `-mtime -5` is a value, `-name -delete` at best a mistake of this table or of theirs.
            if re.match(r"-\D", value):
                raise refused("find", value, f"looks like an expression after {word}")
            paths.append(value)
        elif word.startswith("-"):
            raise refused("find", word, "is not among the expressions that only read")
        else:
            paths.append(word)
    return paths, follows
