"""Run the migrations on the connection, and in the transaction, that alembic is given."""

from alembic import context

# SQLite and PostgreSQL can take back DDL, so half a migration never stays.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
