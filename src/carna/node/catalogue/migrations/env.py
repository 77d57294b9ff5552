"""Run by Alembic: bring the tables of the given connection to those of this version."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True)
context.run_migrations()
