"""How the tables became what they are, for alembic."""

from pathlib import Path

SCRIPTS = Path(__file__).parent
