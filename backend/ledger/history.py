"""Keeps the history of balances to the age that somebody wants it for."""

from datetime import datetime

from django.db import transaction

from ledger.sql import queries

AT_ONCE = 10_000


def prune(before: datetime) -> int:
    """Delete what is older, in transactions of their own: how many rows. What every balance was at that moment, and
    everything since, is kept. Must not be called inside a transaction."""
    deleted, last = 0, 0
    while last is not None:
        with transaction.atomic(durable=True):
            queries.execute("begin_recompute")
            [(last, batch)] = queries.rows("prune_history", before=before, after=last, at_most=AT_ONCE)
        deleted += batch
    return deleted
