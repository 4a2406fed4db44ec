"""Start the hub."""

import sys

from flotilla.serving import serve_services
from flotilla.serving.run import Feed
from master import build
from master.settings import Settings
from master.workers import in_workers
from master.workers.place import Place


def serve(place: Place, feed: Feed | None) -> None:
    serve_services([lambda: build(Settings.from_env(), place=place)], feed)


if __name__ == "__main__":
    sys.exit(in_workers(serve))
