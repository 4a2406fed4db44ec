"""Start the vmware spoke."""

from flotilla.serving import serve
from vmware import build
from vmware.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
