"""The faults that earlier designs of this engine had, each brought about on purpose, and a storm at the end.

Nothing here is left to chance but the storm: an engine is stopped at a statement, or in the middle of one, while
others commit what the fault needs.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from ledger import engine
from ledger.engine import Outcome, drain, recompute
from ledger.models import Allotment, AllotmentLine, BillOfEntryLine
from ledger.sql import load
from license.models import ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.engine.sessions import Engine, gate, make_licenses, outbox, session, wait_at_the_gate, wait_until

pytestmark = pytest.mark.usefixtures("database")

NO_WAIT = "SET lock_timeout = '3s'"
"""For sessions that must wait for nobody: a bound, far above what any statement here takes."""


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that meets a held license tries twice, not for seconds."""
    monkeypatch.setattr(engine, "ATTEMPTS", 2)


def debit(import_item: int, cif_fc: int, bill: int = 1) -> None:
    sql(
        "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (%s, %s, %s)",
        bill, import_item, cif_fc,
    )  # fmt: skip


def stored(license: int) -> Any:
    return [
        int(balance)
        for (balance,) in sql("SELECT balance_cif FROM ledger_licensebalance WHERE license_id = %s", license)
    ]


# ── Two engines ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "has_balance", [True, False], ids=["a license with a balance", "a license without a balance row"]
)
def test_110_stored_where_1110_is_true(has_balance: bool) -> None:
    """An engine computes 110 and is held up before it writes; meanwhile the truth becomes 1110 and another engine
    comes by. Were the second to write and be done, the older result would win."""
    make_licenses(1, credit=100)
    if has_balance:
        drain()
        sql("UPDATE license_exportitem SET cif_fc = 110")
    else:
        sql("UPDATE license_exportitem SET cif_fc = 110; TRUNCATE ledger_licensebalance")
    with gate("ledger_licensebalance", "NEW.balance_cif = 110"), Engine(drain) as slow:
        wait_at_the_gate()
        sql("UPDATE license_exportitem SET cif_fc = 1110")
        newer = outbox()[-1]
        assert drain() == Outcome(busy={1})
        assert outbox()[-1] == newer  # kept whole
        assert recompute([1]) == Outcome(busy={1})
        with session(autocommit=True) as keeper:  # opens the gate
            open_gate(keeper)
        assert slow.finish().busy == set()
    drain()
    assert stored(1) == [1110]
    assert_balances_follow_facts()


def open_gate(other: psycopg.Connection[Any]) -> None:
    """Ends the session that keeps the gate shut."""
    other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND objid = 4242 AND granted AND mode = 'ExclusiveLock'"
    )


def test_1000_20_1000_leaves_20() -> None:
    """The first engine stores 20. The second began while 1000 was stored still, and 1000 is true again: comparing in
    the snapshot of its beginning, it would find nothing to write and delete the change."""
    make_licenses(1)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 20")
    with Engine(drain, after="write_balances") as first:
        sql("UPDATE license_exportitem SET cif_fc = 1000")
        with Engine(drain, before="lock_licenses") as second:
            assert first.finish() == Outcome(recomputed=1, written=1, changes=1)
            assert stored(1) == [20]
            assert second.finish() == Outcome(recomputed=1, written=1, changes=1)
    assert stored(1) == [1000]
    assert_balances_follow_facts()


@pytest.mark.parametrize(
    "stop", ["claim_changes", "fan_out_changes", "resolve_changes", "lock_licenses", "write_balances"]
)
def test_a_change_that_commits_while_an_engine_is_at_work_is_not_deleted_unread(stop: str) -> None:
    make_licenses(2)
    drain()
    Allotment.objects.get(pk=1).bills_of_entry.add(1)  # which may mean several licenses
    debit(1, 100)
    with Engine(drain, after=stop) as at_work:
        debit(1, 200, bill=2)
        sql("UPDATE license_exportitem SET cif_fc = 500 WHERE id = 1")
        committed_meanwhile = {row[0] for row in outbox()[2:]}
        assert len(committed_meanwhile) == 2
        with session(autocommit=True) as witness:
            assert witness.execute("SELECT count(*) FROM ledger_licensechange").fetchone() == (4,)
        at_work.finish()
    drain()  # the newcomers
    assert_balances_follow_facts()
    assert stored(1) == [200]


