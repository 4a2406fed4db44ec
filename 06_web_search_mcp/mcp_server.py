"""Start the web_search spoke."""

from flotilla.serving import serve
from web_search import build
from web_search.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
