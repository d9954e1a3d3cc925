"""The trail: who has changed which fact, when, from what to what (docs/trail.md).

Statement-level triggers keep every row that a statement inserts, updates or deletes, in the transaction of the write:
also of bulk writes, plain SQL, COPY, cascades and TRUNCATE, and under the replica role. `Entry` by entry read backwards
from what the facts are now, it tells what they were at any moment since it began (ledger/as_of.py).

Of balances, which follow from facts, it keeps what anybody but the engine writes: by that the audit names who has
(reconcile/audit.py).
"""

from dataclasses import dataclass
from typing import Any

import pgtrigger
from django.db import models

from ledger.models import (
    Allotment,
    AllotmentLine,
    AllotmentRelease,
    BillOfEntry,
    BillOfEntryLine,
    ImportItemBalance,
    LicenseBalance,
)
from ledger.sql import load
from ledger.triggers import AlwaysTrigger
from license.models import (
    Company,
    ExportItem,
    HSCode,
    ImportItem,
    ItemName,
    License,
    MatchRule,
    Port,
    SionNorm,
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A fact table, and by which of its columns a row belongs to what it is a part of."""

    model: type[models.Model]
    owner: str
    key: str = "id"
    """A column that is the row's own; one that is not `id` tells only the rows of one owner apart."""

    @property
    def table(self) -> str:
        return self.model._meta.db_table


TRACKED = (
    Tracked(License, "id"),
    Tracked(ExportItem, "license_id"),
    Tracked(ImportItem, "license_id"),
    Tracked(ImportItem.item_names.through, "importitem_id"),
    Tracked(BillOfEntryLine, "import_item_id"),
    Tracked(AllotmentLine, "import_item_id"),
    Tracked(Allotment, "id"),
    Tracked(Allotment.bills_of_entry.through, "allotment_id"),
    Tracked(AllotmentRelease, "allotment_id"),
    Tracked(BillOfEntry, "id"),
    Tracked(ItemName, "id"),
    Tracked(MatchRule, "item_name_id"),
    Tracked(SionNorm, "id"),
    Tracked(Company, "id"),
    Tracked(Port, "id"),
    Tracked(HSCode, "id"),
)
DERIVED = (
    Tracked(LicenseBalance, "license_id", "license_id"),
    Tracked(ImportItemBalance, "license_id", "import_item_id"),
)
"""Balances: of these, what the engine has not written."""


def _is_changed(model: type[models.Model]) -> str:
    """Whether a row, `was`, is another one afterwards, `fact`. Rows are compared as such where they can be: to make
    JSON of them only for this would cost as much as the entry."""
    if any(column.column == "modified_at" for column in model._meta.concrete_fields):
        return "to_jsonb(was) - 'modified_at' IS DISTINCT FROM to_jsonb(fact) - 'modified_at'"
    return "was IS DISTINCT FROM fact"


def _triggers(fact: Tracked) -> list[pgtrigger.Trigger]:
    first = load("trail_engine") if fact in DERIVED else ""
    identity = {fact.key} if fact.key == "id" else {fact.key, fact.owner}
    same = " AND ".join(f"fact.{name} = was.{name}" for name in sorted(identity))

    def body(name: str, **parts: str) -> str:
        return first + load(name).format(owner=fact.owner, key=fact.key, same=same, **parts)

    referencing: Any = pgtrigger.Referencing  # which has no types
    old, new = referencing(old="old_rows"), referencing(new="new_rows")
    both = referencing(old="old_rows", new="new_rows")
    after, before = pgtrigger.After, pgtrigger.Before
    inserted, deleted = (
        body("trail_rows", rows="new_rows", image="after"),
        body("trail_rows", rows="old_rows", image="before"),
    )
    updated = body("trail_update", is_changed=_is_changed(fact.model))
    emptied = body("trail_rows", rows=f"public.{fact.table}", image="before")
    return [
        AlwaysTrigger(name="trail_insert", when=after, operation=pgtrigger.Insert, referencing=new, func=inserted),
        AlwaysTrigger(name="trail_update", when=after, operation=pgtrigger.Update, referencing=both, func=updated),
        AlwaysTrigger(name="trail_delete", when=after, operation=pgtrigger.Delete, referencing=old, func=deleted),
        AlwaysTrigger(name="trail_truncate", when=before, operation=pgtrigger.Truncate, func=emptied),
    ]


def _proxy(fact: Tracked) -> type[models.Model]:
    """As in ledger/capture.py, and for the same reasons."""
    meta = {"proxy": True, "app_label": "ledger", "default_permissions": (), "triggers": _triggers(fact)}
    name = f"Tracked{fact.model.__name__.replace('_', '')}"
    return type(name, (fact.model,), {"__module__": __name__, "Meta": type("Meta", (), meta)})


PROXIES = tuple(_proxy(fact) for fact in (*TRACKED, *DERIVED))
