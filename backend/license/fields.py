"""Columns of facts: exact numbers within their column, text and defaults that a plain SQL INSERT gets too."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import models
from django.db.models import Q

MONEY_MAX = Decimal("9999999999999.99")  # numeric(15,2)
QUANTITY_MAX = Decimal("999999999999.999")  # numeric(15,3)
PERCENTAGE_MAX = Decimal("999.99")  # numeric(5,2)


def money() -> "models.DecimalField[Decimal, Decimal]":
    """An amount of money, numeric(15,2), 0 where nothing is said."""
    return models.DecimalField(max_digits=15, decimal_places=2, default=Decimal(0), db_default=Decimal(0))


def quantity() -> "models.DecimalField[Decimal, Decimal]":
    """A quantity in the unit of its item, numeric(15,3), 0 where nothing is said."""
    return models.DecimalField(max_digits=15, decimal_places=3, default=Decimal(0), db_default=Decimal(0))


def text(max_length: int, default: str = "", **options: object) -> "models.CharField[str, str]":
    """Text that is never NULL."""
    return models.CharField(max_length=max_length, blank=not default, default=default, db_default=default, **options)  # type: ignore[arg-type]


def within(field: str, greatest: Decimal) -> models.CheckConstraint:
    """`field` is neither negative nor NaN: NaN sorts above every number, so the upper bound refuses it.

    Bulk writes and plain SQL skip Django's validators; the database does not skip this.
    """
    return models.CheckConstraint(
        condition=Q(**{f"{field}__range": (Decimal(0), greatest)}), name=f"%(app_label)s_%(class)s_{field}_within"
    )


def dated(field: str) -> models.CheckConstraint:
    """`field` is a date that every program can read: PostgreSQL's infinity and its years beyond 9999 are refused."""
    return models.CheckConstraint(
        condition=Q(**{f"{field}__range": (date.min, date.max)}), name=f"%(app_label)s_%(class)s_{field}_readable"
    )


def one_of(field: str, values: Iterable[str]) -> models.CheckConstraint:
    """`field` holds one of `values`."""
    return models.CheckConstraint(
        condition=Q(**{f"{field}__in": list(values)}), name=f"%(app_label)s_%(class)s_{field}_known"
    )
