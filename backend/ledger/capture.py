"""G1, no write is missed: statement-level triggers that append a change to the outbox for every write of a fact.

The table below is all there is to know. A trigger records an id that stands in the changed row, old and new, and never
the result of a join: resolved inside the trigger, two writers who cannot see each other would lose an update. An
update that leaves the columns of the last column alone records nothing.

`Allotment`, `BillOfEntry` and the reference tables are not here: nothing in their rows is part of a balance, and what
hangs on them (their lines and links) is captured itself, also when they are deleted or truncated with CASCADE.
"""

from dataclasses import dataclass
from typing import Any

import pgtrigger
from django.db import models

from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntryLine
from ledger.sql import load
from ledger.triggers import AlwaysTrigger
from license.models import ExportItem, ImportItem, ItemName, License


@dataclass(frozen=True, slots=True)
class Captured:
    """A fact table, the outbox column that its changes fill, from which of its own columns, and what counts."""

    model: type[models.Model]
    names: str
    named_by: str
    depends_on: str


# fmt: off
CAPTURED = (
    #        fact table                         the change names   by the row's       balances depend on
    Captured(License,                           "license_id",      "id",              "notification_number purchase_status license_expiry_date"),
    Captured(ExportItem,                        "license_id",      "license_id",      "norm_id cif_fc"),
    Captured(ImportItem,                        "license_id",      "license_id",      "serial_number quantity cif_fc cif_inr restriction_percentage"),
    Captured(ImportItem.item_names.through,     "import_item_id",  "importitem_id",   "itemname_id"),
    Captured(ItemName,                          "item_name_id",    "id",              "sion_norm_id restriction_percentage"),
    Captured(BillOfEntryLine,                   "import_item_id",  "import_item_id",  "transaction_type quantity cif_fc"),
    Captured(AllotmentLine,                     "import_item_id",  "import_item_id",  "allotment_id quantity cif_fc"),
    Captured(Allotment.bills_of_entry.through,  "allotment_id",    "allotment_id",    ""),
    Captured(AllotmentRelease,                  "allotment_id",    "allotment_id",    ""),
)
# fmt: on


def _triggers(fact: Captured) -> list[pgtrigger.Trigger]:
    """The four triggers of a fact table. A transition table allows one event for each trigger, and none for TRUNCATE."""
    columns = ", ".join(dict.fromkeys(["id", fact.named_by, *fact.depends_on.split()]))

    def body(name: str, **parts: str) -> str:
        return load(name).format(names=fact.names, named_by=fact.named_by, **parts)

    referencing: Any = pgtrigger.Referencing  # which has no types
    old, new, both = (
        referencing(old="old_rows"),
        referencing(new="new_rows"),
        referencing(old="old_rows", new="new_rows"),
    )
    after, before = pgtrigger.After, pgtrigger.Before
    update, truncate = body("capture_update", columns=columns), load("capture_truncate")
    inserted, deleted = body("capture_rows", rows="new_rows"), body("capture_rows", rows="old_rows")
    return [
        AlwaysTrigger(name="capture_insert", when=after, operation=pgtrigger.Insert, referencing=new, func=inserted),
        AlwaysTrigger(name="capture_update", when=after, operation=pgtrigger.Update, referencing=both, func=update),
        AlwaysTrigger(name="capture_delete", when=after, operation=pgtrigger.Delete, referencing=old, func=deleted),
        AlwaysTrigger(name="capture_truncate", when=before, operation=pgtrigger.Truncate, func=truncate),
    ]


def _proxy(fact: Captured) -> type[models.Model]:
    """A proxy of the fact's model in this app, to hang its triggers on.

    On the originals, triggers of automatic many-to-many tables are silently never installed, and migrations for
    tables of `license` would land in that app, which must not know of this one.
    """
    meta = {"proxy": True, "app_label": "ledger", "default_permissions": (), "triggers": _triggers(fact)}
    name = f"Captured{fact.model.__name__.replace('_', '')}"
    return type(name, (fact.model,), {"__module__": __name__, "Meta": type("Meta", (), meta)})


PROXIES = tuple(_proxy(fact) for fact in CAPTURED)
