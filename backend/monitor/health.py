"""Can this process do its work? Each part by itself, on connections of its own, given up soon."""

from functools import cache

from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from monitor import broker

CONNECT_SECONDS = 2
OK, NOT_OK = "ok", "failed"


def ready() -> tuple[bool, dict[str, str]]:
    """Whether requests should be sent here, and a word on each part.

    The broker is told and decides nothing: without it pages, entries and the API work, and the relay does what workers
    would; to take the pages away as well would make a small trouble a great one."""
    is_database_there, is_schema_current = _database_and_schema()
    parts = {"database": is_database_there, "schema": is_schema_current, "broker": is_broker_there()}
    return is_database_there and is_schema_current, {part: OK if is_ok else NOT_OK for part, is_ok in parts.items()}


def is_broker_there() -> bool:
    """Whether it answers."""
    try:
        broker.queue_lengths()
    except OSError:
        return False
    return True


def is_database_there() -> bool:
    """Whether it takes a new connection and answers."""
    return _database_and_schema()[0]


def _database_and_schema() -> tuple[bool, bool]:
    """A connection of its own: one that is kept may be of a server that is gone without a word, and a new one is what
    the next person needs."""
    own = _own_connection()
    try:
        return True, _wanted() <= MigrationRecorder(own).applied_migrations().keys()
    except Error:
        return False, False
    finally:
        own.close()


def _own_connection() -> BaseDatabaseWrapper:
    own = connection.copy()
    own.settings_dict["OPTIONS"] = own.settings_dict["OPTIONS"] | {"connect_timeout": CONNECT_SECONDS}
    return own


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """The migrations that this code has."""
    return frozenset(MigrationLoader(None).graph.nodes)
