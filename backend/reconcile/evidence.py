"""What the trail tells of a drift, in words: the statement that can have caused it, or a fact row that no statement has
written. docs/drift.md says what each part means."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from ledger.trail_words import KINDS
from license.clock import INDIA
from license.formats import day


def words(evidence: dict[str, Any]) -> str:
    """One line: UPDATE of bill-of-entry lines by asha (POST /entry/…), 23 Nov 2026 17:05:12, as role web from gunicorn.
    Empty: there is no evidence."""
    if not evidence:
        return ""
    table = KINDS.get(evidence["table"], evidence["table"])
    return _one_line(_statement(evidence, table) if "statement_id" in evidence else _row(evidence, table))


def why(cause: str, evidence: dict[str, Any]) -> str:
    """The cause, with its evidence."""
    return f"{cause}: {words(evidence)}" if evidence else cause


def _statement(evidence: dict[str, Any], table: str) -> str:
    at = timezone.localtime(datetime.fromisoformat(evidence["at"]), INDIA)
    by = f" by {evidence['user']}" if evidence["user"] else ""
    via = f" ({evidence['via']})" if evidence["via"] else ""
    application = f" from {evidence['application']}" if evidence["application"] else ""
    return (
        f"{evidence['operation']} of {table}{by}{via}, {day(at)} {at:%H:%M:%S}, as role {evidence['role']}{application}"
    )


def _row(evidence: dict[str, Any], table: str) -> str:
    row = f"row {evidence['row_id']} of {table}"
    if evidence["change"] == "gone":
        return f"{row} is gone, and no statement has deleted it"
    if evidence["change"] == "unseen":
        return f"{row} was written, and by no statement"
    columns = (
        f"{name} is {_value(now)} and was last {_value(told)}" for name, (told, now) in evidence["columns"].items()
    )
    return f"{row} was written by no statement: {', '.join(columns)}"


def _value(value: object) -> str:
    return "empty" if value is None or value == "" else str(value)


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
