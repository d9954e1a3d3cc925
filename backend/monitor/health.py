"""Can this process do its work? Each part by itself, on connections of its own, given up soon."""

from django.db import Error, connection
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from license import schema
from monitor import broker

CONNECT_SECONDS = 2
NOT_LIBPQ = ("cursor_factory", "context", "prepare_threshold")
"""What Django says to psycopg."""
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
    """Whether it would take a connection: asked without one, since one that is kept may be of a server that is gone
    without a word."""
    known = connection.get_connection_params() | {"connect_timeout": CONNECT_SECONDS}
    asked = make_conninfo("", **{name: value for name, value in known.items() if name not in NOT_LIBPQ})
    return PGconn.ping(asked.encode()) == Ping.OK


def _database_and_schema() -> tuple[bool, bool]:
    """Asked by a connection of its own, which is what the next person needs."""
    own = connection.copy()
    own.settings_dict["OPTIONS"] = own.settings_dict["OPTIONS"] | {"connect_timeout": CONNECT_SECONDS}
    is_there = False
    try:
        own.ensure_connection()
        is_there = True
        return True, not schema.look(own).missing
    except Error:
        return is_there, False
    finally:
        own.close()
