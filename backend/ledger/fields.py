"""Columns that Django does not know."""

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    _IntField = models.Field[int, int]
else:
    _IntField = models.Field


class ClockTimestamp(models.Func):
    """The clock at this very row: `now()` would stand still during a transaction."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class CurrentTransactionId(models.Func):
    """The id of the transaction that writes the row."""

    function = "pg_current_xact_id"


class TransactionIdField(_IntField):
    """PostgreSQL's `xid8`: a transaction id that never wraps around. An int in Python."""

    def db_type(self, connection: Any) -> str:  # noqa: ARG002 (Django passes it by name)
        return "xid8"

    def from_db_value(self, value: str | int | None, *_: Any) -> int | None:
        return None if value is None else int(value)  # the driver has no type for xid8 and hands over its text

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: ARG002
        """As text: no cast leads from an integer to xid8."""
        return str(value) if isinstance(value, int) else value
