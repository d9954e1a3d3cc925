"""What the engine has done, counted: for monitoring, which wants numbers that only grow and survive every restart.

The engine counts nothing, and so waits for nobody: each recompute that changes a balance writes its row of history
anyhow, and each that fails a row of `Failure`. `add_up`, which beat asks for, adds both to the one row of `Tally`;
`read` adds what is not in it yet. It goes by positions of the feed: a lower one never becomes visible after a higher
one, so nothing is counted twice or missed.

Latency is from the oldest write that asked for a recompute, by the clock at that statement, to the balance as it is
written: the rest of the writer's own transaction is in it, the commit of the engine's, about a millisecond, is not.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from ledger import feed
from ledger.fields import ClockTimestamp
from ledger.models import Failure, Tally
from ledger.sql import queries

BOUNDS = tuple(map(Decimal, ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "300")))
"""Of the buckets of latency, in seconds, each with its bound. Another list needs a migration that counts anew."""
PK = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What was done. All of it only grows."""

    position: int
    """Of the feed: up to this it is counted."""
    for_changes: int
    """Recomputes that changed a balance, because of a change."""
    for_retries: int
    """Of what had been in quarantine."""
    for_night: int
    """With nothing pending: a night has turned a flag or repaired something, or somebody by hand."""
    failures: int
    """Recomputes of one license that failed by themselves."""
    latency_counts: tuple[int, ...]
    """Of those for changes, how many in each bucket; the last: beyond all bounds."""
    latency_seconds: Decimal
    """Of all of them together."""

    def plus(self, later: "Counts") -> "Counts":
        """With what came later."""
        return Counts(
            position=later.position,
            for_changes=self.for_changes + later.for_changes,
            for_retries=self.for_retries + later.for_retries,
            for_night=self.for_night + later.for_night,
            failures=self.failures + later.failures,
            latency_counts=tuple(map(sum, zip(self.latency_counts, later.latency_counts, strict=True))),
            latency_seconds=self.latency_seconds + later.latency_seconds,
        )


def read() -> Counts:
    """All that was done. Must be called in one snapshot (REPEATABLE READ), for it is of several statements."""
    counted = _counted()
    return counted.plus(_since(counted.position, Failure.objects.count(), is_published=False))


def add_up() -> None:
    """Count what was done since the last time, unless somebody else is at it. Must not be called inside a
    transaction."""
    while feed.publish() == feed.AT_ONCE:
        pass
    with transaction.atomic(durable=True):
        queries.execute("begin_recompute")
        if queries.column("tally_lock") != [True]:
            return
        counted = _counted()
        failures, _ = Failure.objects.all().delete()
        now = counted.plus(_since(counted.position, failures, is_published=True))
        columns = {name: getattr(now, name) for name in Counts.__slots__}
        columns |= {"latency_counts": list(now.latency_counts), "counted_at": ClockTimestamp()}
        Tally.objects.update_or_create(pk=PK, defaults=columns)


def _counted() -> Counts:
    for row in Tally.objects.filter(pk=PK).values(*Counts.__slots__):
        return Counts(**row | {"latency_counts": tuple(row["latency_counts"])})
    return Counts(0, 0, 0, 0, 0, (0,) * (len(BOUNDS) + 1), Decimal())


def _since(position: int, failures: int, *, is_published: bool) -> Counts:
    """Of history that comes later than a position: all of it, or only what has a position."""
    [row] = queries.dicts("tally_history", position=position, is_published=is_published, bounds=list(BOUNDS))
    return Counts(failures=failures, **row | {"latency_counts": tuple(row["latency_counts"])})
