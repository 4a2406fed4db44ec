"""How the tables became what they are."""

from pathlib import Path

VERSIONS = Path(__file__).parent / "versions"
