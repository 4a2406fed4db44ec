"""The programs that only read, each with the options that keep it so. A table to be reviewed.

Left out on purpose: what writes (`sort -o`, `tree -o`, `ss -D`, `file -C`), runs others
(`sort --compress-program`, `tar -I`), reads a list of files to open (`--files0-from`, `tar -T`),
runs for ever (`tail -f`), asks the network (`ss -r`, `who --lookup`), and shows the environment of
other processes (`ps e`).
"""

from linux_cli.readonly.grammar import Grammar

_TO_HELP = "--help --version"


def _reads(spec: str = "", **more: object) -> Grammar:
    return Grammar(spec=f"{spec} {_TO_HELP}", **more)  # pyright: ignore[reportArgumentType]


_SUMS = _reads("-b -t -z --binary --text --tag --zero")
_RECURSIVE = frozenset({"-R", "-r", "--recursive", "--dereference-recursive"})

PROGRAMS: dict[str, Grammar] = {
    "ls": _reads(
        "-a -A -b -B -c -C -d -f -F -g -G -h -H -i -I= -k -l -L -m -n -N -o -p -q -Q -r -R -s -S "
        "-t -T= -u -U -v -w= -x -X -Z -1 --all --almost-all --author --escape --block-size= "
        "--ignore-backups --color? --directory --classify? --file-type --format= --full-time "
        "--group-directories-first --no-group --human-readable --si --dereference-command-line "
        "--dereference --hide= --indicator-style= --inode --ignore= --kibibytes "
        "--numeric-uid-gid --literal --hide-control-chars --quote-name --quoting-style= --reverse "
        "--recursive --size --sort= --time= --time-style= --tabsize= --width= --context --zero",
        enters=_RECURSIVE - {"-r"},
        follows=frozenset({"-L", "--dereference"}),
    ),
    "cat": _reads(
        "-A -b -e -E -n -s -t -T -u -v --show-all --number-nonblank --show-ends --number "
        "--squeeze-blank --show-tabs --show-nonprinting"
    ),
    "tac": _reads("-b -r -s= --before --regex --separator="),
    "nl": _reads("-b= -d= -f= -h= -i= -l= -n= -p -s= -v= -w="),
    "head": _reads(
        "-c= -n= -q -v -z --bytes= --lines= --quiet --silent --verbose --zero-terminated",
        number=True,
    ),
    "tail": _reads(
        "-c= -n= -q -v -z --bytes= --lines= --quiet --silent --verbose --zero-terminated",
        number=True,
    ),
    "wc": _reads("-c -m -l -L -w --bytes --chars --lines --max-line-length --words --total="),
    "stat": _reads("-L -f -c= -t -Z --dereference --file-system --format= --printf= --terse"),
    "file": _reads(
        "-b -h -i -k -L -N -r -s -0 -z -E --brief --no-dereference --mime --mime-type "
        "--mime-encoding --keep-going --dereference --no-pad --raw --special-files --print0"
    ),
    "grep": _reads(
        "-E -F -G -P -e= -f= -i -y -v -w -x -c -L -l -m= -o -q -s -b -H -h -n -T -Z -z -A= -B= -C= "
        "-a -I -r -R -U -d= --extended-regexp --fixed-strings --basic-regexp --perl-regexp "
        "--regexp= --file= --ignore-case --no-ignore-case --invert-match --word-regexp "
        "--line-regexp --count --color? --colour? --files-without-match --files-with-matches "
        "--max-count= --only-matching --quiet --silent --no-messages --byte-offset --with-filename "
        "--no-filename --label= --line-number --initial-tab --null --after-context= "
        "--before-context= --context= --text --binary-files= --exclude= --exclude-dir= --include= "
        "--recursive --dereference-recursive --null-data",
        number=True,
        enters=_RECURSIVE | {"-d", "--directories"},
        follows=frozenset({"-R", "--dereference-recursive"}),
    ),
    "cut": _reads(
        "-b= -c= -d= -f= -n -s -z --bytes= --characters= --delimiter= --fields= --complement "
        "--only-delimited --output-delimiter= --zero-terminated"
    ),
    "tr": _reads("-c -C -d -s -t --complement --delete --squeeze-repeats --truncate-set1"),
    # Its second operand is the file that it writes.
    "uniq": _reads(
        "-c -d -D -f= -i -s= -u -w= -z --count --repeated --all-repeated? --skip-fields= --group? "
        "--ignore-case --skip-chars= --unique --zero-terminated --check-chars=",
        operands=1,
    ),
    "sort": _reads(
        "-b -d -f -g -i -M -h -n -R -r -V -c -C -m -k= -s -t= -u -z --ignore-leading-blanks "
        "--dictionary-order --ignore-case --general-numeric-sort --ignore-nonprinting --month-sort "
        "--human-numeric-sort --numeric-sort --random-sort --reverse --sort= --version-sort "
        "--check? --merge --key= --stable --field-separator= --unique --zero-terminated"
    ),
    "comm": _reads("-1 -2 -3 -z --check-order --nocheck-order --output-delimiter= --total"),
    "paste": _reads("-d= -s -z --delimiters= --serial --zero-terminated"),
    "join": _reads("-a= -e= -i -j= -o= -t= -v= -1= -2= --check-order --nocheck-order --header"),
    "fold": _reads("-b -s -w= --bytes --spaces --width="),
    "column": _reads("-t -s= -o= -n= -x -c= --table --separator= --output-separator="),
    "diff": _reads(
        "-q -s -c -C= -u -U= -e -n -y -W= -p -F= -t -T -r -N -x= -S= -i -E -Z -b -w -B -I= -a -d "
        "--normal --brief --report-identical-files --context? --unified? --ed --rcs "
        "--side-by-side --width= --left-column --suppress-common-lines --show-c-function "
        "--show-function-line= --label= --expand-tabs --initial-tab --recursive --no-dereference "
        "--new-file --unidirectional-new-file --exclude= --starting-file= --ignore-case "
        "--ignore-tab-expansion --ignore-trailing-space --ignore-space-change --ignore-all-space "
        "--ignore-blank-lines --ignore-matching-lines= --text --strip-trailing-cr --minimal "
        "--color?",
        always_enters=True,
        follows=_RECURSIVE,
    ),
    "cmp": _reads("-b -i= -l -n= -s --print-bytes --ignore-initial= --verbose --bytes= --quiet"),
    "md5sum": _SUMS,
    "sha1sum": _SUMS,
    "sha256sum": _SUMS,
    "sha512sum": _SUMS,
    "b2sum": _SUMS,
    "cksum": _reads("-a= --algorithm= --untagged --tag --zero --base64 --raw"),
    "base64": _reads("-d -i -w= --decode --ignore-garbage --wrap="),
    "od": _reads(
        "-A= -j= -N= -S= -t= -v -w? -a -b -c -d -f -i -l -o -s -x --address-radix= --skip-bytes= "
        "--read-bytes= --strings= --format= --output-duplicates --width?"
    ),
    "hexdump": _reads("-b -c -C -d -n= -o -s= -v -x --canonical --length= --skip="),
    "basename": _reads("-a -s= -z --multiple --suffix= --zero"),
    "dirname": _reads("-z --zero"),
    "realpath": _reads(
        "-e -m -L -P -q -s -z --canonicalize-existing --canonicalize-missing --logical --physical "
        "--quiet --strip --no-symlinks --zero --relative-to= --relative-base="
    ),
    "readlink": _reads(
        "-f -e -m -n -q -s -v -z --canonicalize --canonicalize-existing --canonicalize-missing "
        "--no-newline --quiet --silent --verbose --zero"
    ),
    "pwd": _reads("-L -P --logical --physical"),
    "echo": _reads("-n -e -E"),
    "du": _reads(
        "-0 -a -B= -b -c -D -d= -H -h -k -L -l -m -P -S -s -t= -x -X= --null --all "
        "--apparent-size --block-size= --bytes --total --dereference-args --max-depth= "
        "--human-readable --inodes --dereference --count-links --no-dereference --separate-dirs "
        "--si --summarize --threshold= --time? --time-style= --exclude= --exclude-from= "
        "--one-file-system",
        always_enters=True,
        follows=frozenset({"-L", "--dereference"}),
    ),
    "df": _reads(
        "-a -B= -h -H -i -k -l -P -T -t= -x= --all --block-size= --human-readable --si --inodes "
        "--local --no-sync --output? --portability --print-type --total --type= --exclude-type="
    ),
    "tree": _reads(
        "-a -d -f -x -L= -P= -I= -q -N -Q -p -u -g -s -h -D -F -i -J -X -n -C -r -t -v -S "
        "--dirsfirst --du --inodes --device --noreport --prune --charset= --filelimit= "
        "--timefmt= --matchdirs --ignore-case --gitignore --sort=",
        always_enters=True,
        # `-Lo` is to it two options whose values follow.
        attached=False,
    ),
    "find": _reads(),
    "tar": _reads(
        "-t -v -f= -z -j -J -Z --list --verbose --file= --gzip --bzip2 --xz --zstd --lzma "
        "--compress --auto-compress --full-time --numeric-owner --utc --exclude= --wildcards "
        "--no-wildcards --ignore-case --show-transformed-names --occurrence? --block-number"
    ),
    "git": _reads(),
    "ip": _reads(),
    "systemctl": _reads(
        "-a -l -t= -p= -P -r -q -n= -o= --all --full --type= --state= --property= --value "
        "--recursive --reverse --after --before --no-pager --no-legend --plain --quiet --lines= "
        "--output= --failed --show-types --user --system --timestamp= --no-ask-password"
    ),
    "journalctl": _reads(
        "-a -b? -k -l -e -m -n= -o= -p= -q -r -S= -t= -u= -U= -x -g= --all --boot? --dmesg "
        "--full --no-full --lines= --output= --output-fields= --priority= --quiet --reverse "
        "--since= --until= --identifier= --unit= --user-unit= --grep= --case-sensitive? "
        "--catalog --facility= --no-hostname --no-pager --no-tail --utc --system --user --merge "
        "--list-boots --list-catalog --disk-usage --fields --field= -N -F= --cursor= "
        "--after-cursor= --show-cursor --truncate-newline --header"
    ),
    "dmesg": _reads(
        "-d -e -f= -J -k -L? -l= -P -p -r -s= -S -t -T -u -x --facility= --json "
        "--kernel --color? --level= --nopager --raw --buffer-size= --syslog --notime "
        "--time-format= --ctime --userspace --decode --show-delta --reltime --since= --until="
    ),
    "ss": _reads(
        "-n -a -l -o -e -m -p -i -s -b -Z -z -4 -6 -0 -t -u -d -w -x -S -H -O -f= -A= -T -M -B "
        "--numeric --all --listening --options --extended --memory --processes --info --summary "
        "--tos --bpf --context --contexts --ipv4 --ipv6 --packet --tcp --udp --dccp --raw --unix "
        "--sctp --vsock --tipc --xdp --mptcp --family= --query= --no-header --oneline "
        "--bound-inactive --inet-sockopt --cgroup --threads --no-queues"
    ),
    "date": _reads(
        "-d= -f= -I? -r= -R -u --date= --file= --iso-8601? --reference= --rfc-email --rfc-2822 "
        "--rfc-3339= --utc --universal --debug",
        # Any other operand would set the clock.
        operand_pattern=r"\+.*",
    ),
    "cal": _reads("-1 -3 -s -m -j -y -w? --one --three --sunday --monday --julian --year"),
    # An operand would be the new name; -F would read it from a file.
    "hostname": _reads("-s -I --short --all-ip-addresses", operands=0),
    "uname": _reads(
        "-a -s -n -r -v -m -p -i -o --all --kernel-name --nodename --kernel-release "
        "--kernel-version --machine --processor --hardware-platform --operating-system",
        operands=0,
    ),
    "arch": _reads(operands=0),
    "uptime": _reads("-p -s --pretty --since", operands=0),
    "free": _reads(
        "-b -k -m -g -h -w -l -t -v --bytes --kibi --mebi --gibi --tebi --kilo --mega --giga "
        "--human --si --wide --lohi --total --committed --line -L",
        operands=0,
    ),
    "nproc": _reads("--all --ignore=", operands=0),
    "id": _reads("-a -g -G -n -r -u -z -Z --group --groups --name --real --user --zero"),
    "groups": _reads(),
    "whoami": _reads(operands=0),
    "who": _reads(
        "-a -b -d -H -l -m -p -q -r -s -t -T -w -u --all --boot --dead --heading --login --process "
        "--count --runlevel --short --time --mesg --users"
    ),
    "w": _reads(
        "-h -u -s -f -o -i --no-header --no-current --short --from --old-style",
        operands=1,
    ),
    "last": _reads("-n= -a -F -i -w -x -s= -t= --limit= --hostlast --fulltimes", number=True),
    "getent": _reads(),
    "ps": _reads(
        "-A -e -a -d -N -f -F -l -j -w -L -T -H -M -y -c -o= -O= -p= -q= --sort= "
        "--pid= --ppid= --quick-pid= --user= --group= --sid= --tty= --format= --cols= --columns= "
        "--rows= --width= --forest --headers --no-headers --no-heading --cumulative --deselect",
        attached=False,
        # BSD's letters without `e`, which shows environments; or a process ID.
        operand_pattern=r"[auxwfhjlvSTcmnr]{1,10}|\d{1,7}",
    ),
    "pgrep": _reads(
        "-a -c -d= -f -g= -G= -i -l -n -o -P= -s= -t= -u= -U= -v -w -x -A -r= --list-full --count "
        "--delimiter= --full --pgroup= --group= --ignore-case --list-name --newest --oldest "
        "--parent= --session= --terminal= --euid= --uid= --inverse --lightweight --exact "
        "--runstates="
    ),
    "pidof": _reads("-s -x -q -w -o= -S= --single-shot --omit-pid= --separator="),
    "pstree": _reads("-a -A -c -g -G -h -H= -l -n -N= -p -s -S -t -T -u -U -Z --arguments --ascii"),
    "vmstat": _reads(
        "-a -d -D -f -m -n -s -S= -t -w -p= --active --disk --stats --slabs --wide",
        operands=0,
    ),
    "lsblk": _reads(
        "-a -b -d -D -e= -f -h -i -I= -J -l -m -n -N -o= -O -p -P -r -s -S -t -T? -V -x= -z --all "
        "--bytes --nodeps --discard --exclude= --fs --ascii --include= --json --list --merge "
        "--perms --noheadings --output= --output-all --paths --pairs --raw --inverse --scsi "
        "--topology --tree? --sort="
    ),
    "lscpu": _reads("-a -b -B -c -C? -e? -J -p? -x -y --all --online --bytes --offline --caches? "
                    "--extended? --json --parse? --hex --physical --output-all", operands=0),
    "lsmem": _reads(
        "-a -b -J -n -o= -P -r -S= --all --bytes --json --noheadings --raw",
        operands=0,
    ),
    "lsmod": _reads(operands=0),
    "lspci": _reads("-m -t -v -k -x -b -D -n -d= -s= -P", operands=0),
    "lsusb": _reads("-v -s= -d= -t --verbose --tree", operands=0),
    "lsns": _reads(
        "-J -l -n -o= -p= -r -u -t= --json --list --noheadings --output= --task= --type=",
    ),
    "findmnt": _reads(
        "-a -A -b -c -C -D -e -f -i -J -k -l -n -o= -O= -P -r -R -S= -s -T= -t= -u -U -v -m --all "
        "--ascii --bytes --df --json --list --noheadings --output= --options= --pairs --raw "
        "--submounts --source= --target= --types= --kernel --fstab --mtab --real --pseudo"
    ),
    "dpkg-query": _reads("-l -L -S -s -p -W -c -f= --list --listfiles --search --status --show "
                         "--print-avail --showformat= --control-list --no-pager"),
    "apt-cache": _reads("-n -f -a -i -q --names-only --full --installed --no-all-versions "
                        "--recurse"),
    "apk": _reads("-v -e -a -q -L --installed --all --verbose --quiet --no-network"),
    "rpm": _reads("-q -a -i -l -f -R -c -d --query --all --info --list --file --requires "
                  "--provides --changelog --whatprovides --whatrequires --last --qf= "
                  "--queryformat="),
    "sysctl": _reads("-a -n -N -e -b --all --values --names --ignore --binary --pattern= -r=",
                     operand_pattern=r"[A-Za-z0-9_./-]+"),
    "timedatectl": _reads("-p= -a --property= --all --value --no-pager"),
    "hostnamectl": _reads("--json= --no-pager"),
    "loginctl": _reads(
        "-p= -a -l --property= --all --full --value --no-pager --no-legend -o= --output=",
    ),
    "true": _reads(),
    "false": _reads(),
    "seq": _reads("-f= -s= -w --format= --separator= --equal-width"),
    "which": _reads("-a"),
    "locale": _reads("-a -m -k -c"),
    "getconf": _reads("-a"),
}  # fmt: skip
"""By name. Some are judged further by their verbs: see `verbs.py`."""
