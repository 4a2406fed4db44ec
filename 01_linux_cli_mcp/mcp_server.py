"""Starts the Linux spoke."""

from flotilla.serving import serve
from linux_cli import build
from linux_cli.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
