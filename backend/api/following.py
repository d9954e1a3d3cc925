"""How balances are followed: the feed as programs get it, pulled (`GET /changes`) or pushed (api/webhooks.py)."""

from collections.abc import Sequence
from typing import Any

from ledger import feed

FOLLOW = ("license.view_license", "ledger.view_licensebalance", "ledger.view_balancehistory")
"""Who may see balances, and how they came about."""
NUMBERED = ("credit_cif", "debited_cif", "allotted_cif", "balance_cif", "overdrawn_cif", "is_null", "is_expired")


def page(after: int, limit: int) -> dict[str, Any]:
    """The changes after a position, no more than `limit`, with where to go on and whether there is more."""
    rows = feed.changes(after, limit + 1)
    shown = rows[:limit]
    return {
        "items": items(shown),
        "next": shown[-1]["position"] if shown else after,
        "more": len(rows) > limit,
    }


def items(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the feed as `schemas.Change` has them."""
    same = ("position", "license_id", "license_number", "changed_at", "sources")
    return [
        {
            **{name: row[name] for name in same},
            "balance": None if row["balance_cif"] is None else {name: row[name] for name in NUMBERED},
            "previous": None
            if row["previous_balance_cif"] is None
            else {
                "balance_cif": row["previous_balance_cif"],
                "overdrawn_cif": row["previous_overdrawn_cif"],
                "is_null": row["was_null"],
                "is_expired": row["was_expired"],
            },
        }
        for row in rows
    ]
