"""Small scripts that ask a host what the tools want to know; run as `sh -c SCRIPT sh ARGUMENTS`.

Answers are parted by NUL, or by a mark that nobody on the host can guess, so that no name and no
content can pass for another. Pure.
"""

from collections.abc import Mapping, Sequence

from linux_cli.host import Space
from linux_cli.ssh.scripts import KILL_MARKED, LIVES

FIND_PROGRAM = """\
p=$1; shift
for d in "$@"; do [ -f "$d/$p" ] && [ -x "$d/$p" ] && { printf %s "$d/$p"; exit 0; }; done
"""
IS_PROGRAM = '[ -f "$1" ] && [ -x "$1" ] && printf %s "$1"'
PAGE_BYTES = "getconf PAGESIZE 2>/dev/null || getconf PAGE_SIZE"

READ_TEXTS = """\
m=$1; shift; t=
for d in /dev/shm /tmp /var/tmp "$HOME"; do
  t=$(mktemp "$d/.flotilla.XXXXXXXXXX" 2>/dev/null) && break; t=
done
[ -n "$t" ] || exit 1
trap 'rm -f "$t"' EXIT
printf %s "$m" >"$t"; n=$#
while [ $n -gt 0 ]; do set -- "$@" "$t" "$1"; shift; n=$((n - 1)); done
cat -- "$@" 2>/dev/null
:
"""
"""Prints the mark before each file, with one program for all of them."""

LIST_FOLDER = """\
cd -- "$1" 2>/dev/null || exit 0
for f in * .[!.]* ..?*; do [ -e "$f" ] || [ -L "$f" ] || continue; printf '%s\\0' "$f"; done
"""

LINKS_IN = """\
if find / -maxdepth 0 -printf '' 2>/dev/null; then
  find "$@" -maxdepth 1 -type l -printf '%h\\0%l\\0' 2>/dev/null
else
  for d in "$@"; do
    for f in "$d"/*; do
      [ -L "$f" ] && l=$(readlink -- "$f" 2>/dev/null) && printf '%s\\0%s\\0' "$d" "$l"
    done
  done
fi
:
"""

REAL_PATHS = """\
for p in "$@"; do
  r=$(readlink -m -- "$p" 2>/dev/null; printf x); r=${r%x}; r=${r%"
"}
  [ -n "$r" ] || { r=$(readlink -f -- "$p" 2>/dev/null; printf x); r=${r%x}; r=${r%"
"}; }
  [ -n "$r" ] || r=$p
  k=other; [ -b "$r" ] && k=device; [ -c "$r" ] && k=device
  printf '%s\\0%s\\0' "$k" "$r"
done
"""

SPACE = """\
i=0
for p in "$@"; do
  timeout 2 stat -f -c "$i %S %b %f %a %c %d" -- "$p" 2>/dev/null &
  i=$((i + 1))
done
wait
"""

SIGNAL = (
    "g=$1; number=$2; wanted=$3; a=$$\n"
    + LIVES
    + """\
while [ "$a" -gt 1 ]; do
  [ "$a" = "$g" ] && { printf own; exit 0; }
  { read -r s </proc/$a/stat; } 2>/dev/null || break
  set -- ${s##*) }; a=$2
done
{ read -r s </proc/$g/stat; } 2>/dev/null || { printf missing; exit 0; }
set -- ${s##*) }; start=${20}
[ -z "$wanted" ] || [ "$wanted" = "$start" ] || { printf other; exit 0; }
kill -s "$number" -- "$g" 2>/dev/null || {
  lives && { printf denied; exit 0; }
}
i=0
while lives; do
  [ $i -lt 20 ] || { printf alive; exit 0; }
  sleep 0.05 || sleep 1; i=$((i + 1))
done
printf gone
"""
)

END_MARKED = KILL_MARKED + 'kill_marked "$1"'


def texts_of(answer: bytes, mark: bytes, paths: Sequence[str], max_bytes: int) -> dict[str, str]:
    """What READ_TEXTS printed, by path; those that were empty or could not be read are left out."""
    parts = answer.split(mark)[1:]
    return {
        path: part[:max_bytes].decode(errors="backslashreplace")
        for path, part in zip(paths, parts, strict=False)
        if part
    }


def pairs_of(answer: bytes) -> list[tuple[str, str]]:
    """`a NUL b NUL ...` as pairs."""
    words = names_of(answer)
    return list(zip(words[::2], words[1::2], strict=False))


def names_of(answer: bytes) -> list[str]:
    parts = answer.split(b"\0")[:-1]
    return [part.decode(errors="surrogateescape") for part in parts]


def number_of(text: str) -> int | None:
    """A number of at most 20 digits; None for anything else, whatever a host may say."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def spaces_of(answer: bytes, points: Sequence[str]) -> Mapping[str, Space]:
    """What SPACE printed; mount points that did not answer are left out."""
    found: dict[str, Space] = {}
    for line in answer.decode(errors="replace").splitlines():
        words = line.split()
        if len(words) != 7 or not all(number_of(word) is not None for word in words):
            continue
        index, block, total, free, available, inodes, free_inodes = (int(word) for word in words)
        if index < len(points):
            found[points[index]] = Space(
                total_bytes=total * block,
                free_bytes=free * block,
                available_bytes=available * block,
                total_inodes=inodes,
                free_inodes=free_inodes,
            )
    return found
