"""What runs on a host elsewhere, for any POSIX shell with `setsid`, `cat`, `grep` and `tr`. Pure.

The login shell is given one fixed command, BOOTSTRAP; all else comes over its standard input, so
that nothing of a call stands in the host's list of processes, has to pass the login shell's own
quoting, or meets the limit of one argument.
"""

import signal
from collections.abc import Mapping, Sequence

from flotilla import InvalidArgument
from linux_cli.ssh.words import word, words

BOOTSTRAP = (
    """exec env -i HOME="$HOME" /bin/sh -c 'N=$(printf "\\nx"); N=${N%x}; s=; """
    """while IFS= read -r l && [ "$l" != . ]; do s="$s$l$N"; done; eval "$s"'"""
)
"""Runs the lines up to a lone dot in a clean environment; what follows them is their input."""

_READONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})

KILL_MARKED = """\
between() {
  for f in /proc/[0-9]*; do
    { read -r s <"$f/stat"; } 2>/dev/null || continue
    set -- ${s##*) }
    [ "${49}" = 0 ] && [ "$1" != Z ] && [ "$1" != X ] && [ $(($7 & 2097152)) = 0 ] || continue
    { true <"$f/environ"; } 2>/dev/null && return
  done
  return 1
}
kill_marked() {
  i=0; none=
  while [ $i -lt 20 ]; do
    i=$((i + 1)); found=
    if printf 'a\\0b' | grep -qzF b 2>/dev/null; then
      found=$(grep -lzF "FLOTILLA_RUN=$1" /proc/[0-9]*/environ 2>/dev/null)
    else
      for f in /proc/[0-9]*/environ; do
        tr '\\0' '\\n' <"$f" 2>/dev/null | grep -qxF "FLOTILLA_RUN=$1" && found="$found $f"
      done
    fi
    killed=
    for f in $found; do
      f=${f#/proc/}; kill -s KILL "${f%/environ}" 2>/dev/null && killed=yes
    done
    if [ -n "$killed" ]; then none=; continue; fi
    if between; then i=$((i + 4)); sleep 0.05 || sleep 1; elif [ -n "$none" ]; then break; fi
    none=yes
  done
}
"""
"""Kills every process that carries a mark, until two looks find none that may be killed.

Within `exec` a process has no environment for a moment, and when it has died none until it is a
zombie: while there is such a one, as flotilla.leftovers tells it, it looks a few times more. The
second look is for one that has got its own meanwhile.
"""

LIVES = """\
lives() {
  { read -r s </proc/$g/stat; } 2>/dev/null || return 1
  set -- ${s##*) }
  [ "${20}" = "$start" ] && [ "$1" != Z ]
}
end_group() {
  kill -s TERM -- -$g; i=0
  while lives && [ $i -lt 20 ]; do sleep 0.05 || sleep 1; i=$((i + 1)); done
  kill -s KILL -- -$g
  kill_marked "$m"
}
"""
"""A process group by its leader's pid `g` and start in ticks `start`: does it live, and its end."""

_WATCH = (
    "g=$1; start=$2; m=$3\n"
    + KILL_MARKED
    + LIVES
    + """\
cat >/dev/null
if lives; then end_group; elif [ ! -e /proc/$g ] || grep -q ') Z ' /proc/$g/stat; then
  kill -s KILL -- -$g
fi
"""
)
"""Ends a program when nobody is connected any more, and what it left in its group when it ended.

It reads the connection: sshd closes that when the program has ended, when we close it, and when
the connection breaks. A group's number is free only when all of it is gone, so that a leader that
is gone cannot be another's.
"""

_SELF = """\
read -r s </proc/self/stat 2>/dev/null || say proc
read -r s </proc/$$/stat; set -- ${s##*) }; start=${20}; S=
command -v setsid >/dev/null 2>&1 || say setsid
[ "$3" = $$ ] || S=$(command -v setsid)
"""

_INPUT = """\
t=
for d in /dev/shm /tmp /var/tmp "$HOME"; do
  t=$(mktemp "$d/.flotilla.XXXXXXXXXX" 2>/dev/null) && break; t=
done
[ -n "$t" ] || say space
head -c "$input" <&3 >"$t" 2>/dev/null || { rm -f "$t"; say space; }
exec <"$t"; rm -f "$t"
"""
"""The program's input as a file without a name: no pipe to fill, nothing to wait for."""

_FIND = """\
cd -- "$cwd" 2>/dev/null || say folder
case $p in
  */*) ;;
  *) IFS=:
    for d in $PATH; do [ -f "$d/$p" ] && [ -x "$d/$p" ] && { p=$d/$p; break; }; done
    unset IFS ;;
esac
case $p in */*) ;; *) say program ;; esac
[ -f "$p" ] || say program
[ -x "$p" ] || say denied
"""

FAILURES = {
    "setsid": "it has no `setsid` (util-linux or busybox)",
    "proc": "it has no /proc",
    "space": "the program's input cannot be put anywhere",
}


def run_script(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    path: str,
    cwd: str | None,
    mark: str,
    label: str,
    input_bytes: int | None,
) -> bytes:
    """A program as the channel's own process, watched by another; both streams begin with `mark`.

    The first line with the mark says `go`, or why not: `folder`, `program`, `denied` or one of
    FAILURES. `label` is what its processes carry. Input of that many bytes comes after the script.
    """
    for name in env:
        if name in _READONLY:
            raise InvalidArgument(f"the variable {name} cannot be set on a host over SSH")
    told = f"printf '\\n%s %s\\n' {mark}"
    variables = {"LANG": "C.UTF-8", "TERM": "dumb", "TZ": "UTC", **env, "FLOTILLA_RUN": label}
    lines = [
        f'say() {{ {told} "$1"; exit 125; }}',
        f"PATH={word(path)}; export PATH",
        _SELF.rstrip(),
        "exec 3<&0 </dev/null",
    ]
    if input_bytes is not None:
        lines += [f"input={input_bytes}", _INPUT.rstrip()]
    lines += [
        f"w={_one_line(_WATCH)}",
        f'setsid /bin/sh -c "$w" watch $$ "$start" {word(label)} <&3 >/dev/null 2>&1 3<&- &',
        "exec 3<&-",
        f"cwd={'$HOME' if cwd is None else word(cwd)}; p={word(argv[0])}",
        _FIND.rstrip(),
        f'set -- "$p" {words(argv[1:])}',
        f"{told} go; {told} go >&2",
        "unset PWD OLDPWD SHLVL",
        *(f"export {name}={word(value)}" for name, value in variables.items()),
        'exec $S "$@"',
    ]
    return "\n".join([*lines, "."]).encode("ascii") + b"\n"


def _one_line(script: str) -> str:
    """A script as one word of a line, with its breaks as the variable that holds one."""
    return '"$N"'.join(word(line) for line in script.rstrip().splitlines())


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
