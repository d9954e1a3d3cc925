"""What a drain and a recompute do to every table that they touch, and what they say of it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction

from ledger import engine
from ledger.engine import Outcome, drain, due_for_retry, recompute
from ledger.keys import Keys
from ledger.models import Allotment, BillOfEntry, ImportItemBalance, LicenseBalance, LicenseChange
from ledger.sql import load
from license.clock import business_date
from license.models import ImportItem, ItemName, License, SionNorm
from tests import oracle
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.engine.sessions import balances, failing, make_licenses, outbox, session

pytestmark = pytest.mark.usefixtures("database")

GREATEST = "9999999999999.99"


def engine_writes(statement: str) -> None:
    """A write to balances that is let through."""
    with transaction.atomic():
        sql("SELECT set_config('ledger.engine', 'on', true)")
        sql(statement)


def quarantine() -> list[Any]:
    return sql("SELECT license_id, attempts FROM ledger_quarantine ORDER BY license_id")


# ── What they say ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_drain_counts_what_it_did() -> None:
    make_licenses(3)
    assert drain() == Outcome(recomputed=3, written=3, changes=9)
    assert_balances_follow_facts()
    assert drain() == Outcome()
    sql("UPDATE license_exportitem SET cif_fc = cif_fc + 1 WHERE id < 3")
    sql("UPDATE license_importitem SET cif_inr = 5 WHERE id = 3")  # changes no balance here
    assert drain() == Outcome(recomputed=3, written=2, changes=3)
    assert_balances_follow_facts()


def test_a_recompute_counts_what_it_did_and_leaves_changes_alone() -> None:
    make_licenses(3)
    pending = outbox()
    assert recompute([2, 1, 2]) == Outcome(recomputed=2, written=2)
    assert outbox() == pending
    assert recompute([]) == Outcome()
    assert drain() == Outcome(recomputed=3, written=1, changes=9)
    assert_balances_follow_facts()


def test_a_burst_is_one_recompute() -> None:
    make_licenses(1)
    drain()
    for amount in range(100):
        sql("UPDATE license_exportitem SET cif_fc = %s", amount)
    assert drain() == Outcome(recomputed=1, written=1, changes=100)
    assert_balances_follow_facts()


def test_keys_name_changes_and_all_else_of_their_transactions() -> None:
    make_licenses(4)
    drain()
    with transaction.atomic():
        sql("UPDATE license_exportitem SET cif_fc = 1 WHERE id = 1")
        sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (1, 2, 50)")
    sql("UPDATE license_exportitem SET cif_fc = 3 WHERE id = 3")
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 4, 50)")
    assert drain(Keys(license_id={1, 99})) == Outcome(recomputed=2, written=2, changes=2)
    assert sql("SELECT license_id, import_item_id FROM ledger_licensechange ORDER BY id") == [(3, None), (None, 4)]
    assert drain(Keys(import_item_id={4})) == Outcome(recomputed=1, written=1, changes=1)
    sql("INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)")
    assert drain(Keys(allotment_id={1})) == Outcome(recomputed=1, written=1, changes=1)
    assert drain(Keys(license_id={4})) == Outcome()
    assert drain(Keys()) == Outcome(recomputed=1, written=1, changes=1)  # no keys: everything
    assert_balances_follow_facts()


def test_keys_name_all_else_of_their_transactions_in_further_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint names one license; its transaction wrote more of them than a batch takes."""
    monkeypatch.setattr(engine, "BATCH_LICENSES", 2)
    make_licenses(6)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 6 WHERE id = 6")  # another transaction
    sql("UPDATE license_exportitem SET cif_fc = 5 WHERE id < 6")
    assert drain(Keys(license_id={1})) == Outcome(recomputed=5, written=5, changes=5)
    assert [row[1] for row in outbox()] == [6]
    drain()
    assert_balances_follow_facts()


