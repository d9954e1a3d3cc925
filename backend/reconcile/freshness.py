"""Freshness as a number: how far the stored balances are behind their facts."""

from dataclasses import dataclass
from datetime import timedelta

from reconcile.guard import TriggerFault, trigger_faults
from reconcile.sql import queries


@dataclass(frozen=True, slots=True)
class Freshness:
    """What one look found."""

    pending: int
    """Changes in the outbox."""
    oldest_age: timedelta | None
    """Of the oldest of them; None: there is none."""
    recomputes: int
    """Of the last hour: those that changed a balance because of a change."""
    median_latency: timedelta | None
    """Of those: from the oldest write that asked for it, the rest of its transaction included, to the balance."""
    p90_latency: timedelta | None
    p99_latency: timedelta | None
    quarantined: int
    """Licenses that cannot be recomputed: their balances are older than their facts."""
    relays: int
    """Relays that are up. Without one, what no signal announces waits for the sweep."""
    faults: list[TriggerFault]
    """What is wrong with the triggers."""

    def complaints(self, max_age: timedelta) -> list[str]:
        """Why somebody should look, a sentence each. Empty: every balance is right, or will be in a moment."""
        said = [str(fault) for fault in self.faults]
        if self.oldest_age is not None and self.oldest_age > max_age:
            age = str(self.oldest_age).partition(".")[0]
            said.append(f"The oldest change has been pending for {age}: is a worker up?")
        if self.quarantined:
            are = "license is" if self.quarantined == 1 else "licenses are"
            said.append(f"{self.quarantined} {are} in quarantine: its page, and manage.py quarantine, say why.")
        return said


def look() -> Freshness:
    """How things are now."""
    [row] = queries.dicts("freshness")
    return Freshness(**row, faults=trigger_faults())
