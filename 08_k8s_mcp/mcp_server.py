"""Start the k8s spoke."""

from flotilla.serving import serve
from k8s import build
from k8s.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