@pytest.mark.parametrize("may_mean_several", [False, True])
def test_each_batch_is_these_statements_in_this_order(may_mean_several: bool) -> None:
    make_licenses(2)
    if may_mean_several:
        sql("INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)")
    names = {load(name): name for name in engine_statements()}
    seen: list[str] = []

    def note(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        seen.append(names.get(statement, statement.split(maxsplit=1)[0]))
        return execute(statement, *rest)

    with connection.execute_wrapper(note):
        drain()
    assert seen == [
        "begin_recompute", "claim_changes", *(["fan_out_changes", "resolve_changes"] * may_mean_several),
        "lock_licenses", "claim_same_licenses", "SAVEPOINT", "write_balances", "RELEASE", "delete_changes",
    ]  # fmt: skip


@pytest.mark.parametrize("is_pooled", [None, "it is said", "it is seen"])
def test_what_a_batch_asks_is_planned_once_unless_a_pooler_shares_the_session(
    is_pooled: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", is_pooled == "it is said")
    if is_pooled == "it is seen":
        monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 4711)  # a pooler's own
    connection.close()
    for number in (1, 2, 3):
        sql("INSERT INTO license_license (license_number, license_date) VALUES (%s, '2026-01-01')", str(number))
        assert drain().written == 1
    prepared = sql(
        "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement ~ 'stored balances'"
    )
    assert prepared == ([] if is_pooled else [(3,)])
    assert_balances_follow_facts()


def engine_statements() -> list[str]:
    return [
        "begin_recompute",
        "claim_changes",
        "fan_out_changes",
        "resolve_changes",
        "lock_licenses",
        "claim_same_licenses",
        "write_balances",
        "delete_changes",
    ]


# ── Only what differs is written ──────────────────────────────────────────────────────────────────────────────────────


def test_equal_balances_are_not_written() -> None:
    make_licenses(3)
    drain()
    before = balances()
    recompute([1, 2, 3])
    sql("UPDATE license_exportitem SET cif_fc = 7")
    sql("UPDATE license_exportitem SET cif_fc = 1000")
    drain()
    assert balances() == before


def test_only_the_license_and_the_item_that_differ_are_written() -> None:
    make_licenses(2)
    sql("INSERT INTO license_importitem (id, license_id, serial_number, quantity, cif_fc) VALUES (11, 1, 2, 5, 300)")
    drain()
    (first, second), (item_1, item_11, item_2) = balances()
    sql("UPDATE license_importitem SET quantity = 6 WHERE id = 11")
    drain()
    (first_after, second_after), (item_1_after, item_11_after, item_2_after) = balances()
    assert (first, second, item_1, item_2) == (first_after, second_after, item_1_after, item_2_after)
    assert item_11 != item_11_after
    assert_balances_follow_facts()


def test_balances_of_older_rules_are_written_anew() -> None:
    make_licenses(2)
    drain()
    engine_writes("UPDATE ledger_licensebalance SET rule_version = 0 WHERE license_id = 1")
    (_, second), items = balances()
    assert recompute([1, 2]) == Outcome(recomputed=2, written=1)
    assert one("SELECT min(rule_version) FROM ledger_licensebalance") == 2
    assert (balances()[0][1], balances()[1]) == (second, items)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ledger_licensebalance SET balance_cif = 1, computed_at = '2020-01-01' WHERE license_id = 1",
        "UPDATE ledger_importitembalance SET available_value = 1 WHERE license_id = 1",
        "DELETE FROM ledger_licensebalance WHERE license_id = 1",
        "DELETE FROM ledger_importitembalance WHERE license_id = 1",
        """INSERT INTO ledger_importitembalance SELECT (jsonb_populate_record(b, '{"import_item_id": 99}')).*
            FROM ledger_importitembalance AS b WHERE license_id = 1""",
        "UPDATE ledger_importitembalance SET import_item_id = 99 WHERE license_id = 1",
    ],
)
def test_a_recompute_repairs(damage: str) -> None:
    make_licenses(2)
    drain()
    engine_writes(damage)
    assert recompute([1, 2]) == Outcome(recomputed=2, written=1)
    assert_balances_follow_facts()
    assert one("SELECT count(*) FROM ledger_licensebalance WHERE computed_at < now() - interval '1 hour'") == 0


