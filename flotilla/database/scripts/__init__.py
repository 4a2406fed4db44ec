"""What alembic runs; the versions are each service's own."""