def test_changes_that_commit_between_compute_and_delete_stay_until_computed() -> None:
    """The same, and nobody comes for a further batch: the outbox alone must tell."""
    make_licenses(1)
    drain()
    debit(1, 100)
    batch = Engine(one_batch, after="write_balances")
    with batch:
        debit(1, 200, bill=2)
        batch.finish()
    assert len(outbox()) == 1
    assert stored(1) == [900]
    drain()
    assert_balances_follow_facts()


def one_batch() -> Outcome:
    outcome = Outcome()
    engine._drain_batch(None, [], outcome)
    return outcome


def test_two_drains_share_the_work() -> None:
    """What one has claimed, the other skips, and neither waits."""
    make_licenses(3)
    drain()
    debit(1, 100)
    with Engine(drain, before="lock_licenses") as first:
        debit(2, 100)
        assert drain() == Outcome(recomputed=1, written=1, changes=1)
        assert [row[2] for row in outbox()] == [1]
        assert first.finish() == Outcome(recomputed=1, written=1, changes=1)
    assert_balances_follow_facts()


def test_a_late_committer_with_a_smaller_id_is_seen() -> None:
    make_licenses(2)
    drain()
    with session() as late:
        late.execute("UPDATE license_exportitem SET cif_fc = 1 WHERE id = 1")
        sql("UPDATE license_exportitem SET cif_fc = 2 WHERE id = 2")
        [(seen, *_)] = outbox()
        assert drain() == Outcome(recomputed=1, written=1, changes=1)
        late.commit()
    [(unseen, *_)] = outbox()
    assert unseen < seen
    assert drain() == Outcome(recomputed=1, written=1, changes=1)
    assert_balances_follow_facts()


# ── Rows that move and go ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_item_moved_between_two_recomputes() -> None:
    """The engine of the old license is held up with the item still in its hands; the new license's one is through."""
    make_licenses(2)
    sql("INSERT INTO license_importitem (id, license_id, serial_number, quantity) VALUES (11, 1, 2, 5)")
    with gate("ledger_importitembalance", "NEW.license_id = 1 AND NEW.import_item_id = 11"):
        with Engine(lambda: recompute([1])) as of_old_license:
            wait_at_the_gate()
            sql("UPDATE license_importitem SET license_id = 2, serial_number = 2 WHERE id = 11")
            assert recompute([2]) == Outcome(recomputed=1, written=1)
            assert drain().busy == {1}
            with session(autocommit=True) as keeper:
                open_gate(keeper)
            assert of_old_license.finish() == Outcome(recomputed=1, written=1)
        assert sql("SELECT license_id FROM ledger_importitembalance WHERE import_item_id = 11 ORDER BY 1") == [
            (1,),
            (2,),
        ]
        drain()
    assert_balances_follow_facts()


def test_an_item_that_moves_while_both_licenses_are_computed_at_once() -> None:
    make_licenses(2)
    sql("INSERT INTO license_importitem (id, license_id, serial_number, quantity) VALUES (11, 1, 2, 5)")
    drain()
    with Engine(lambda: recompute([1]), before="write_balances") as old:
        with Engine(lambda: recompute([2]), before="write_balances") as new:
            sql("UPDATE license_importitem SET license_id = 2, serial_number = 2 WHERE id = 11")
            new.finish()
        old.finish()
    assert drain() == Outcome(recomputed=2, changes=2)
    assert_balances_follow_facts()


