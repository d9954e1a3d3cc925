"""G5, derived means derived: the balance tables refuse every write that does not come from the engine."""

import pgtrigger

from ledger.sql import load
from ledger.triggers import OwnerTrigger


def guard_triggers() -> list[pgtrigger.Trigger]:
    """Triggers for the `Meta` of a balance table.

    A refused write raises `insufficient_privilege` (Django: ProgrammingError) and says where the facts are.
    TRUNCATE is left to those who have the right to it, the owner, and marks every license to be recomputed.
    They do not fire for the replica role: a restore must be able to load balances.
    """
    return [
        OwnerTrigger(
            name="guard",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
            func=load("guard_balance"),
        ),
        OwnerTrigger(
            name="guard_truncate",
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func=load("capture_truncate"),
        ),
    ]
