"""The catalogue's database: SQLite beside the store, or PostgreSQL by its URL; brought to today's tables."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

from carna.errors import InputError


def opened(url: str) -> Engine:
    """Return the engine of a database whose tables are those of this version.

    Parameters
    ----------
    url : str
        ``sqlite:////path/to/catalogue.db`` or ``postgresql+psycopg://...``.

    Raises
    ------
    InputError
        The database can't be opened, or was made by a later version.
    """
    from sqlalchemy.exc import OperationalError

    lite = url.startswith("sqlite")
    if lite:
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_pre_ping=not lite, connect_args={"timeout": 30.0} if lite else {})
    if lite:
        event.listen(engine, "connect", _tuned)
        event.listen(engine, "begin", _at_once)
    try:
        _upgrade(engine)
    except OperationalError as error:
        raise InputError(
            f"the catalogue {engine.url.render_as_string(hide_password=True)} can't be opened: {error.orig}",
            needed="a database that answers",
            fix="start it, or mend the URL",
        ) from error
    return engine


def _tuned(connection: Any, _: object) -> None:
    """Let readers read while one writes; a crash of the process loses nothing that was committed."""
    connection.isolation_level = None  # SQLAlchemy begins, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _at_once(connection: Any) -> None:
    """Take the lock when a writing transaction begins: one begun as a reader could not grow into a writer."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    with as_file(files("carna.node.catalogue") / "migrations") as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise InputError(
                    f"the catalogue was made by another version: {error}",
                    needed="tables this version knows",
                    fix="install the version that made it, or a later one",
                ) from error
