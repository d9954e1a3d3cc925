"""Switches the peers on and off in this process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import ReferenceType

from django.core.management import call_command
from django.db import connection
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from peers.queries import queries

HERE = Path(__file__).parent


def fill_computedfields(license_ids: list[int]) -> None:
    """The facts of these licenses in the tables of django-computedfields, and its balances computed; vacuumed."""
    with connection.cursor() as cursor:
        for statement in (HERE / "fill.sql").read_text().split(";\n"):
            if statement.strip():
                cursor.execute(statement, {"license_ids": license_ids} if "%(" in statement else None)
    call_command("updatedata", "peers", stdout=io.StringIO())
    if wrong := queries.column("wrong", license_ids=license_ids, today=None):
        raise SystemExit(f"computedfields computed something else of {wrong[:3]}")


def package_of(receiver: Any) -> str:
    """Of a signal's receiver, which may be a weak reference to it."""
    function = receiver() if isinstance(receiver, ReferenceType) else receiver
    return "" if function is None else function.__module__.partition(".")[0]


@contextmanager
def without_signals(of: str) -> Iterator[None]:
    """Within the block, what the modules of this package connected to Django's signals is not called."""
    signals = (pre_save, post_save, pre_delete, post_delete, m2m_changed)
    all_of_them = [signal.receivers for signal in signals]

    def put(receivers: list[list]) -> None:
        for signal, each in zip(signals, receivers, strict=True):
            signal.receivers = each
            signal.sender_receivers_cache.clear()

    put([[each for each in receivers if package_of(each[1]) != of] for receivers in all_of_them])
    try:
        yield
    finally:
        put(all_of_them)
