"""Start the web_browsing spoke."""

from flotilla.serving import serve
from web_browsing import build
from web_browsing.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
