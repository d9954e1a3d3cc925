"""Writers, engines and midnights in any order, against the real PostgreSQL, and G2 after every step.

A step is a write of any kind, a part of a transaction that somebody keeps open, a part of an engine's batch, a death in
the middle of one, a hint, a midnight, an audit. After each, in one snapshot: a license whose balances differ from what
the oracle makes of its facts is meant by a pending change, or is in quarantine, or has expired since it was computed.
Nothing else may happen at the same time: engines and transactions that are open stand still (sessions.py).

MACHINE_EXAMPLES says how many lives of a world are tried, MACHINE_STEPS of how many steps each.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger import engine
from ledger.engine import Outcome, drain, due_for_retry, recompute
from ledger.keys import NAMES, Keys
from reconcile.audit import Cause, audit_all, together
from reconcile.sql import queries
from tests import oracle
from tests.conftest import assert_balances_follow_facts, empty_tables, one, sql
from tests.engine import writes
from tests.engine.sessions import OpenTransaction, Walker
from tests.engine.writes import Write, is_refused, write_in_savepoint
from tests.trail.replay import assert_trail_tells_facts

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "20"))
STEPS = int(os.environ.get("MACHINE_STEPS", "25"))

# PostgreSQL's clock with a hand of its own, days, which all sessions share. Functions are looked up in pg_catalog first
# only where the search path does not name it, so everybody who connects from now on reads this clock: the engine's
# "today", the audit's, the time of computing, the end of a quarantine. To let a midnight pass is then to turn the hand:
# facts, balances and what a session has in hand stay as they are, as they do at midnight.
# Nobody waits for a lock: an engine sets a timeout of its own, and what another would have to wait for is no write.
CLOCK = """
    CREATE SCHEMA moved;
    CREATE TABLE moved.clock (days integer NOT NULL);
    INSERT INTO moved.clock VALUES (0);
    CREATE FUNCTION moved.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
        RETURN pg_catalog.statement_timestamp() + (SELECT days FROM moved.clock) * interval '1 day';
    ALTER ROLE CURRENT_USER SET search_path = moved, pg_catalog, public;
    ALTER ROLE CURRENT_USER SET lock_timeout = '20ms';
"""
ORDINARY_CLOCK = """
    ALTER ROLE CURRENT_USER RESET search_path;
    ALTER ROLE CURRENT_USER RESET lock_timeout;
    DROP SCHEMA moved CASCADE;
