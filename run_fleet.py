"""Start the whole fleet without Docker: `python3 run_fleet.py`; `--help` tells the rest."""

import argparse
import sys

OLDEST = (3, 11)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_fleet.py",
        description="Start the fleet: the hub, and the spokes together in a second process. "
        "Settings come from the environment and .env; .env.example lists them all.",
    )
    parser.add_argument(
        "--services",
        metavar="LIST",
        help="only these, by number or name (01,12 or linux_cli,cmdb); the hub always comes along",
    )
    parser.add_argument("--isolate", action="store_true", help="each spoke in its own process")
    parser.add_argument(
        "--check", action="store_true", help="start nothing; say whether it could start"
    )
    return parser.parse_args()


def main() -> int:
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"flotilla: Python 3.11 or newer is needed; this is {found}", file=sys.stderr)
        return 2
    asked = options()
    from tools.environment import FLEET_LOCK, CannotInstall, enter

    try:
        enter(FLEET_LOCK)
    except CannotInstall as error:
        print(f"flotilla: {error}", file=sys.stderr)
        return 1
    from flotilla.launch import check, launch

    if asked.check:
        return check(asked.services)
    return launch(asked.services, isolate=asked.isolate)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