# ── What comes and goes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_vanished_loses_its_balance() -> None:
    make_licenses(4)
    sql("INSERT INTO license_importitem (id, license_id, serial_number) VALUES (11, 1, 2)")
    drain()
    sql("DELETE FROM license_importitem WHERE id = 11")
    sql("UPDATE license_importitem SET license_id = 3, serial_number = 2 WHERE id = 2")
    sql("DELETE FROM license_importitem WHERE id = 4; DELETE FROM license_exportitem WHERE id = 4")
    sql("DELETE FROM license_license WHERE id = 4")
    assert drain() == Outcome(recomputed=4, written=4, changes=6)
    assert_balances_follow_facts()
    assert recompute([4, 98, 99]) == Outcome(recomputed=3)
    assert_balances_follow_facts()


def test_a_license_deleted_by_the_orm_loses_its_balances_when_drained() -> None:
    make_licenses(2)
    drain()
    before = balances()
    License.objects.get(pk=1).delete()
    assert balances() == before  # nobody but the engine touches them
    drain()
    assert_balances_follow_facts()
    assert sql("SELECT license_id FROM ledger_licensebalance") == [(2,)]


def test_a_license_with_nothing_has_a_balance_of_zero() -> None:
    License.objects.create(license_number="1", license_date="2026-01-01")
    assert drain() == Outcome(recomputed=1, written=1, changes=1)
    assert_balances_follow_facts()
    [row] = sql("SELECT balance_cif, overdrawn_cif, is_null, is_expired FROM ledger_licensebalance")
    assert row == (0, 0, True, False)


def test_truncate_takes_every_balance_along() -> None:
    make_licenses(3)
    drain()
    sql("TRUNCATE license_license CASCADE")
    drain()
    assert_balances_follow_facts()
    assert balances() == ([], [])


def test_one_common_allotment_and_its_release() -> None:
    make_licenses(3)
    sql(
        "INSERT INTO ledger_allotmentline (allotment_id, import_item_id, quantity, cif_fc)"
        " SELECT 1, n, 2, 100 FROM generate_series(1, 3) AS n"
    )
    drain()
    assert_balances_follow_facts()
    for link in (Allotment.objects.get(pk=1).bills_of_entry.add, Allotment.objects.get(pk=1).bills_of_entry.remove):
        link(BillOfEntry.objects.get(pk=1))
        assert drain() == Outcome(recomputed=3, written=3, changes=1)
        assert_balances_follow_facts()


# ── Many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_that_means_more_licenses_than_a_batch_may_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    many = 2 * engine.BATCH_LICENSES + 1
    make_licenses(many)
    name = ItemName.objects.create(name="milk", sion_norm=SionNorm.objects.create(code="E5"), restriction_percentage=10)
    sql("UPDATE license_exportitem SET norm_id = %s", name.sion_norm_id)
    sql(
        "INSERT INTO license_importitem_item_names (importitem_id, itemname_id) SELECT id, %s FROM license_importitem",
        name.pk,
    )
    drain()
    assert_balances_follow_facts()
    ItemName.objects.update(restriction_percentage=20)
    [(oldest,)] = sql("SELECT created_at FROM ledger_licensechange")
    with session() as other:  # one license is busy: the change is spread, and the license's own part stays
        other.execute(load("lock_licenses"), {"license_ids": [7]})
        assert drain(Keys(item_name_id={name.pk})) == Outcome(
            recomputed=many - 1, written=many - 1, changes=many - 1, busy={7}
        )
        assert sql("SELECT license_id, item_name_id, source, operation, created_at FROM ledger_licensechange") == [
            (7, None, "license_itemname", "UPDATE", oldest)
        ]
    assert drain() == Outcome(recomputed=1, written=1, changes=1)
    assert_balances_follow_facts()


