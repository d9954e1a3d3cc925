"""The queries of an app: `.sql` files in a folder, each named for what it does and opening with a line that says so."""

import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

ROWS_AT_ONCE = 2_000
"""Of a stream."""
_INCLUDE = re.compile(r"/\* include (\w+)\.sql \*/")


class Queries:
    """The files of one folder. `/* include NAME.sql */` in a file stands for the text of another, of the same folder or
    of `others`.

    The `prepared` ones are parsed and planned once for a connection, unless it goes through a pooler. Each is one
    statement with parameters, and one plan is good for all of them: PostgreSQL may no longer look at what they are.
    """

    def __init__(self, folder: Path, *others: "Queries", prepared: Collection[str] = ()) -> None:
        self._folder = folder
        self._others = others
        self._prepared = frozenset(prepared)
        self.load = cache(self._read)

    def _read(self, name: str) -> str:
        """The text of `NAME.sql`. Raises FileNotFoundError."""
        path = self._folder / f"{name}.sql"
        for other in self._others:
            if not path.exists():
                return other.load(name)
        return _INCLUDE.sub(lambda include: self.load(include[1]), path.read_text(encoding="utf-8"))

    def rows(self, name: str, **parameters: Any) -> list[Any]:
        """Run a query and fetch its rows."""
        with self._cursor(name) as cursor:
            cursor.execute(self.load(name), parameters)
            rows: list[Any] = cursor.fetchall()
            return rows

    def column(self, name: str, **parameters: Any) -> list[Any]:
        """Run a query that yields one column, and fetch its values."""
        return [value for (value,) in self.rows(name, **parameters)]

    def dicts(self, name: str, *, given: str = "", **parameters: Any) -> list[dict[str, Any]]:
        """Run a query and fetch its rows by the names of their columns. Common table expressions that are given take
        the places of the tables of their names."""
        with self._cursor(name) as cursor:
            cursor.execute(f"{given}\n{self.load(name)}" if given else self.load(name), parameters)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def stream(self, name: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The same, but the rows are fetched while they are taken, and never all in memory; unless the connection goes
        through a pooler that shares sessions."""
        if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            yield from self.dicts(name, **parameters)
            return
        with connection.chunked_cursor() as cursor:
            cursor.execute(self.load(name), parameters)
            names = [column.name for column in cursor.description]
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield from (dict(zip(names, row, strict=True)) for row in rows)

    def execute(self, name: str, **parameters: Any) -> int:
        """Run a statement. How many rows it wrote."""
        with self._cursor(name) as cursor:
            cursor.execute(self.load(name), parameters)
            return int(cursor.rowcount)

    def _cursor(self, name: str) -> CursorWrapper:
        cursor = connection.cursor()
        if name in self._prepared:
            cursor.cursor.close()
            cursor.cursor = _Prepared(connection.connection)
        return cursor


class _Prepared(psycopg.Cursor[Any]):
    """Prepares each statement. Django's own cursor puts parameters into the text, and so never does."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> "_Prepared":
        return super().execute(query, params, prepare=True)


def prepare_nothing_behind_a_pooler(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Where clients share sessions, one would run what another has prepared under the same name: another statement.

    A pooler has process ids of its own, to know whose query is to be cancelled; Django's DISABLE_SERVER_SIDE_CURSORS
    tells of one that has not."""
    if (
        connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        or backend_of(connection) != connection.connection.info.backend_pid
    ):
        connection.connection.prepare_threshold = None


def backend_of(connection: BaseDatabaseWrapper) -> int:
    """The process of PostgreSQL that serves this connection now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    return int(pid)