"""
STATEMENTS = (
    "begin_recompute", "claim_changes", "fan_out_changes", "resolve_changes", "lock_licenses", "claim_same_licenses",
    "write_balances", "delete_changes",
)  # fmt: skip
"""Of a batch, in their order. An engine can be left standing after each."""


# ── What engines are told to do ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Drain:
    keys: Keys | None = None

    def __call__(self) -> Outcome:
        return drain(self.keys)


@dataclass(frozen=True)
class Recompute:
    license_ids: list[int]
    with_items: bool = True

    def __call__(self) -> Outcome:
        return recompute(self.license_ids, with_items=self.with_items)


Work = Drain | Recompute


def sets_of(ids: Any) -> st.SearchStrategy[set[int]]:
    """Of ids, and one of a row that there never was."""
    return st.sets(st.sampled_from([*ids, 99]), max_size=3)


keys = st.builds(
    Keys,
    license_id=sets_of(writes.LICENSES),
    import_item_id=sets_of(writes.ITEMS),
    allotment_id=sets_of(writes.ALLOTMENTS),
    item_name_id=sets_of(writes.NAMES),
)
recomputes = st.builds(
    Recompute,
    st.lists(st.sampled_from([*writes.LICENSES, 99]), max_size=4),
    with_items=st.sampled_from([True, True, False]),
)
drains = st.just(Drain())
works = drains | drains | drains | st.builds(Drain, keys) | recomputes
statements = st.sampled_from(STATEMENTS)
early_statements = st.sampled_from((None, None, "claim_changes", "fan_out_changes", "resolve_changes"))
late_statements = st.sampled_from(("lock_licenses", "write_balances", "delete_changes"))
"""Where two engines stand that can do the most to each other; None: one of them goes through."""
PLACES = (0, 1)
places = st.sampled_from(PLACES)
"""Of transactions that are open, and of engines that stand: at most so many of each at a time."""


Parts = list[tuple[Write, bool]]
"""Writes, and whether each is kept, or rolled back to a savepoint."""


def some(ways: st.SearchStrategy[Write]) -> st.SearchStrategy[Parts]:
    return st.lists(st.tuples(ways, st.sampled_from([True, True, False])), min_size=1, max_size=4)


several = some(writes.writes)


@st.composite
def meetings(draw: st.DrawFn) -> tuple[Parts, Parts]:
    """What two transactions write to two tables of which a license is told only by joining them, and more."""
    item = draw(writes.items)
    if draw(st.booleans()):
        allotment, bill = draw(writes.allotments), draw(writes.bills)
        one = Write(writes.save_reservation, {"allotment": allotment, "item": item, "cif_fc": Decimal(400)})
        other = Write(writes.link_bills, {"allotment": allotment, "some": {bill}, "verb": "add"})
    else:
        name, percentage = draw(writes.names), draw(writes.percentages)
        one = Write(writes.link_names, {"item": item, "some": {name}, "verb": "add"})
        other = Write(writes.restrict_name, {"name": name, "percentage": percentage})
    more = st.just([]) | several
    return [(one, True), *draw(more)], [(other, True), *draw(more)]


# ── What can be seen ──────────────────────────────────────────────────────────────────────────────────────────────────

OfLicense = tuple[oracle.LicenseRow | None, dict[int, oracle.ItemRow]]


@dataclass(frozen=True)
class View:
    """What one snapshot shows."""

    expected: dict[int, OfLicense]
    stored: dict[int, OfLicense]
    changes: int
    pending: set[int]
    """Licenses that a change means."""
    quarantined: set[int]
    turned: set[int]
    """Licenses that have expired since their balance was computed."""
    without_history: list[Any]
    """Licenses with a balance row that a statement wrote which left no history."""

    def differing(self) -> set[int]:
        """Licenses whose balances are not what their facts say."""
        return {license for license in self.expected | self.stored if self._of(license) != self._should_be(license)}

    def wrong(self) -> set[int]:
        """The same without those that are right but for the date."""
        return {license for license in self.differing() if not self._is_expired_since(license)}

    def failing(self) -> set[int]:
        """Licenses with a balance that does not fit its columns."""
        return {license for license, balances in self.expected.items() if not fits(balances)}

    def _of(self, license: int) -> OfLicense:
        return self.stored.get(license, (None, {}))

    def _should_be(self, license: int) -> OfLicense:
        return self.expected.get(license, (None, {}))

    def _is_expired_since(self, license: int) -> bool:
        (stored, items), should_be = self._of(license), self._should_be(license)
        return license in self.turned and stored is not None and (replace(stored, is_expired=True), items) == should_be


def look() -> View:
    with transaction.atomic(durable=True):
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return View(
            expected=by_license(oracle.expected(one(f"SELECT {writes.TODAY}"))),
            stored=by_license(oracle.stored()),
            changes=one("SELECT count(*) FROM ledger_licensechange"),
            pending=set(queries.column("pending")),
            quarantined=first_column(sql("SELECT license_id FROM ledger_quarantine")),
            turned=first_column(
                sql(f"""
                    SELECT license_id FROM ledger_licensebalance JOIN license_license ON id = license_id
                    WHERE NOT is_expired AND license_expiry_date < {writes.TODAY}
                        AND (computed_at AT TIME ZONE 'Asia/Kolkata')::date <= license_expiry_date
                """)
            ),
            without_history=sql("""
                SELECT license_id, xmin::text FROM ledger_licensebalance
                UNION SELECT license_id, xmin::text FROM ledger_importitembalance
                EXCEPT SELECT license_id, xmin::text FROM ledger_balancehistory
            """),
        )


def by_license(balances: oracle.Balances) -> dict[int, OfLicense]:
    license_rows, item_rows = balances
    found: dict[int, OfLicense] = {license: (row, {}) for license, row in license_rows.items()}
    for (license, item), row in item_rows.items():
        found.setdefault(license, (None, {}))[1][item] = row
    return found


def fits(balances: OfLicense) -> bool:
    license, items = balances
    values = [value for row in (license, *items.values()) for value in vars(row).items()]
    return all(
        value <= (writes.GREATEST_QUANTITY if column.endswith("quantity") else writes.GREATEST)
        for column, value in values
        if isinstance(value, Decimal)
    )


def first_column(rows: list[Any]) -> set[int]:
    return {row[0] for row in rows}


# ── The machine ───────────────────────────────────────────────────────────────────────────────────────────────────────

hints: list[Keys] = []
"""What writers have announced: messages on their way."""


class LivesOfAWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.transactions: dict[int, OpenTransaction] = {}
        self.engines: dict[int, Walker] = {}
        self.world: writes.Copy = []
        self.before: writes.Copy = []

    @initialize(
        batch_licenses=st.sampled_from([2, 3, 500]),
        batch_changes=st.sampled_from([2, 5, 5000]),
        is_drained=st.booleans(),
    )
    def begin(self, batch_licenses: int, batch_changes: int, is_drained: bool) -> None:
        engine.BATCH_LICENSES, engine.BATCH_CHANGES = batch_licenses, batch_changes
        hints.clear()
        with transaction.atomic(durable=True):
            sql("SET LOCAL lock_timeout = 0")
            empty_tables()
            sql("UPDATE moved.clock SET days = 0")
            sql(writes.WORLD)
        self.before = self.world = writes.copy_of_facts()
        if is_drained:
            self._drain(None)

    @invariant()
    def what_differs_is_known_to(self) -> None:
        view = look()
        assert view.wrong() <= view.pending | view.quarantined
        assert view.without_history == []

    # ── Writers ──

    @rule(write=writes.writes)
    def somebody_writes(self, write: Write) -> None:
        self._write(write)

    @rule(parts=several, commits=st.sampled_from([True, True, False]))
    def somebody_writes_in_a_transaction(self, parts: Parts, commits: bool) -> None:
        def write_all() -> None:
            with transaction.atomic(durable=True):
                for write, is_kept in parts:
                    write_in_savepoint(write, is_kept=is_kept)
                transaction.set_rollback(not commits)

        self._write(write_all)

    @rule(both=meetings(), first=places)
    def two_write_who_cannot_see_each_other(self, both: tuple[Parts, Parts], first: int) -> None:
        """What both together mean, neither can know. An engine comes by after the first has committed."""
        self._clear_the_way()
        for who in PLACES:
            self.somebody_ends(who, "commit")
            self.somebody_leaves_it_open(who, both[who])
        self.somebody_ends(first, "commit")
        self._drain(None)
        self.what_differs_is_known_to()
        self.somebody_ends(1 - first, "commit")

    @rule(write=writes.writes_to["fail"], work=works)
    def somebody_enters_what_is_too_great(self, write: Write, work: Work) -> None:
        self._write(write)
        work()

    @rule(is_all=st.booleans(), write=writes.writes)
    def somebody_puts_back(self, is_all: bool, write: Write) -> None:
        """What was there before the last write; or all of the beginning, since little would be left without."""
        self._put_back(self.world if is_all else self.before)
        self._write(write)

    def _put_back(self, facts: writes.Copy) -> None:
        is_refused(lambda: writes.put_back(facts))

    def _write(self, write: Callable[[], None]) -> None:
        self.before = writes.copy_of_facts()
        is_refused(write)

    @rule(table=st.sampled_from(writes.TRUNCATED), is_restored=st.booleans())
    def somebody_truncates(self, table: str, is_restored: bool) -> None:
        is_refused(lambda: sql(f"TRUNCATE {table} CASCADE"))
        self.what_differs_is_known_to()
        self._drain(None)
        if is_restored:
            self._put_back(self.world)

    @rule(who=places, parts=several)
    def somebody_leaves_it_open(self, who: int, parts: Parts) -> None:
        """Begins a transaction, or goes on in it."""
        theirs = self.transactions[who] = self.transactions.get(who) or OpenTransaction()
        with theirs.taking_part():
            for write, is_kept in parts:
                write_in_savepoint(write, is_kept=is_kept)

    @precondition(lambda self: self.transactions)
    @rule(who=places, how=st.sampled_from(["commit", "commit", "rollback", "kill"]))
    def somebody_ends(self, who: int, how: str) -> None:
        if theirs := self.transactions.pop(who, None):
            is_refused(lambda: theirs.end(how))

    # ── Engines that go through. Each has something to do: an engine without facts that change is no test of it ──

    @rule(write=writes.writes)
    def an_engine_drains(self, write: Write) -> None:
        self._write(write)
        self._drain(None)

    @rule(write=writes.writes, keys=keys)
    def an_engine_drains_what_these_keys_name(self, write: Write, keys: Keys) -> None:
        self._write(write)
        self._drain(keys)

    @rule(write=writes.writes, which=st.integers(0, 100), is_doubled=st.booleans())
    def a_hint_arrives(self, write: Write, which: int, is_doubled: bool) -> None:
        """Late, out of order, twice; or it never does."""
        self._write(write)
        if hints:
            self._drain(hints[which % len(hints)] if is_doubled else hints.pop(which % len(hints)))

    def _drain(self, keys: Keys | None) -> None:
        outcome = drain(keys)
        if not self.engines:
            assert outcome.busy == set()
            if not keys:
                self._assert_all_is_done()
            for name in NAMES:
                assert not sql(
                    f"SELECT id FROM ledger_licensechange WHERE {name} = ANY(%s)", list(getattr(keys, name, ()))
                )

    @rule(write=writes.writes, midnights=st.integers(0, 1), work=recomputes)
    def an_engine_recomputes(self, write: Write, midnights: int, work: Recompute) -> None:
        self._write(write)
        self._pass(midnights)
        outcome = work()
        if not self.engines:
            assert outcome.busy == set()
            assert not (look().wrong() - outcome.quarantined) & set(work.license_ids) or not work.with_items

    @precondition(lambda _: sql("SELECT license_id FROM ledger_quarantine"))
    @rule(is_due=st.booleans(), with_items=st.booleans())
    def an_engine_tries_the_quarantined_again(self, is_due: bool, with_items: bool) -> None:
        licenses = set(due_for_retry() if is_due else sql_column("SELECT license_id FROM ledger_quarantine"))
        recompute(licenses, with_items=with_items)
        if with_items and not self.engines:
            view = look()
            assert licenses & view.quarantined == licenses & view.failing()

    # ── Engines that are left in the middle ──

    @rule(who=places, write=writes.writes, work=works, after=statements)
    def an_engine_goes_on(self, who: int, write: Write, work: Work, after: str) -> None:
        """Until it has run this statement, or to its end; if there is none, it sets out."""
        self._write(write)
        self._walk(who, work, after)

    @precondition(lambda self: self.engines)
    @rule(who=places)
    def an_engine_comes_to_its_end(self, who: int) -> None:
        if who in self.engines:
            self._walk(who, None, None)

    def _walk(self, who: int, work: Work | None, after: str | None) -> None:
        if who not in self.engines:
            self.engines[who] = Walker(work or Drain())
        self.engines[who].walk(after)
        if self.engines[who].is_through:
            del self.engines[who]

    @precondition(lambda self: self.engines)
    @rule(who=places, how=st.sampled_from(["crash", "kill"]))
    def an_engine_dies(self, who: int, how: str) -> None:
        if walker := self.engines.pop(who, None):
            walker.die(how)

    # What the steps above may come to, but seldom do: while an engine stands, facts change and another one comes.
    # Nothing is pending before: it would hide what these two do to each other.

    @rule(parts=several, work=works, after=statements, then=writes.writes, other=works, dies=st.booleans())
    def an_engine_is_overtaken(
        self, parts: Parts, work: Work, after: str, then: Write, other: Work, dies: bool
    ) -> None:
        self._clear_the_way()
        self.somebody_writes_in_a_transaction(parts, commits=True)
        self._walk(0, work, after)
        is_refused(then)
        other()
        self.what_differs_is_known_to()
        self.an_engine_dies(0, "crash") if dies else self.an_engine_comes_to_its_end(0)

    @rule(
        parts=several,
        after=late_statements,
        midnights=st.sampled_from([0, 0, 1]),
        other=drains | works,
        other_after=early_statements,
    )
    def two_engines_meet(self, parts: Parts, after: str, midnights: int, other: Work, other_after: str | None) -> None:
        """And the facts are again what they were when the first one came."""
        self._clear_the_way()
        self.somebody_writes_in_a_transaction(parts, commits=True)
        self._walk(0, Drain(), after)
        self._put_back(self.before)
        self._pass(midnights)
        self._walk(1, other, other_after)
        self.what_differs_is_known_to()
        self.an_engine_comes_to_its_end(0)
        self.what_differs_is_known_to()
        self.an_engine_comes_to_its_end(1)

    def _clear_the_way(self) -> None:
        for who in PLACES:
            self.an_engine_comes_to_its_end(who)
        self._put_back(self.world)
        drain()

    # ── The others ──

    @rule(write=writes.writes, midnights=st.integers(0, 2), at_once=st.integers(1, 6))
    def an_audit_raises_no_false_alarm(self, write: Write, midnights: int, at_once: int) -> None:
        self._write(write)
        self._pass(midnights)
        audit = together(audit_all([], at_once))
        view = look()
        assert {difference.license_id for difference in audit.differences} == view.differing()
        assert audit.pending == view.changes or not view.expected | view.stored
        for difference in audit.drift:
            if difference.license_id in view.quarantined:
                assert difference.cause is Cause.QUARANTINED
            else:
                assert (difference.field, difference.cause) == ("is_expired", Cause.MISSED_EXPIRY)

    def _pass(self, midnights: int) -> None:
        sql("UPDATE moved.clock SET days = days + %s", midnights)

    # ── The end ──

    def teardown(self) -> None:
        """Everybody comes to an end, all is worked off, and all is as the facts say."""
        try:
            for who in PLACES:
                self.somebody_ends(who, "commit")
                self.an_engine_comes_to_its_end(who)
            self._drain(None)
            writes.correct_what_is_too_great()
            self._drain(None)
            assert look().quarantined == set()
            recompute(look().turned)
            assert_balances_follow_facts(one(f"SELECT {writes.TODAY}"))
            assert_history_has_no_gaps()
            assert_trail_tells_facts()
        finally:
            for theirs in self.transactions.values():
                with suppress(Exception):
                    theirs.end("rollback")
            for walker in self.engines.values():
                if not walker.is_through:
                    with suppress(Exception):
                        walker.die("crash")

    def _assert_all_is_done(self) -> None:
        """Whoever may still be writing: nothing is pending, and only what cannot be stored differs, in quarantine."""
        view = look()
        assert view.changes == 0
        assert view.quarantined == view.failing()
        assert view.wrong() <= view.quarantined


def sql_column(statement: str) -> list[Any]:
    return [value for (value,) in sql(statement)]


def assert_history_has_no_gaps() -> None:
    """What each row of history says was there before is what the row before it has left there."""
    assert not sql("""
        SELECT * FROM (
            SELECT id, license_id, (previous_balance_cif, previous_overdrawn_cif, was_null, was_expired) AS previous,
                lag((balance_cif, overdrawn_cif, is_null, is_expired)) OVER of_license AS left_there
            FROM ledger_balancehistory
            WINDOW of_license AS (PARTITION BY license_id ORDER BY id)
        ) AS rows
        WHERE previous IS DISTINCT FROM left_there AND NOT (previous IS NULL AND left_there IS NULL)
    """)


@pytest.fixture
def machine_room(database: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The clock above, small batches, engines that do not sleep, and hints that come to us."""
    monkeypatch.setattr(engine, "BATCH_LICENSES", engine.BATCH_LICENSES)
    monkeypatch.setattr(engine, "BATCH_CHANGES", engine.BATCH_CHANGES)
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    monkeypatch.setattr(engine, "_back_off", lambda _: None)
    monkeypatch.setattr("ledger.signals.announce", hints.append)
    caplog.set_level(logging.CRITICAL, logger="ledger")  # quarantines, thousands of them
    sql(CLOCK)
    connection.close()
    try:
        yield
    finally:
        connection.close()
        sql(ORDINARY_CLOCK)
        connection.close()


@pytest.mark.timeout(1200 + 10 * EXAMPLES)
@pytest.mark.parametrize("lives", [EXAMPLES, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.usefixtures("machine_room")
def test_balances_follow_facts_through_whatever_happens(lives: int) -> None:
    run_state_machine_as_test(
        LivesOfAWorld,
        settings=settings(
            max_examples=lives, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