def test_truncate_of_a_parent_with_more_licenses_than_a_batch_may_lock() -> None:
    many = engine.BATCH_LICENSES + 1
    make_licenses(many)
    drain()
    sql("TRUNCATE license_exportitem")
    assert drain() == Outcome(recomputed=many, written=many, changes=many)
    assert_balances_follow_facts()


def test_more_changes_than_a_batch_claims() -> None:
    make_licenses(20)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 5")
    many = 2 * engine.BATCH_CHANGES
    sql(
        "INSERT INTO ledger_licensechange (license_id, source, operation)"
        " SELECT 1 + mod(n, 20), '', '' FROM generate_series(1, %s) AS n",
        many,
    )
    # what the first batch has not claimed, but means its licenses, it works off as well
    assert drain() == Outcome(recomputed=20, written=20, changes=many + 20)
    assert_balances_follow_facts()


# ── Quarantine (G6) ───────────────────────────────────────────────────────────────────────────────────────────────────


def assert_all_but_license_2_follow_their_facts() -> None:
    licenses, items = oracle.expected(business_date())
    licenses.pop(2)
    items.pop((2, 2))
    stored_licenses, stored_items = oracle.stored()
    stored_licenses.pop(2, None)
    stored_items.pop((2, 2), None)
    assert (stored_licenses, stored_items) == (licenses, items)


def test_one_bad_license_among_many_stops_nothing() -> None:
    make_licenses(5)
    drain()
    bad = balances("license_id = 2")
    sql("UPDATE license_exportitem SET cif_fc = 900")
    sql(f"INSERT INTO license_exportitem (license_id, cif_fc) VALUES (2, {GREATEST}), (2, {GREATEST})")
    assert drain() == Outcome(recomputed=4, written=4, changes=6, quarantined={2})
    assert outbox() == []
    assert_all_but_license_2_follow_their_facts()
    assert balances("license_id = 2") == bad  # as they were
    assert sql(
        "SELECT license_id, error LIKE '%numeric field overflow%', attempts, next_try_at - first_failed_at = '1 min',"
        " first_failed_at > now() - interval '1 min' FROM ledger_quarantine"
    ) == [(2, True, 1, True, True)]
    assert due_for_retry() == []

    waits = [one("SELECT next_try_at - first_failed_at FROM ledger_quarantine")]
    for attempts in (2, 3):
        sql("UPDATE ledger_quarantine SET next_try_at = now()")
        assert due_for_retry() == [2]
        assert recompute(due_for_retry()) == Outcome(quarantined={2})
        assert quarantine() == [(2, attempts)]
        waits.append(one("SELECT next_try_at - clock_timestamp() FROM ledger_quarantine"))
    assert waits[0] < waits[1] < waits[2]

    sql("DELETE FROM license_exportitem WHERE cif_fc > 900")
    assert drain() == Outcome(recomputed=1, written=1, changes=1)
    assert quarantine() == []
    assert_balances_follow_facts()


def test_a_license_that_failed_often_is_still_tried_several_times_a_day() -> None:
    make_licenses(2)
    sql(f"INSERT INTO license_exportitem (license_id, cif_fc) VALUES (2, {GREATEST}), (2, {GREATEST})")
    drain()
    sql("UPDATE ledger_quarantine SET attempts = 2000000000, first_failed_at = '2020-01-01'")
    assert recompute([2]) == Outcome(quarantined={2})
    [(attempts, first, wait)] = sql(
        "SELECT attempts, first_failed_at < '2021-01-01', next_try_at - clock_timestamp() < '6 hours'"
        " FROM ledger_quarantine"
    )
    assert (attempts, first, wait) == (2_000_000_001, True, True)