@pytest.mark.parametrize("how", ["orm", "sql"])
def test_a_license_deleted_in_mid_recompute(how: str) -> None:
    """Neither waits for the other, the batch goes through, and no balance of it is left."""
    make_licenses(3, credit=100)
    with gate("ledger_importitembalance", "NEW.license_id = 2"), Engine(drain) as at_work:
        wait_at_the_gate()
        sql(NO_WAIT)
        if how == "orm":
            License.objects.get(pk=2).delete()
        else:
            sql("DELETE FROM license_importitem WHERE id = 2; DELETE FROM license_exportitem WHERE id = 2;"
                "DELETE FROM license_license WHERE id = 2")  # fmt: skip
        with session(autocommit=True) as keeper:
            open_gate(keeper)
        outcome = at_work.finish()
        assert (outcome.quarantined, outcome.busy) == (set(), set())
    drain()
    assert_balances_follow_facts()
    assert sql("SELECT license_id FROM ledger_licensebalance ORDER BY 1") == [(1,), (3,)]


def test_writers_who_cannot_see_each_other() -> None:
    """One links an allotment to a bill while another puts a line on it: which license that means, nobody can tell
    before both have committed. A change that a trigger resolved by a join would name none."""
    make_licenses(2)
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 1, 10)")
    drain()
    with session() as linker, session() as liner:
        linker.execute("INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)")
        liner.execute("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 2, 20)")
        liner.commit()
        drain()
        assert_balances_follow_facts()
        linker.commit()
    drain()
    assert_balances_follow_facts()


def test_a_name_that_is_linked_while_its_percentage_changes() -> None:
    make_licenses(2)
    norm = SionNorm.objects.create(code="E5")
    name = ItemName.objects.create(name="milk", sion_norm=norm, restriction_percentage=10)
    sql("UPDATE license_exportitem SET norm_id = %s", norm.pk)
    ImportItem.objects.get(pk=1).item_names.add(name)
    drain()
    with session() as linker:
        link = "INSERT INTO license_importitem_item_names (importitem_id, itemname_id) VALUES (2, %s)"
        linker.execute(link, [name.pk])
        sql("UPDATE license_itemname SET restriction_percentage = 20")
        drain()
        assert_balances_follow_facts()
        linker.commit()
    drain()
    assert_balances_follow_facts()


