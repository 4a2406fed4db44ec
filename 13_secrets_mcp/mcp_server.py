"""Start the secrets spoke."""

from flotilla.serving import serve
from secret_store import build
from secret_store.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