def test_a_quarantined_license_that_is_deleted_leaves_quarantine() -> None:
    make_licenses(2)
    sql(f"INSERT INTO license_exportitem (license_id, cif_fc) VALUES (2, {GREATEST}), (2, {GREATEST})")
    drain()
    assert quarantine() == [(2, 1)]
    License.objects.get(pk=2).delete()
    drain()
    assert quarantine() == []
    assert_balances_follow_facts()


def test_a_quarantined_license_that_never_had_a_balance_leaves_quarantine_with_truncate() -> None:
    make_licenses(2)
    sql(f"INSERT INTO license_exportitem (license_id, cif_fc) VALUES (2, {GREATEST}), (2, {GREATEST})")
    drain()
    assert quarantine() == [(2, 1)]
    sql("TRUNCATE license_license CASCADE")
    drain()
    assert quarantine() == []
    assert_balances_follow_facts()


def test_quarantine_follows_the_license_that_a_recompute_repaired() -> None:
    make_licenses(2)
    sql("INSERT INTO ledger_quarantine (license_id, error) VALUES (1, 'old'), (2, 'old')")
    assert recompute([1]) == Outcome(recomputed=1, written=1)
    assert quarantine() == [(2, 1)]


@pytest.mark.parametrize("code", ["P0001", "23514", "22003", "54000", "XX001"])
def test_faults_in_the_data_of_a_license_are_quarantined(code: str) -> None:
    make_licenses(3)
    with failing("ledger_importitembalance", "NEW.license_id = 2", code):
        assert drain() == Outcome(recomputed=2, written=2, changes=9, quarantined={2})
        assert quarantine() == [(2, 1)]
        assert_all_but_license_2_follow_their_facts()
    assert recompute([2]) == Outcome(recomputed=1, written=1)
    assert_balances_follow_facts()


@pytest.mark.parametrize("code", ["53100", "57014", "42P01", "42501", "25006", "XX002"])
def test_faults_that_are_nobodys_data_are_raised_and_nothing_is_deleted(code: str) -> None:
    make_licenses(3)
    before = outbox(), balances()
    with failing("ledger_importitembalance", "NEW.license_id = 2", code), pytest.raises(DatabaseError):
        drain()
    assert (outbox(), balances(), quarantine()) == (*before, [])
    drain()
    assert_balances_follow_facts()


def test_a_limit_of_the_role_on_statements_ends_no_recompute() -> None:
    make_licenses(1)
    sql("""
        SET statement_timeout = '50ms';
        CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON ledger_licensebalance FOR EACH ROW EXECUTE FUNCTION public.slow();
    """)
    try:
        assert drain().written == 1
    finally:
        sql("RESET statement_timeout")
        sql("DROP TRIGGER slow ON ledger_licensebalance; DROP FUNCTION public.slow()")
    assert_balances_follow_facts()


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_a_deadlock_is_tried_again(code: str) -> None:
    make_licenses(3)
    with failing("ledger_licensebalance", "true", code, once=True):
        assert drain() == Outcome(recomputed=3, written=3, changes=9)
    assert_balances_follow_facts()


def test_a_fault_of_the_schema_is_raised_and_nothing_is_deleted() -> None:
    make_licenses(3)
    before = outbox()
    sql("ALTER TABLE ledger_importitembalance RENAME TO elsewhere")
    try:
        with pytest.raises(ProgrammingError):
            drain()
        assert outbox() == before
    finally:
        sql("ALTER TABLE elsewhere RENAME TO ledger_importitembalance")
    assert (balances(), quarantine()) == (([], []), [])
    drain()
    assert_balances_follow_facts()


# ── Where it may run ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("work", [drain, lambda: recompute([1])], ids=["drain", "recompute"])
def test_inside_a_transaction_is_refused(work: Callable[[], Outcome]) -> None:
    make_licenses(1)
    before = outbox()
    with transaction.atomic(), pytest.raises(RuntimeError):
        work()
    assert (outbox(), balances()) == (before, ([], []))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("work", [drain, lambda: recompute([1])], ids=["drain", "recompute"])