def test_an_engine_that_is_heard_of_no_more_loses_its_licenses() -> None:
    """Its machine is gone, and nobody tells PostgreSQL; here a minute is a third of a second."""
    make_licenses(1)

    def hurry(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        result = execute(statement, *rest)
        if statement == load("begin_recompute"):
            name = "idle_in_transaction_session_timeout"
            shorter = f"extract(epoch FROM current_setting('{name}')::interval) * 5 || 'ms'"
            sql(f"SELECT set_config('{name}', {shorter}, true)")
        return result

    def gone() -> Outcome:
        with connection.execute_wrapper(hurry):
            return drain()

    with Engine(gone, before="write_balances") as vanished:
        wait_until(lambda: drain().recomputed, "another engine does what it held")
        assert_balances_follow_facts()
        with pytest.raises(DatabaseError, match="idle-in-transaction timeout"):
            vanished.finish()


# ── G4: nobody waits ──────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def engine_in_the_middle_of_a_batch(*licenses: int) -> Iterator[None]:
    """An engine that has claimed, locked, written and deleted, and does not commit until the end."""
    with session() as other:
        other.execute(load("begin_recompute"))
        claim = {"at_most": 100, "busy": [], "everything": True, "transaction_ids": []}
        claimed = [change for change, *_ in other.execute(load("claim_changes"), claim).fetchall()]
        assert claimed
        other.execute(load("fan_out_changes"), {"change_ids": claimed, "at_most": 500})
        other.execute(load("resolve_changes"), {"change_ids": claimed})
        locked = other.execute(load("lock_licenses"), {"license_ids": list(licenses)}).fetchall()
        assert locked == [(license, True) for license in licenses]
        other.execute(
            load("write_balances"),
            {
                "license_ids": list(licenses),
                "today": None,
                "with_items": True,
                "change_ids": claimed,
                "change_license_ids": [licenses[0]] * len(claimed),
            },
        )
        other.execute(load("delete_changes"), {"change_ids": claimed})
        yield
        other.commit()


WRITERS: dict[str, Callable[[], Any]] = {
    "save a license": lambda: License.objects.get(pk=1).save(),
    "update a license": lambda: License.objects.update(purchase_status="CO"),
    "insert a debit": lambda: debit(1, 5),
    "bulk_create": lambda: ExportItem.objects.bulk_create([ExportItem(license_id=1, cif_fc=9)]),
    "update all": lambda: ExportItem.objects.update(cif_fc=9),
    "move an item": lambda: sql("UPDATE license_importitem SET license_id = 2, serial_number = 2 WHERE id = 1"),
    "allot": lambda: AllotmentLine.objects.create(allotment_id=1, import_item_id=1, cif_fc=5),
    "link an allotment": lambda: Allotment.objects.get(pk=2).bills_of_entry.add(1),
    "delete a license": lambda: License.objects.get(pk=1).delete(),
    "delete all licenses": lambda: License.objects.all().delete(),
    "lock a license": lambda: sql("SELECT * FROM license_license FOR UPDATE"),
    "mark everything": lambda: sql("INSERT INTO ledger_licensechange (source, operation) VALUES ('', '')"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_no_writer_waits_for_the_engine(writer: str) -> None:
    make_licenses(2)
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (2, 1, 10)")
    with engine_in_the_middle_of_a_batch(1, 2):
        sql(NO_WAIT)
        WRITERS[writer]()  # commits before the engine does
    drain()
    assert_balances_follow_facts()


@pytest.mark.parametrize("writer", WRITERS)
def test_the_engine_waits_for_no_writer(writer: str) -> None:
    make_licenses(2)
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (2, 1, 10)")
    with transaction.atomic():
        WRITERS[writer]()
        with Engine(drain) as at_work:  # in a connection of its own, while ours is not committed
            outcome = at_work.finish()
            assert (outcome.recomputed, outcome.busy, outcome.quarantined) == (2, set(), set())
    drain()
    assert_balances_follow_facts()


# ── A storm ───────────────────────────────────────────────────────────────────────────────────────────────────────────

LICENSES = 12
STORM_SECONDS = 5.0


class Storm:
    """Threads that each do their work over and over, until the time is up, and keep what they should not have met."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.counts: dict[str, int] = {}
        self._until = time.monotonic() + STORM_SECONDS
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[random.Random], Any], may_meet: tuple[type[BaseException], ...]) -> None:
        thread = threading.Thread(target=self._run, args=(name, work, may_meet), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(STORM_SECONDS + 30)
            assert not thread.is_alive()

    def _run(self, name: str, work: Callable[[random.Random], Any], may_meet: tuple[type[BaseException], ...]) -> None:
        dice = random.Random(name)
        try:
            while time.monotonic() < self._until:
                try:
                    work(dice)
                    self.counts[name] = self.counts.get(name, 0) + 1
                except may_meet:
                    pass
                except BaseException as error:  # noqa: BLE001 (shown at the end)
                    self.errors.append(error)
                    return
        finally:
            connection.close()


def orm_writer(dice: random.Random) -> None:
    license, item = dice.randrange(1, LICENSES + 1), dice.randrange(1, LICENSES + 1)
    with transaction.atomic():
        match dice.randrange(6):
            case 0:
                License.objects.filter(pk=license).first() and ExportItem.objects.create(license_id=license, cif_fc=7)
            case 1:
                line = BillOfEntryLine.objects.filter(import_item_id=item).first()
                line and line.delete()
            case 2:
                Allotment.objects.get(pk=1 + item % 2).bills_of_entry.set([1] if item % 3 else [])
            case 3:
                row = ImportItem.objects.filter(pk=item).first()
                row and row.item_names.set(ItemName.objects.all()[: item % 2])
            case 4:
                License.objects.filter(pk=license).delete()
            case 5:
                License.objects.get_or_create(
                    pk=license, defaults={"license_number": license, "license_date": "2026-01-01"}
                )
                ImportItem.objects.get_or_create(pk=license, defaults={"license_id": license, "serial_number": license})


def bulk_writer(dice: random.Random) -> None:
    with transaction.atomic():
        items = dice.sample(list(ImportItem.objects.values_list("pk", flat=True)), 2)
        BillOfEntryLine.objects.bulk_create(
            [BillOfEntryLine(bill_of_entry_id=1, import_item_id=item, cif_fc=dice.randrange(50)) for item in items],
            update_conflicts=True,
            unique_fields=["bill_of_entry", "import_item", "transaction_type"],
            update_fields=["cif_fc"],
        )
        ItemName.objects.update(restriction_percentage=dice.choice([5, 10]))


def raw_writer(dice: random.Random) -> None:
    """Items and lines move from license to license, and amounts swap."""
    a, b = dice.sample(range(1, LICENSES + 1), 2)
    with transaction.atomic():
        sql("UPDATE license_importitem SET license_id = %s, serial_number = id WHERE id = %s", a, b)
        sql("UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1 WHERE import_item_id IN (%s, %s)", a, b)
        sql("UPDATE license_exportitem SET license_id = %s WHERE id = (SELECT max(id) FROM license_exportitem)", b)
        if dice.random() < 0.3:
            transaction.set_rollback(True)


def copy_writer(dice: random.Random) -> None:
    with connection.wrap_database_errors, transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(
            "COPY ledger_allotmentline (allotment_id, import_item_id, cif_fc, quantity) FROM STDIN"
        ) as data:
            for item in dice.sample(range(1, LICENSES + 1), 2):
                data.write_row([dice.choice([1, 2]), item, dice.randrange(9), 1])
        if dice.random() < 0.5:
            cursor.execute("DELETE FROM ledger_allotmentline WHERE cif_fc = %s", [dice.randrange(9)])


def test_a_storm_of_writers_beside_three_engines() -> None:
    make_licenses(LICENSES)
    name = ItemName.objects.create(name="milk", sion_norm=SionNorm.objects.create(code="E5"), restriction_percentage=10)
    sql("UPDATE license_exportitem SET norm_id = %s", name.sion_norm_id)
    sql(
        "INSERT INTO license_importitem_item_names (importitem_id, itemname_id) SELECT id, %s FROM license_importitem",
        name.pk,
    )
    storm = Storm()
    outcomes: list[Outcome] = []
    # writers may get into each other's way, for which they have only themselves to blame; an engine meets nothing
    among_themselves = (connection.Database.Error, *django_errors(), ValueError)
    for writer in (orm_writer, bulk_writer, raw_writer, copy_writer):
        storm.start(writer.__name__, writer, among_themselves)
    for number in range(3):
        storm.start(f"engine {number}", lambda _: outcomes.append(engine_that_never_deadlocks()), ())
    storm.join()
    assert storm.errors == []
    assert len(storm.counts) == 7, f"somebody never got through: {storm.counts}"
    assert [outcome.quarantined for outcome in outcomes if outcome.quarantined] == []
    drain()
    assert_balances_follow_facts()
    assert one("SELECT count(*) FROM ledger_quarantine") == 0


def django_errors() -> tuple[type[BaseException], ...]:
    from django.db import DataError, IntegrityError, OperationalError

    return DataError, IntegrityError, OperationalError


def engine_that_never_deadlocks() -> Outcome:
    """A drain in which no statement may fail: the engine would start again after a deadlock, and nobody would know."""

    def watch(execute: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return execute(*arguments)
        except Exception as error:
            raise AssertionError(f"an engine met {error!r}") from error

    with connection.execute_wrapper(watch):
        return drain()
