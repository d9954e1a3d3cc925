"""Is the database migrated as far as this code, not as far, or further? (docs/decisions/0020-outdated-schema.md)"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, ProgrammingError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from license.about import named
from license.sql import queries

logger = logging.getLogger(__name__)

MOST_NAMED = 3


class OutdatedError(Exception):
    """The database lacks migrations of this code. Says in one line which, and what to do."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Migrations by app and name, where database and code do not have the same."""

    missing: list[str]
    """This code has them, the database has not."""
    unknown: list[str]
    """The database has them, of apps of ours, and this code has not: it is older."""

    @property
    def complaint(self) -> str:
        """In one line, without what to do. Empty: the two are one."""
        if self.missing:
            return f"The database is older than this code, and lacks {named(self.missing, MOST_NAMED)}"
        if self.unknown:
            return f"This code is older than the database, and does not know {named(self.unknown, MOST_NAMED)}"
        return ""


def look(database: BaseDatabaseWrapper | None = None) -> Schema:
    """How they stand, by the usual connection or by one of one's own. DatabaseError: it cannot be told. Takes some
    milliseconds."""
    database = database or connections[DEFAULT_DB_ALIAS]
    loader = MigrationLoader(database)
    if not loader.applied_migrations:
        with database.cursor() as cursor:
            cursor.execute(queries.load("may_see_tables"))
            if cursor.fetchone() != (True,):
                raise ProgrammingError("permission denied for schema public")
    ours = {config.label for config in apps.get_app_configs() if Path(config.path).parent == settings.BACKEND}
    return Schema(
        missing=_sorted(loader.graph.nodes.keys() - loader.applied_migrations.keys()),
        unknown=_sorted(key for key in loader.applied_migrations.keys() - loader.disk_migrations if key[0] in ours),
    )


def refuse_outdated() -> None:
    """Raise OutdatedError where the database is behind; warn where it is ahead. DatabaseError: it cannot be told."""
    schema = look()
    if schema.missing:
        raise OutdatedError(f"{schema.complaint}: run manage.py migrate.")
    if schema.complaint:
        logger.warning("%s. It goes on: upgrade it soon.", schema.complaint)


def check_at_start() -> None:
    """The same for a process that begins. It leaves no connection open, which a fork would share. A database that
    cannot be asked is not refused: who needs it says why it is not there, or waits for it."""
    try:
        refuse_outdated()
    except Error as error:
        logger.info("the schema could not be looked at: %s", error)
    finally:
        connection.close()


def _sorted(keys: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(".".join(key) for key in keys)
