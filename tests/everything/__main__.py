"""Start the server: `python -m everything --transport streamable-http --port 9000`."""

import argparse

import anyio

from .eras import Era
from .serving import application, run, serve_stdio


def main() -> None:
    options = argparse.ArgumentParser(prog="everything", description=__doc__)
    options.add_argument(
        "--transport", choices=["streamable-http", "sse", "stdio"], default="streamable-http"
    )
    options.add_argument("--port", type=int, default=9000, help="on loopback; not for stdio")
    options.add_argument("--era", type=Era, choices=list(Era), default=Era.BOTH)
    options.add_argument("--json-response", action="store_true", help="never answer by SSE")
    options.add_argument("--no-resume", action="store_true", help="streams without event IDs")
    given = options.parse_args()
    if given.transport == "stdio":
        anyio.run(serve_stdio, None, given.era)
        return
    try:
        app = application(
            None,
            given.transport,
            given.era,
            json_response=given.json_response,
            resumable=not given.no_resume,
        )
    except ValueError as error:
        options.error(str(error))
    run(app, given.port)


if __name__ == "__main__":
    main()
