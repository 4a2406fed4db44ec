#!/bin/sh
# Starts the service in its container, after saying plainly what would stop it.
set -eu
cd "$(dirname "$0")"

stop() {
    echo "flotilla: $1" >&2
    exit 2
}

[ -w "$FLOTILLA_DATA_DIR" ] ||
    stop "FLOTILLA_DATA_DIR: uid $(id -u) cannot write $FLOTILLA_DATA_DIR; its volume must belong to that user"
[ -r "$FLOTILLA_CONFIG_DIR/services.yaml" ] ||
    stop "FLOTILLA_CONFIG_DIR: uid $(id -u) cannot read $FLOTILLA_CONFIG_DIR/services.yaml; let everybody read config/"

exec python mcp_server.py
