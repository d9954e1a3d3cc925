"""G8, the guard is guarded: is every trigger that the code declares installed, enabled, and what the code says?

The live text is compared, as `pg_get_triggerdef` and `pg_get_functiondef` give it, and not a stored hash: a function
that somebody has replaced keeps the hash in its comment.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import pgtrigger.registry

from ledger.capture import CAPTURED
from ledger.trail import DERIVED
from ledger.triggers import OwnerTrigger, OwnerTriggerSql
from reconcile.sql import queries

_OF_BALANCES = {fact.model._meta.db_table for fact in CAPTURED} | {fact.table for fact in DERIVED}
_OF_TRAIL = "pgtrigger_trail_"


class State(StrEnum):
    """What may be wrong with a trigger."""

    MISSING = "missing"
    DISABLED = "disabled"
    NOT_ALWAYS = "not for the replica role"
    """It does not fire under `session_replication_role = replica`, though it is declared to."""
    REPLACED = "replaced"
    """Its definition or its function is not the one that the code declares."""


@dataclass(frozen=True, slots=True)
class TriggerFault:
    """One thing that is wrong with one trigger: writes to its table may go, or may have gone, unseen."""

    table: str
    trigger: str
    state: State

    @property
    def bears_on_balances(self) -> bool:
        """Whether balances depend on it: it captures changes, or guards balances. Others keep or guard the trail and
        the history."""
        return self.table in _OF_BALANCES and not self.trigger.startswith(_OF_TRAIL)

    def __str__(self) -> str:
        """What is wrong, and what follows, for people."""
        if self.bears_on_balances:
            follows = "Every license is suspect"
        elif self.trigger.startswith(_OF_TRAIL):
            follows = "Who writes to it may be told by no trail"
        else:
            follows = "Anybody may write to it"
        return f"Trigger {self.trigger} on {self.table}: {self.state}. {follows}."


def trigger_faults() -> list[TriggerFault]:
    """What is wrong with the declared triggers, in the order of their tables. Empty: all is as declared."""
    declared = _declared()
    live = {
        (row["table"], row["name"]): row
        for row in queries.dicts("live_triggers", tables=[sql.table for sql in declared])
    }
    faults = [
        TriggerFault(sql.table, sql.pgid, state)
        for sql in declared
        if (state := _state(sql, live.get((sql.table, sql.pgid))))
    ]
    return sorted(faults, key=lambda fault: (fault.table, fault.trigger))


@cache
def _declared() -> list[OwnerTriggerSql]:
    """By the code, which stays what it is while it runs; to make them takes longer than to ask for those there are."""
    return [
        trigger.sql_for(model)
        for model, trigger in pgtrigger.registry.registered()
        if isinstance(trigger, OwnerTrigger)
    ]


def _state(declared: OwnerTriggerSql, live: dict[str, Any] | None) -> State | None:
    if live is None:
        return State.MISSING
    if live["enabled"] == "D":
        return State.DISABLED
    if _words(live["definition"]) != _words(definition(declared)) or live["function"] != function(declared):
        return State.REPLACED
    if live["enabled"] != declared.enabled_as:
        return State.NOT_ALWAYS
    return None


def definition(declared: OwnerTriggerSql) -> str:
    """The declared trigger, in the words of `pg_get_triggerdef`."""
    parts = declared.kwargs
    when = f"WHEN ({declared.condition}) " if declared.condition else ""
    return (
        f"CREATE TRIGGER {declared.pgid} {parts['when']} {parts['operation']} ON public.{declared.table} "
        f"{parts['referencing']} FOR EACH {parts['level']} {when}EXECUTE FUNCTION {declared.pgid}()"
    )


def function(declared: OwnerTriggerSql) -> str:
    """The declared function, to the letter of `pg_get_functiondef`."""
    return (
        f"CREATE OR REPLACE FUNCTION public.{declared.pgid}()\n RETURNS trigger\n LANGUAGE plpgsql\n"
        " SECURITY DEFINER\n SET search_path TO 'pg_catalog', 'pg_temp'\n"
        f"AS $function$\nBEGIN\n{declared.kwargs['func']}\nEND;\n$function$\n"
    )


def _words(text: str) -> list[str]:
    """Without what PostgreSQL is free to write otherwise: white space, the order of events, the schema."""
    return sorted(text.replace("public.", "").split())