def test_no_default_makes_its_snapshot_older_than_the_lock(level: str, work: Callable[[], Outcome]) -> None:
    make_licenses(1)
    levels = []

    def note_the_level(execute: Callable[..., Any], query: str, *rest: Any) -> Any:
        if "pg_try_advisory" in query or "license_written" in query:
            levels.append(one("SHOW transaction_isolation"))
        return execute(query, *rest)

    sql(f"SET default_transaction_isolation = '{level}'")
    try:
        with connection.execute_wrapper(note_the_level):
            assert work().recomputed == 1
    finally:
        sql("RESET default_transaction_isolation")
    assert levels == ["read committed"] * 2
    drain()
    assert_balances_follow_facts()


def test_the_right_to_write_balances_ends_with_the_transaction() -> None:
    make_licenses(1)
    drain()
    with pytest.raises(ProgrammingError, match="balances are derived"):
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")
    assert sql("SELECT current_setting('lock_timeout'), current_setting('jit'), current_setting('ledger.engine')") == [
        ("0", one("SELECT boot_val FROM pg_settings WHERE name = 'jit'"), "")
    ]


# ── Licenses that somebody holds ──────────────────────────────────────────────────────────────────────────────────────


def test_a_license_that_another_engine_holds_is_left_with_its_changes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    make_licenses(3)
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 1, 10), (1, 2, 20)")
    drain()
    Allotment.objects.get(pk=1).bills_of_entry.add(1)  # one change, which means 1 and 2
    common = outbox()
    sql("UPDATE license_exportitem SET cif_fc = 5 WHERE id = 3")
    sql("UPDATE license_exportitem SET cif_fc = 5 WHERE id = 2")
    with session() as other:
        other.execute(load("lock_licenses"), {"license_ids": [2]})
        outcome = drain()
        assert outcome.busy == {2}
        assert (outcome.changes, outcome.quarantined) == (1, set())
        assert [row[1:5] for row in outbox()] == [(None, None, 1, None), (2, None, None, None)]
        assert outbox()[:1] == common
        assert recompute([1, 2]) == Outcome(recomputed=1, busy={2})
    assert drain() == Outcome(recomputed=2, written=1, changes=2)
    assert_balances_follow_facts()


def test_a_license_whose_balance_an_idle_transaction_holds_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    make_licenses(3)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 5")
    with session() as idle:
        idle.execute("SELECT * FROM ledger_licensebalance WHERE license_id = 2 FOR UPDATE")
        assert drain() == Outcome(recomputed=2, written=2, changes=2, busy={2})
        assert [row[1] for row in outbox()] == [2]
        assert_all_but_license_2_follow_their_facts()
        assert quarantine() == []
    assert drain() == Outcome(recomputed=1, written=1, changes=1)
    assert_balances_follow_facts()


