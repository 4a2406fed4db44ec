#!/bin/bash
# A Docker engine with compose and buildx from Debian's packages alone, and local images under the
# names that our Dockerfiles and docker-compose.yml use: for machines that reach no image registry.
#
# usage: up.sh FOLDER     needs root and Debian; FOLDER keeps the images for the next time
#                         exit code 75: this machine cannot have an engine, as the last line says
# then:  export DOCKER_HOST=unix://FOLDER/docker.sock DOCKER_CONFIG=FOLDER/config PATH=FOLDER/bin:$PATH
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
W=$PWD
export DEBIAN_FRONTEND=noninteractive DOCKER_CONFIG=$W/config DOCKER_HOST=unix://$W/docker.sock
export PATH=$W/bin:$PATH

doing="install Docker"
policy=
finish() {
    local code=$?
    if [ -n "$policy" ]; then rm -f "$policy"; fi
    if [ "$code" != 0 ] && [ -n "$doing" ]; then
        echo "this machine could not $doing" >&2
        exit 75
    fi
    exit "$code"
}
trap finish EXIT

install_engine() {
    command -v dockerd >/dev/null && command -v iptables >/dev/null &&
        command -v mmdebstrap >/dev/null && return
    # The packages must not start a daemon of their own.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends docker.io iptables mmdebstrap >/dev/null
}

# Compose and buildx are in the next suite of the same mirror: unpacked here, not installed.
unpack_plugins() {
    [ -x config/cli-plugins/docker-compose ] && return
    mkdir -p apt/lists/partial apt/cache/archives/partial config/cli-plugins bin unpacked
    sed -n '1,/^$/p' /etc/apt/sources.list.d/debian.sources |
        sed 's/^Suites:.*/Suites: trixie/' >apt/trixie.sources
    local options=(
        -o "Dir::Etc::sourcelist=$W/apt/trixie.sources" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$W/apt/lists" -o "Dir::Cache=$W/apt/cache"
        -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update -qq
    (
        cd unpacked
        apt-get "${options[@]}" download -qq docker-cli docker-compose docker-buildx
        for package in *.deb; do dpkg -x "$package" .; done
    )
    cp unpacked/usr/bin/docker bin/
    cp unpacked/usr/libexec/docker/cli-plugins/docker-{compose,buildx} config/cli-plugins/
    rm -rf apt unpacked
}

start_engine() {
    docker info >/dev/null 2>&1 && return
    if grep -qsx dockerd /proc/[0-9]*/comm; then
        doing="run a second Docker daemon: one runs already that does not answer or has no compose"
        return 1
    fi
    # What down.sh puts back.
    sysctl -n net.ipv4.ip_forward >ip_forward.before
    { iptables -S FORWARD || true; } | sed -n 's/^-P FORWARD //p' >forward_policy.before
    local mtu
    mtu=$(cat "/sys/class/net/$(ip route show default | awk '{print $5; exit}')/mtu" 2>/dev/null || echo 1500)
    setsid dockerd --data-root "$W/data" --exec-root "$W/exec" -H "$DOCKER_HOST" --mtu "$mtu" \
        --pidfile "$W/dockerd.pid" >dockerd.log 2>&1 </dev/null &
    local daemon=$!
    for _ in $(seq 120); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.25
    done
    tail -5 dockerd.log >&2
    return 1
}

# Debian of a suite with this machine's authorities, so that apt and pip work inside a build.
# The packages of this first layer are what the image's own Dockerfile finds in the official base.
base_image() { # SUITE IMAGE PACKAGES
    docker image inspect "$2" >/dev/null 2>&1 && return
    local context ca=/etc/ssl/certs/ca-certificates.crt
    context=$(mktemp -d "$W/context.XXXXXX")
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="ca-certificates,$3" "$1" "$context/root.tar"
    cp $ca "$context/ca.crt"
    {
        echo "FROM scratch"
        echo "ADD root.tar /"
        echo "COPY ca.crt $ca"
        echo "RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED"
        echo "ENV PIP_CERT=$ca SSL_CERT_FILE=$ca REQUESTS_CA_BUNDLE=$ca PIP_DEFAULT_TIMEOUT=60"
        echo 'CMD ["/bin/bash"]'
    } >"$context/Dockerfile"
    docker build -q -t "$2" "$context" >/dev/null
    rm -rf "$context"
}

images() {
    base_image bookworm python:3.11-slim-bookworm python3,python3-venv,python3-pip,python-is-python3 &
    local python=$!
    base_image trixie debian:trixie-slim netbase
    wait "$python"
    docker image inspect postgres:17 >/dev/null 2>&1 ||
        docker build -q -t postgres:17 "$here/postgres" >/dev/null &
    local postgres=$!
    docker image inspect valkey/valkey:8.1 >/dev/null 2>&1 ||
        docker build -q -t valkey/valkey:8.1 "$here/valkey" >/dev/null
    wait "$postgres"
}

install_engine
doing="fetch compose and buildx"
unpack_plugins
doing="run a Docker daemon"
start_engine
doing=""
images
