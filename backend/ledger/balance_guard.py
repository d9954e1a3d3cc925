"""G5, derived means derived: the balance tables refuse every write that does not come from the engine, and the trail
every one that is not a fact's."""

import pgtrigger

from ledger.sql import load
from ledger.triggers import OutermostTrigger, OwnerTrigger


def guard_trigger() -> pgtrigger.Trigger:
    """A trigger for the `Meta` of a table that the engine alone writes.

    A refused write raises `insufficient_privilege` (Django: ProgrammingError) and says where the facts are.
    It does not fire for the replica role: a restore must be able to load the table.
    """
    return OwnerTrigger(
        name="guard",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func=load("guard_balance"),
    )


def guard_triggers() -> list[pgtrigger.Trigger]:
    """The same for a table of balances: TRUNCATE is left to those who have the right to it, the owner, and marks every
    license to be recomputed."""
    return [
        guard_trigger(),
        OwnerTrigger(
            name="guard_truncate",
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func=load("capture_truncate"),
        ),
    ]


def guard_trail() -> list[pgtrigger.Trigger]:
    """Triggers for the `Meta` of a table of the trail: it is only added to, by the triggers of facts.

    They do not fire for the replica role either. The trail's own rows, which come with every write, call none of them.
    """
    refuse = load("guard_trail")
    return [
        OutermostTrigger(name="guard_insert", when=pgtrigger.Before, operation=pgtrigger.Insert, func=refuse),
        OwnerTrigger(
            name="guard",
            when=pgtrigger.Before,
            operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
            func=refuse,
        ),
    ]
