"""Every fact table that the trail has, with all its columns: an event of each row that is inserted, updated or deleted,
by triggers for each statement, and otherwise as django-pghistory does by default."""

import pghistory

from ledger.trail import TRACKED

for fact in TRACKED:
    is_link = bool(fact.model._meta.auto_created)  # of which its documentation says to leave out the reference
    pghistory.create_event_model(
        fact.model,
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        level=pghistory.Statement,
        model_name=f"{fact.model.__name__.replace('_', '')}Event",
        app_label="history",
        abstract=False,
        **({"obj_field": None} if is_link else {}),
    )
