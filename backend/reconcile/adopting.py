"""Taking over a database that another system has kept: facts in our tables, and numbers that nobody has proved."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction

from ledger.engine import Outcome, drain, recompute
from reconcile.audit import LICENSES_AT_ONCE
from reconcile.sql import queries


@dataclass(frozen=True, slots=True)
class StoredNumber:
    """A number or flag that is stored and is not what the facts say. Texts, as PostgreSQL writes them."""

    license_number: str
    serial_number: int | None
    """Of the import item; None: of the license."""
    field: str
    stored: str
    expected: str
    stored_in: str
    """The table: one of balances, or of facts, where another system keeps its numbers beside them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Of some licenses."""

    licenses: int
    numbers: int
    different: list[StoredNumber]


def compare() -> Iterator[Compared]:
    """Hold all that is stored against the facts, some licenses at a time; changes nothing."""
    for license_ids in _licenses():
        with transaction.atomic():
            queries.execute("begin_audit")
            [row] = queries.dicts("stored_numbers", license_ids=license_ids, today=None)
        different = [StoredNumber(**number) for number in json.loads(row["different"])]
        yield Compared(len(license_ids), row["compared"], different)


def may_build() -> bool:
    """Whether the role that is logged in may write balances."""
    return queries.column("may_build") == [True]


def build() -> Iterator[tuple[int, Outcome]]:
    """Make every balance right: how many licenses were looked at, and what was done. Pending changes are worked off
    first. Broken off anywhere, it can be begun again, and goes on with what is left."""
    yield 0, drain()
    for license_ids in _licenses():
        with transaction.atomic():
            queries.execute("begin_audit")
            different = queries.column("look", license_ids=license_ids, today=None)
        yield len(license_ids), recompute(different)


def _licenses() -> Iterator[list[int]]:
    after = 0
    while license_ids := queries.column("next_licenses", after=after, at_most=LICENSES_AT_ONCE):
        yield license_ids
        after = license_ids[-1]
