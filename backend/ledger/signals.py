"""Django signals that say at once, after commit, which changes a write has left: the first of the three ways in which
the engine learns of work (the others: the relay and the sweep). A hint saves waiting; nothing depends on it.
"""

from collections.abc import Iterable
from typing import Any

from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from ledger.capture import CAPTURED, Captured
from ledger.hints import announce
from ledger.keys import Keys


def connect() -> None:
    """Listen to every captured fact."""
    for fact in CAPTURED:
        if fact.model._meta.auto_created:
            m2m_changed.connect(_LinksChanged(fact), sender=fact.model, weak=False)
        else:
            post_save.connect(_RowChanged(fact), sender=fact.model, weak=False)
            post_delete.connect(_RowChanged(fact), sender=fact.model, weak=False)


class _RowChanged:
    def __init__(self, fact: Captured) -> None:
        self.fact = fact

    def __call__(self, instance: models.Model, using: str, **_: Any) -> None:
        _announce_on_commit(using, self.fact.names, [getattr(instance, self.fact.named_by)])


class _LinksChanged:
    """The captured side of both links is the model that declares the field (ImportItem, Allotment)."""

    def __init__(self, fact: Captured) -> None:
        self.fact = fact

    def __call__(
        self, instance: models.Model, action: str, reverse: bool, pk_set: set[int] | None, using: str, **_: Any
    ) -> None:
        if action == "post_clear" and reverse:
            _announce_on_commit(using, self.fact.names, ())  # Django does not say of whom: look at everything
        elif action == "post_clear" or (action.startswith("post_") and pk_set):
            _announce_on_commit(using, self.fact.names, pk_set or () if reverse else [instance.pk])


class _AnnounceOnCommit:
    """What runs after commit. One of these collects the keys of a whole transaction."""

    def __init__(self) -> None:
        self.keys = Keys()

    def __call__(self) -> None:
        announce(self.keys)


def _announce_on_commit(using: str, name: str, ids: Iterable[int]) -> None:
    """Add to what this transaction announces. The first write in it registers the collector."""
    connection = transaction.get_connection(using)
    for savepoints, function, _ in reversed(connection.run_on_commit):
        # One that a savepoint within this block registered may be gone by then, and our keys with it. (None stands for
        # a block without a savepoint of its own, which cannot be rolled back alone.)
        if isinstance(function, _AnnounceOnCommit) and savepoints - {None} <= set(connection.savepoint_ids):
            function.keys.add(name, ids)
            return
    collector = _AnnounceOnCommit()
    collector.keys.add(name, ids)
    transaction.on_commit(collector, using=using, robust=True)
