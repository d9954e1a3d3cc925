"""Running totals by row triggers (row_totals.sql), put beside our own triggers and taken away again."""

from pathlib import Path
from typing import Any

from ledger.sql import load

HERE = Path(__file__).parent
TABLES = (
    "ledger_billofentryline",
    "ledger_allotmentline",
    "ledger_allotment_bills_of_entry",
    "license_exportitem",
    "license_importitem",
    "license_license",
)


def install(cursor: Any) -> None:
    """Fill the totals from the facts there are, and keep them from now on. In one transaction, or while nobody writes.

    The cursor may be Django's or psycopg's, and must not be inside a failed transaction."""
    cursor.execute((HERE / "row_totals.sql").read_text())


def enable(cursor: Any, *, is_on: bool) -> None:
    """Switch their triggers on or off. What is written while they are off, they do not know of."""
    for table in TABLES:
        cursor.execute(f"ALTER TABLE {table} {'ENABLE' if is_on else 'DISABLE'} TRIGGER row_totals")


def remove(cursor: Any) -> None:
    """Totals and triggers are gone."""
    cursor.execute("DROP SCHEMA row_totals CASCADE")


def wrong(cursor: Any, license_ids: list[int] | None = None) -> list[int]:
    """The licenses, of these or of all, whose totals are not what their facts say."""
    if license_ids is None:
        cursor.execute("SELECT id FROM license_license")
        license_ids = [license_id for (license_id,) in cursor.fetchall()]
    query = (HERE / "row_totals_wrong.sql").read_text().replace("/* include expected.sql */", load("expected"))
    cursor.execute(query, {"license_ids": license_ids, "today": None})
    return sorted({license_id for (license_id,) in cursor.fetchall()})
