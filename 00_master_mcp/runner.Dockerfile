ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# --- the same in every service, so that the images share these layers -------------------------
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOTILLA_DATA_DIR=/data \
    FLOTILLA_CONFIG_DIR=/app/config \
    FLOTILLA_BIND=0.0.0.0
# A volume that is mounted over these folders for the first time takes their owner.
RUN groupadd --gid 10001 flotilla \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin flotilla \
    && install -d -o 10001 -g 10001 -m 0700 /data \
    && install -d -o 10001 -g 10001 -m 0755 /hub \
    && install -d -o 10001 -g 10001 -m 0750 \
        /passwords /passwords/postgres /passwords/redis /passwords/master /passwords/cmdb \
        /passwords/secrets \
        /certificates /certificates/master /certificates/linux_cli /certificates/azure \
        /certificates/google_cloud /certificates/vmware /certificates/web_search \
        /certificates/web_browsing /certificates/k8s /certificates/cmdb /certificates/secrets \
    && python -m venv --without-pip /opt/venv
RUN --mount=type=bind,source=flotilla/requirements.txt,target=/tmp/requirements.txt \
    pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: --disable-pip-version-check -r /tmp/requirements.txt

# --- this service -----------------------------------------------------------------------------
# Node's npx and uv's uvx fetch and run most of the external servers there are; git is what some work
# with. Bubblewrap shuts them in where the engine lets it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates git nodejs npm \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,source=00_master_mcp/requirements.txt,target=/tmp/requirements.txt \
    pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: --disable-pip-version-check -r /tmp/requirements.txt
RUN --mount=type=bind,source=00_master_mcp/runner-requirements.txt,target=/tmp/requirements.txt \
    pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: --disable-pip-version-check -r /tmp/requirements.txt
COPY --chmod=0555 flotilla /app/flotilla
COPY --chmod=0555 00_master_mcp /app/00_master_mcp
RUN python -m compileall -q /app
# The homes of the programs, each a user's of its own: all may pass, root alone makes new ones.
RUN install -d -o 0 -g 0 -m 0711 /data

LABEL org.opencontainers.image.title="flotilla-external-runner" \
      org.opencontainers.image.description="Runs the external MCP servers of Flotilla, away from the hub's keys." \
      org.opencontainers.image.version="0.1.0"
WORKDIR /app/00_master_mcp
# Without rights but those to change to another user and to end its processes: see docker-compose.yml.
USER 0:0
EXPOSE 8020
# Ready, not merely alive: what waits for this container wants to call it.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-ISc", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8020, timeout=4); c.request('GET', '/ready'); r = c.getresponse(); print(r.read().decode()); raise SystemExit(r.status != 200)"]
ENTRYPOINT ["python", "runner.py"]
