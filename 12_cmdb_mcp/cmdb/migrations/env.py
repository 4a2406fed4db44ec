"""What alembic runs: the migrations, on the connection and in the transaction that it is given."""

from alembic import context

from cmdb.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Both databases can take back DDL, so half a migration never stays.
    transactional_ddl=True,
)
context.run_migrations()
