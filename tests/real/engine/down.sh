#!/bin/bash
# Stops the engine that up.sh started in FOLDER, and takes back what it left on the machine: mounts,
# bridges, rules, forwarding. The images stay for the next time unless `--wipe` is given.
#
# usage: down.sh FOLDER [--wipe]
set -uo pipefail
cd "$1" || exit 1
W=$PWD
export DOCKER_HOST=unix://$W/docker.sock

bridges=(docker0)
if [ -s dockerd.pid ] && docker info >/dev/null 2>&1; then
    while read -r id; do
        bridges+=("br-$id")
    done < <(docker network ls --filter driver=bridge --filter type=custom --format '{{.ID}}')
    # With them go the rules of their published ports.
    docker ps -aq | xargs -r timeout 60 docker rm -f >/dev/null
    for kind in network volume image; do docker "$kind" prune -f >/dev/null; done
    pid=$(cat dockerd.pid)
    kill "$pid"
    for _ in $(seq 120); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.25
    done
    kill -0 "$pid" 2>/dev/null && kill -KILL "$pid"
    for bridge in "${bridges[@]}"; do
        ip link del "$bridge" 2>/dev/null
    done
    # Only rules that the engine made name its chains or its bridges.
    iptables-save | grep -vE "DOCKER|docker0|br-[0-9a-f]{12}" |
        sed "s/^:FORWARD [A-Z]*/:FORWARD $(cat forward_policy.before 2>/dev/null || echo ACCEPT)/" |
        iptables-restore
    [ -s ip_forward.before ] && sysctl -qw "net.ipv4.ip_forward=$(cat ip_forward.before)"
fi
awk -v folder="$W/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r |
    while read -r mount; do umount "$mount"; done
rm -f dockerd.pid docker.sock ip_forward.before forward_policy.before
if [ "${2:-}" = --wipe ]; then rm -rf "${W:?}"; fi
exit 0
