"""The trail told forwards: from nothing, entry by entry, to the facts."""

import json
from typing import Any

from ledger.trail import TRACKED
from tests.conftest import sql

Rows = dict[int, dict[str, Any]]


def rows(table: str) -> Rows:
    return {row_id: json.loads(row) for row_id, row in sql(f"SELECT id, to_jsonb(t)::text FROM public.{table} AS t")}


def told(table: str, owner: str) -> Rows:
    """What the trail makes of a table that began empty. Each entry must begin where the one before it has ended, and
    stand under the owner that its row had."""
    owned: dict[tuple[int, int], dict[str, Any]] = {}
    for owner_id, row_id, before, after in sql(
        "SELECT owner_id, row_id, before::text, after::text FROM public.ledger_trailentry WHERE table_name = %s"
        " ORDER BY id",
        table,
    ):
        was, becomes = (image and json.loads(image) for image in (before, after))
        assert was or becomes
        assert all(image[owner] == owner_id and image["id"] == row_id for image in (was, becomes) if image)
        stood = owned.pop((owner_id, row_id), None)
        assert but_for_the_time(stood) == but_for_the_time(was)
        if becomes:
            owned[owner_id, row_id] = becomes
    assert len({row_id for _, row_id in owned}) == len(owned)
    return {row_id: row for (_, row_id), row in owned.items()}


def but_for_the_time(row: dict[str, Any] | None) -> dict[str, Any]:
    """A save that changes nothing leaves no entry, though it sets the time of the last change."""
    return {column: value for column, value in (row or {}).items() if column != "modified_at"}


def assert_trail_tells_facts() -> None:
    """Every row of every fact table, and no other; and every entry belongs to a statement that counts it."""
    for fact in TRACKED:
        of_trail, of_table = told(fact.table, fact.owner), rows(fact.table)
        assert {key: but_for_the_time(row) for key, row in of_trail.items()} == {
            key: but_for_the_time(row) for key, row in of_table.items()
        }, fact.table
    assert not sql("""
        SELECT * FROM public.ledger_trailstatement AS statement
        FULL JOIN (
            SELECT statement_id, statement_id AS id, table_name, count(*) AS row_count
            FROM public.ledger_trailentry GROUP BY statement_id, table_name
        ) AS entries USING (id, table_name, row_count)
        WHERE statement.operation IS NULL OR entries.statement_id IS NULL
    """)
