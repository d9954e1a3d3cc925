"""The statements of the item import, each in a file named for what it does and opening with a line that says so."""

from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection


@cache
def load(name: str) -> str:
    """The text of `<name>.sql`."""
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


def rows(name: str, **parameters: Any) -> list[Any]:
    """Run `<name>.sql` and fetch its rows."""
    with connection.cursor() as cursor:
        cursor.execute(load(name), parameters)
        return list(cursor.fetchall())


def execute(name: str, **parameters: Any) -> int:
    """Run `<name>.sql`. How many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(load(name), parameters)
        return int(cursor.rowcount)
