"""The queries of an app: `.sql` files in a folder, each named for what it does and opening with a line that says so."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection

_INCLUDE = re.compile(r"/\* include (\w+)\.sql \*/")


class Queries:
    """The files of one folder. `/* include NAME.sql */` in a file stands for the text of another, of the same folder or
    of `others`."""

    def __init__(self, folder: Path, *others: "Queries") -> None:
        self._folder = folder
        self._others = others
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
        with connection.cursor() as cursor:
            cursor.execute(self.load(name), parameters)
            rows: list[Any] = cursor.fetchall()
            return rows

    def column(self, name: str, **parameters: Any) -> list[Any]:
        """Run a query that yields one column, and fetch its values."""
        return [value for (value,) in self.rows(name, **parameters)]

    def dicts(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a query and fetch its rows by the names of their columns."""
        with connection.cursor() as cursor:
            cursor.execute(self.load(name), parameters)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, name: str, **parameters: Any) -> int:
        """Run a statement. How many rows it wrote."""
        with connection.cursor() as cursor:
            cursor.execute(self.load(name), parameters)
            return int(cursor.rowcount)
