"""An explanation of a balance, as the API tells it."""

from typing import Any

from api.following import NUMBERED
from desk.statement import statement
from ledger.explain import Explanation, ItemExplanation


def explanation(explained: Explanation) -> dict[str, Any]:
    """What schemas.Explanation has."""
    return {
        "license_number": explained.license.license_number,
        "currency": explained.license.currency,
        "today": explained.today,
        "balance": {name: getattr(explained, name) for name in NUMBERED},
        "stored_balance_cif": explained.stored_balance_cif,
        "computed_at": explained.computed_at,
        "pending": explained.pending,
        "quarantine": explained.quarantine.error if explained.quarantine else None,
        "is_norm_unknown": explained.is_norm_unknown,
        "items": [
            {name: getattr(item, name) for name in ItemExplanation.__dataclass_fields__} for item in explained.items
        ],
        "statement": [
            {
                "kind": kind,
                "document": line.document,
                "date": line.day,
                "source": line.source,
                "serial_number": line.serial_number,
                "quantity": line.quantity,
                "cif_fc": line.cif_fc,
                "balance_cif": after,
                "bill_of_entry_id": line.bill_of_entry_id,
                "allotment_id": line.allotment_id,
            }
            for line, kind, after in statement(explained)
        ],
    }
