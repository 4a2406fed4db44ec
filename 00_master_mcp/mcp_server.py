"""Start the hub."""

from flotilla.serving import serve_services
from master import build
from master.settings import Settings

if __name__ == "__main__":
    serve_services([lambda: build(Settings.from_env())])
