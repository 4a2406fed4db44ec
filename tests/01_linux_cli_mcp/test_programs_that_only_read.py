"""The judge of runReadOnly, seen by somebody who wants it to write, run or leak something."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import FlotillaError, InvalidArgument, NotAllowed
from linux_cli.readonly import judge
from linux_cli.readonly.git import check_config
from linux_cli.readonly.programs import PROGRAMS

ATTACKS = r"""
rm -rf /
sh -c id
bash -c id
/bin/sh -c id
python3 -c 'import os'
perl -e 1
env id
env -S id
xargs rm
nohup id
timeout 1 id
nice id
sudo id
tee /tmp/x
dd if=/dev/zero of=/tmp/x
cp a b
mv a b
ln -s a b
touch /tmp/x
mkdir x
chmod 777 x
kill 1
pkill x
less x
more x
vi x
man ls
top
watch ls
curl http://x
wget http://x
nc -l 1
ssh x
dig x
awk 'BEGIN{system("id")}'
sed -n '1e id' x
sed -i s/a/b/ x
sed -n 'w /tmp/x' x
find . -exec id ;
find . -execdir id ;
find . -ok id ;
find . -okdir id ;
find . -delete
find . -fprint /tmp/x
find . -fprint0 /tmp/x
find . -fprintf /tmp/x %p
find . -fls /tmp/x
find -files0-from x
find . -name -delete
find . -newer -exec
find -D exec .
find . -exe id ;
sort -o /tmp/x a
sort -uo /tmp/x a
sort -o/tmp/x a
sort --output=/tmp/x a
sort --output /tmp/x a
sort --out=/tmp/x a
sort --o /tmp/x a
sort a -o b
sort --compress-program=id a
sort --compress-prog id a
sort --files0-from=x
sort -T /tmp a
sort -- -o x
sort -k -o x
uniq a b
uniq -c a b
uniq -- a b
tar xf a.tar
tar tf a.tar
tar -xf a.tar
tar -cf a.tar b
tar -tf a.tar --to-command=id
tar -tf a.tar --checkpoint=1
tar -tf a.tar --checkpoint-action=exec=id
tar -tf a.tar -I id
tar -tIid -f a.tar
tar -tf a.tar --use-compress-program=id
tar -tf a.tar --use-comp=id
tar -tf a.tar --rsh-command=id
tar -tf a.tar -F id
tar -tf a.tar --info-script=id
tar -tf a.tar -T list
tar -f a.tar
tar --delete -f a.tar x
tar -tf a.tar --index-file=/tmp/x
git
git -c core.pager=id log
git -ccore.pager=id log
git --exec-path=/tmp log
git --git-dir=/tmp/x log
git --git-dir /tmp/x log
git --work-tree=/tmp log
git -p log
git --paginate log
git --help log
git log --output=/tmp/x
git log --output /tmp/x
git log --outp=/tmp/x
git log --ext-diff
git log --textconv
git log --format=%G?
git log --format=%GS
git log --pretty=format:%GK
git log --show-signature
git for-each-ref --format=%(signature)
git diff --ext-diff
git diff --textconv
git diff --output=x
git diff -O /tmp/x
git show --textconv HEAD:x
git grep -O x
git grep -Oid x
git grep --open-files-in-pager=id x
git grep --open-files=id x
git grep --textconv x
git branch new
git branch -l new
git branch -d x
git branch -D x
git branch -m a b
git branch -f a b
git branch --edit-description
git branch --set-upstream-to=x
git tag v1
git tag -d v1
git tag -a v1
git tag -v v1
git tag --verify v1
git remote add x y
git remote -v update
git remote show origin
git stash
git stash push
git stash pop
git stash -p list
git stash drop
git stash clear
git reflog expire
git reflog delete x
git worktree add x
git worktree prune
git commit -m x
git add .
git checkout x
git reset --hard
git clean -fdx
git gc
git fetch
git pull
git push
git clone x
git ls-remote ext::id
git archive HEAD
git bisect run id
git difftool
git mergetool
git config --list
git config core.pager id
git submodule foreach id
git rebase -x id
git filter-branch
git cat-file --filters HEAD:x
git cat-file --textconv HEAD:x
git cat-file --batch
git blame --contents=x y --output=z
git rev-parse --parseopt
git shortlog --output=x
git log -- -x
ip link set eth0 down
ip link s eth0 down
ip l set eth0 down
ip addr add 1.2.3.4 dev lo
ip a flush dev lo
ip route add default via 1.1.1.1
ip route replace default
ip r del default
ip route save
ip route restore
ip netns exec x id
ip netns add x
ip netns pids x
ip netns x exec id
ip -n x link
ip -netns x link show
ip -all netns exec id
ip -a netns exec id
ip -batch /tmp/x
ip -b /tmp/x
ip -ba /tmp/x
ip -force -batch x
ip -resolve route
ip vrf exec x id
ip monitor
ip xfrm state flush
ip tuntap add x
ip link show -batch x
ss -K
ss --kill
ss -tK dst 1.1.1.1
ss -D /tmp/x
ss --diag=/tmp/x
ss --di=/tmp/x
ss -F /tmp/x
ss -r
ss --resolve
ss -N x
ss -E
systemctl stop x
systemctl start x
systemctl restart x
systemctl reboot
systemctl kill x
systemctl set-property x y
systemctl edit x
systemctl daemon-reload
systemctl -H evil status
systemctl --host=evil status
systemctl -M x status
systemctl --root=/tmp status
systemctl --image=x status
systemctl --no-pager stop x
systemctl status -- --root=/x
systemctl import-environment
systemctl show-environment
journalctl --rotate
journalctl --vacuum-size=1
journalctl --vacuum-time=1s
journalctl --vacuum-files=1
journalctl --vacuum-t=1s
journalctl --flush
journalctl --sync
journalctl --relinquish-var
journalctl --smart-relinquish-var
journalctl --setup-keys
journalctl --update-catalog
journalctl --image=x
journalctl --root=x
journalctl -f
journalctl -n --rotate
journalctl -n --flush
journalctl --file=x
journalctl -D /x
journalctl --rot
dmesg -C
dmesg -c
dmesg --clear
dmesg --read-clear
dmesg -n 1
dmesg -D
dmesg -E
dmesg --console-off
dmesg -w
dmesg -xC
dmesg --cle
date -s 2020-01-01
date --set=2020-01-01
date --se 2020-01-01
date 010100002020
date -us 2020
hostname evil
hostname -F /tmp/x
hostname --file=x
hostname -b x
hostname -f
uname x
file -C -m x
file --compile
file -Cm x
file -f list
file -m magic x
file -p x
file -S x
tree -o x
tree -Lo 2 /tmp/x
tree -R -H x -L 1
tree --fromfile x
tail -f x
tail -F x
tail --follow x
tail --retry x
tail --pid=1 x
head --by=1 x
wc --files0-from=x
wc --files0=x
du --files0-from=x
md5sum -c x
sha256sum --check x
who --lookup
who --look
getent hosts secret.evil.example
getent ahosts x
getent shadow
getent passwd -s x
getent -s x passwd
ps e
ps auxe
ps axe
ps -aux e
ps -o pid,environ
ps -Ao environ
ps -A -o pid,ENVIRON
ps -A -C e
ps -u e
ps -pe
ps -p e
ps --format=pid,environ
ps -A --format pid,environ
ps -auxe
pgrep --signal 9 x
last -f x
w -p x
free -s 1
vmstat 1
sysctl -w kernel.hostname=x
sysctl kernel.hostname=x
sysctl -p /tmp/x
sysctl --system
sysctl --load=x
timedatectl set-time x
timedatectl set-ntp 0
hostnamectl set-hostname x
hostnamectl hostname x
loginctl terminate-user x
loginctl -H evil list-users
apt-cache gencaches
apt-cache add x
apt-cache -o APT::x=y show z
apk add x
apk del x
apk -X http://x info
rpm -e x
rpm -i x
rpm -qp http://x/y
rpm -E %(id)
rpm --eval=x
rpm -q --pipe=id x
rpm x
dpkg-query --admindir=x -l
lspci -A x
lspci -q
lsusb -D x
findmnt -p
findmnt --poll
findmnt -F x
column -J x
getconf -v x y
locale --charmap-evil
hexdump -f x y
diff --to-file=x y --output=z
grep -r --include=x --exclude-from=y z
grep --fil=x y
ls --col
ls -a --unknown
ls -%
cat --evil x
echo --evil
id --evil
strings @x
"""

FINE = r"""
ls
ls -la /etc
ls -lah --color=never --sort=time /etc
ls -- /etc
cat /etc/hostname
cat -n -
/bin/cat /etc/hostname
head -5 x
head -n 5 x
head -n5 x
tail -n 20 x
tail -c +10 x
wc -l x
stat -c %s x
stat --format=%s x
file -bi x
grep -rn --include=*.py foo .
grep -E -e-x y
grep -A3 -B 2 foo x
grep -c foo x
cut -d: -f1 /etc/passwd
cut -d : -f 1,3 /etc/passwd
tr a b
uniq -c x
sort -u -k2,2n -t: x
sort --reverse x
diff -u a b
diff -U3 a b
cmp a b
md5sum x
sha256sum a b
du -sh /var
du -h --max-depth=1 /var
df -hT
find . -name *.py -type f -mtime -5 -print
find /etc -maxdepth 2 ( -name a -o -name b ) -not -path x
find -L . -size +10k -printf %p
tar -tvf a.tar
tar --list --file=a.tar
tar -tzf a.tgz
git status
git status --short --branch
git -C /x log --oneline -5
git log -n 5 --since=yesterday --author=x -p -- a b
git log main..dev --stat
git show HEAD
git show HEAD:README.md
git diff --stat HEAD~1
git diff --cached
git branch
git branch -a
git branch -vv
git branch --list feat*
git tag
git tag -l v*
git tag -n
git remote -v
git stash list
git stash show -p
git worktree list
git reflog show -5
git rev-parse HEAD
git ls-files
git ls-tree -r HEAD
git cat-file -p HEAD
git blame -L 1,5 x
git describe --tags
git for-each-ref --format=%(refname)
git grep -n foo
git --version
ip a
ip addr
ip addr show dev lo
ip -br link
ip -j -s link show
ip -4 route
ip r get 1.1.1.1
ip neigh show
ip netns list
ip -f inet addr
ss -tlnp
ss -s
ss -tan state established
systemctl status nginx
systemctl --failed
systemctl list-units --type=service --all
systemctl show -p ActiveState nginx
systemctl is-active nginx
systemctl cat nginx
journalctl -u nginx -n 50 --since=-1h
journalctl -b -p err
dmesg -T
dmesg --level=err
date
date -u +%s
date -d yesterday +%F
hostname
hostname -I
uname -a
uptime
free -m
nproc
id
id -u root
whoami
who -b
getent passwd root
ps aux
ps auxww
ps -ef
ps -eo pid,ppid,cmd
ps -A -o pid,etime --sort=-pid
ps -p 1 -o comm
pgrep -a sshd
pgrep -af python
lsblk -f
lscpu
lscpu -J
findmnt -t ext4
sysctl -a
sysctl kernel.hostname
sysctl -n vm.swappiness
timedatectl
hostnamectl status
loginctl list-sessions
dpkg-query -W -f=${Package}
dpkg-query -l
apt-cache policy bash
apk info -v
rpm -qa
tree -L 2 /etc
tree -a -I node_modules
readlink -f /bin/sh
realpath .
base64 x
od -An -tx1 x
hexdump -C x
echo hello
seq 5
which ls
locale
"""


def _argvs(table: str) -> list[list[str]]:
    return [shlex.split(line) for line in table.strip().splitlines()]


@pytest.mark.parametrize("argv", _argvs(ATTACKS), ids=" ".join)
def test_what_could_do_more_than_read_is_refused(argv: list[str]) -> None:
    with pytest.raises(NotAllowed):
        judge(argv)


@pytest.mark.parametrize("argv", _argvs(FINE), ids=" ".join)
def test_what_only_reads_is_let_through(argv: list[str]) -> None:
    judged = judge(argv)
    assert judged.program == argv[0]


@pytest.mark.parametrize("argv", [[], [""]])
def test_an_argv_without_a_program_is_a_mistake(argv: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        judge(argv)


def test_the_operator_may_vouch_for_a_program() -> None:
    with pytest.raises(NotAllowed):
        judge(["nvidia-smi", "-q"])
    assert judge(["nvidia-smi", "-q"], {"nvidia-smi"}).arguments == ("-q",)


def test_ps_cannot_fall_back_to_showing_environments() -> None:
    assert judge(["ps", "-ef"]).arguments == ("-Af",)


def test_tar_cannot_reach_another_machine() -> None:
    assert judge(["tar", "-tf", "evil:/x"]).arguments[0] == "--force-local"


def test_git_runs_without_what_a_repository_could_name() -> None:
    judged = judge(["git", "-C", "/x", "diff", "HEAD"])
    assert judged.arguments[-6:] == (
        *("-C", "/x", "diff", "--no-ext-diff"), "--no-textconv", "--ignore-submodules=all", "HEAD",
    )[-6:]  # fmt: skip
    assert judged.env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert judged.asks_git


@pytest.mark.parametrize(
    "name",
    [
        "core.sshcommand", "core.pager", "core.editor", "core.gitproxy", "core.worktree",
        "core.attributesfile", "core.alternaterefscommand", "filter.x.clean", "filter.x.process",
        "diff.external", "diff.x.textconv", "diff.x.command", "merge.x.driver", "gpg.program",
        "gpg.ssh.program", "pager.log", "pretty.x", "interactive.difffilter", "credential.helper",
        "remote.x.vcs", "remote.x.uploadpack", "trailer.x.command", "sequence.editor",
        "submodule.x.update", "something.new", "include.path", "tar.x.command", "man.x.cmd",
    ],
)  # fmt: skip
def test_a_repository_that_names_programs_is_left_alone(name: str) -> None:
    with pytest.raises(NotAllowed):
        check_config(f"core.bare\0{name}\0")


def test_an_ordinary_repository_is_looked_at() -> None:
    check_config(
        "core.repositoryformatversion\0core.filemode\0core.bare\0core.logallrefupdates\0"
        "remote.origin.url\0remote.origin.fetch\0branch.main.remote\0branch.feat/x.y.merge\0"
        "user.name\0user.email\0pull.rebase\0core.fsmonitor\0log.showsignature\0"
        "diff.ignoresubmodules\0core.hookspath\0"
    )


def test_every_program_s_options_are_known_by_an_exact_name() -> None:
    for program, grammar in PROGRAMS.items():
        for option in grammar.table.values():
            is_letter = len(option.name) == 2 and option.name[0] == "-"
            assert is_letter or option.name.startswith("--"), (program, option)
            assert option.takes in ("", "=", "?"), (program, option)


_DANGEROUS = ["-o", "--output=x", "-exec", "-delete", "--to-command=x", "-c", "-K", "--rotate"]
_WORDS = st.one_of(
    st.sampled_from(["-n", "--", "-", "x", "/etc", *_DANGEROUS]), st.text(max_size=8)
)


@given(st.sampled_from(sorted(PROGRAMS)), st.lists(_WORDS, max_size=6))
def test_no_argv_breaks_the_judge_or_hides_a_word_from_it(program: str, rest: list[str]) -> None:
    try:
        judged = judge([program, *rest])
    except FlotillaError:
        return
    grammar = PROGRAMS[program]
    for word in rest:
        if program in ("git", "ip", "find") or not word.startswith("--") or word == "--":
            continue
        assert word.partition("=")[0] in grammar.table
    assert judged.program == program


@given(st.sampled_from(sorted(PROGRAMS.keys() - {"echo"})), st.text(min_size=1, max_size=12))
def test_an_unknown_long_option_is_never_let_through(program: str, name: str) -> None:
    word = f"--zz{name}"
    for argv in ([program, word], [program, "x", word], [program, "--", word]):
        with pytest.raises(NotAllowed):
            judge(argv)


@given(st.sampled_from(sorted(PROGRAMS)), st.integers(3, 9))
def test_an_abbreviated_long_option_is_never_let_through(program: str, length: int) -> None:
    for name in PROGRAMS[program].table:
        short = name[:length]
        if name.startswith("--") and short not in PROGRAMS[program].table:
            with pytest.raises(NotAllowed):
                judge([program, f"{short}=x"])