def test_a_locked_table_of_facts_is_not_waited_for_once_for_each_license(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody truncates or alters a table and does not commit: that is no row lock of one license, and to halve the
    batch until each license has waited alone takes a second for each, in one transaction. What the drain does not get
    to is left, or an error is raised; nothing is lost."""
    monkeypatch.setattr(engine, "ATTEMPTS", 1)
    make_licenses(4)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 5")
    before = outbox(), balances()
    waits = 0

    def count(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        nonlocal waits
        waits += statement == load("write_balances")
        return execute(statement, *rest)

    with session() as alterer, connection.execute_wrapper(count), suppress(DatabaseError):
        alterer.execute("LOCK TABLE license_exportitem IN ACCESS EXCLUSIVE MODE")
        drain()
    assert (outbox(), balances(), quarantine()) == (*before, [])
    drain()
    assert_balances_follow_facts()
    assert waits <= 3


def test_the_locks_of_the_engine_are_its_own() -> None:
    """Other users of advisory locks count from 1 too."""
    make_licenses(1)
    with session() as other:
        other.execute("SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock(0, 1), pg_advisory_xact_lock(1, 1)")
        assert drain() == Outcome(recomputed=1, written=1, changes=3)


# ── Derived means derived (G5) ────────────────────────────────────────────────────────────────────────────────────────

TABLES = {"ledger_licensebalance": LicenseBalance, "ledger_importitembalance": ImportItemBalance}


def stored_object(table: str) -> Any:
    return TABLES[table].objects.get(license_id=1)


def copy(table: str) -> None:
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN"):
        pass


WRITES: dict[str, Callable[[str], Any]] = {
    "save": lambda table: stored_object(table).save(),
    "delete": lambda table: stored_object(table).delete(),
    "create": lambda table: stored_object(table).save(force_insert=True),
    "bulk_create": lambda table: TABLES[table].objects.bulk_create([stored_object(table)]),
    "bulk_create(ignore_conflicts)": lambda t: TABLES[t].objects.bulk_create([stored_object(t)], ignore_conflicts=True),
    "QuerySet.update": lambda table: TABLES[table].objects.update(license_id=1),
    "QuerySet.delete": lambda table: TABLES[table].objects.all().delete(),
    "INSERT": lambda table: sql(f"INSERT INTO {table} SELECT * FROM {table}"),
    "INSERT ON CONFLICT": lambda table: sql(f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING"),
    "UPDATE": lambda table: sql(f"UPDATE {table} SET license_id = license_id"),
    "DELETE": lambda table: sql(f"DELETE FROM {table}"),
    "DELETE of no row": lambda table: sql(f"DELETE FROM {table} WHERE false"),
    "DELETE in a CTE": lambda table: sql(f"WITH gone AS (DELETE FROM {table} RETURNING *) SELECT * FROM gone"),
    "MERGE": lambda t: sql(
        f"MERGE INTO {t} t USING (VALUES (1)) s (id) ON t.license_id = s.id WHEN MATCHED THEN DELETE"
    ),
    "COPY": copy,
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("write", WRITES)
def test_writes_to_balances_are_refused(table: str, write: str) -> None:
    make_licenses(1)
    drain()
    before = balances()
    with pytest.raises(ProgrammingError) as refused:
        WRITES[write](table)
    cause = refused.value.__cause__
    assert f"on {table} is refused" in cause.diag.message_primary
    for fact_table in ("license_exportitem", "ledger_billofentryline", "ledger_allotmentline"):
        assert fact_table in cause.diag.message_hint
    assert (balances(), outbox()) == (before, [])


@pytest.mark.parametrize("table", TABLES)
def test_truncate_of_balances_marks_every_license(table: str) -> None:
    make_licenses(3)
    drain()
    sql(f"TRUNCATE {table}")
    assert [row[1:7] for row in outbox()] == [(None, None, None, None, table, "TRUNCATE")]
    assert drain() == Outcome(recomputed=3, written=3, changes=1)
    assert_balances_follow_facts()


def test_saving_an_old_license_form_cannot_bring_an_old_balance_back() -> None:
    make_licenses(1)
    drain()
    opened = License.objects.select_related("balance").get(pk=1)
    item = ImportItem.objects.get(pk=1)
    assert opened.balance.balance_cif == 1000
    sql("UPDATE license_exportitem SET cif_fc = 70")
    drain()
    before = balances()
    opened.file_number = "changed"
    opened.save()
    item.save()
    drain()
    assert balances() == before
    assert_balances_follow_facts()


def test_changes_are_found_by_their_transaction_through_django() -> None:
    """What a screen shows of a change, and asks for: an int, where the driver has text."""
    with transaction.atomic():
        make_licenses(1)
        ours = int(one("SELECT pg_current_xact_id()::text"))
    sql("UPDATE license_exportitem SET cif_fc = 5")
    assert [change.transaction_id for change in LicenseChange.objects.order_by("pk")[:3]] == [ours] * 3
    assert LicenseChange.objects.filter(transaction_id=ours).count() == 3
