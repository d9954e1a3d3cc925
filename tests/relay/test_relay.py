"""The relay, look by look: what it hands over and when, what it does by itself, when it sleeps and who wakes it."""

import itertools
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection

from ledger import relay as module
from ledger.engine import drain
from ledger.models import LicenseBalance, LicenseChange, Quarantine
from ledger.relay import Relay
from tests.conftest import assert_balances_follow_facts, sql
from tests.engine.sessions import DEADLINE_SECONDS, failing, make_licenses, session, wait_until

pytestmark = pytest.mark.usefixtures("database")


class Hands:
    """A broker as the relay sees it, and a clock."""

    def __init__(self) -> None:
        self.is_there = True
        self.handed_over = 0
        self.now_seconds = 1_000.0
        self.relay = Relay(hand_over=self.take, clock=lambda: self.now_seconds)

    def take(self) -> bool:
        self.handed_over += 1
        return self.is_there


@pytest.fixture
def hands(database: None) -> Generator[Hands]:
    """A relay that has arrived, over five licenses that are in order."""
    make_licenses(5)
    drain()
    hands = Hands()
    hands.relay.arrive()
    yield hands
    connection.close()  # and its locks with it


def write(amount: int = 5, license_id: int = 1) -> None:
    """A write that no signal announces, by another session."""
    with session() as other:
        other.execute("UPDATE license_exportitem SET cif_fc = %s WHERE license_id = %s", [amount, license_id])
        other.commit()


def write_many(count: int = module.FEW + 1) -> None:
    """So many changes that none announces; or more than a relay that is woken works off by itself."""
    with session(autocommit=True) as other:
        other.execute(
            "INSERT INTO ledger_licensechange (license_id, source, operation)"
            " SELECT 1, '', '' FROM generate_series(1, %s)",
            [count],
        )


def fall_asleep(hands: Hands) -> None:
    for _ in range(20):
        if hands.relay.look() == module.SLEEP_SECONDS:
            return
    raise AssertionError("it did not fall asleep")


@contextmanager
def listener() -> Generator[psycopg.Connection]:
    """A session that hears what relays hear."""
    with session(autocommit=True) as other:
        other.execute("LISTEN ledger_change")
        yield other


def notifications(other: psycopg.Connection) -> int:
    return len(list(other.notifies(timeout=0.2)))


def test_what_is_there_when_it_arrives_is_worked_off_at_once(database: None) -> None:
    make_licenses(3)
    hands = Hands()
    hands.relay.arrive()
    assert_balances_follow_facts()
    assert hands.handed_over == 0


def test_a_few_changes_it_works_off_at_the_next_look(hands: Hands) -> None:
    for amount in (6, 7):
        write(amount)
        hands.relay.look()
        assert_balances_follow_facts()
    assert hands.handed_over == 0


def test_many_changes_are_one_message_at_each_look_until_they_are_few(hands: Hands) -> None:
    """Each brings another process to them; what is few then is no longer worth a message."""
    write_many(2 * module.FEW)
    for looks in range(1, 4):
        assert hands.relay.look() == module.HANDED_SECONDS
        assert hands.handed_over == looks
        assert LicenseChange.objects.count() == 2 * module.FEW  # the worker's, not ours
    sql("DELETE FROM ledger_licensechange WHERE id IN (SELECT id FROM ledger_licensechange LIMIT %s)", module.FEW)
    hands.relay.look()
    assert hands.handed_over == 3
    assert_balances_follow_facts()


def test_a_late_committer_with_a_smaller_id_is_seen(hands: Hands) -> None:
    with session() as late:
        late.execute("UPDATE license_exportitem SET cif_fc = 5 WHERE license_id = 1")
        write(7, license_id=2)
        hands.relay.look()
        late.commit()
    hands.relay.look()
    assert_balances_follow_facts()


@pytest.mark.parametrize("at_a_time", [1, module.FEW + 1])
def test_what_no_worker_takes_it_does_itself_while_writes_go_on(hands: Hands, at_a_time: int) -> None:
    write_many()
    is_left = []
    for _ in range(30):
        write_many(at_a_time)
        hands.relay.look()
        is_left.append(LicenseChange.objects.exists())
        hands.now_seconds += 0.1
    assert all(is_left[:10])
    assert is_left.count(False) >= 2


def test_it_leaves_a_queue_to_workers_who_are_at_it_though_it_grows(hands: Hands) -> None:
    write_many()
    for _ in range(30):
        write_many(60)
        sql("DELETE FROM ledger_licensechange WHERE id IN (SELECT id FROM ledger_licensechange ORDER BY id LIMIT 20)")
        hands.relay.look()
        hands.now_seconds += 0.1
    assert LicenseChange.objects.count() == module.FEW + 1 + 30 * 40
    assert hands.handed_over > 0


def test_where_no_worker_takes_anything_it_asks_again_later(hands: Hands) -> None:
    write_many()
    hands.relay.look()
    hands.now_seconds += module.PATIENCE_SECONDS + 0.1
    hands.relay.look()
    assert_balances_follow_facts()
    for _ in range(3):
        write_many()
        hands.relay.look()
        assert_balances_follow_facts()
    assert hands.handed_over == 1
    hands.now_seconds += module.BROKER_PAUSE_SECONDS
    write_many()
    hands.relay.look()
    assert hands.handed_over == 2


def test_without_a_broker_it_does_everything_itself_and_asks_again_later(hands: Hands) -> None:
    hands.is_there = False
    for _ in range(3):
        write_many()
        hands.relay.look()
        assert_balances_follow_facts()
    assert hands.handed_over == 1
    hands.is_there = True
    hands.now_seconds += module.BROKER_PAUSE_SECONDS
    write_many()
    hands.relay.look()
    assert hands.handed_over == 2


def test_what_is_busy_is_tried_again_less_and_less_often_and_keeps_nobody(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "_back_off", None)  # it would keep what comes meanwhile
    write()
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 1)")
        waits = [hands.relay.look() for _ in range(6)]
        assert waits[0] == module.BUSY_SECONDS
        assert waits == sorted(waits)
        assert waits[-1] == module.QUIET_SECONDS
        write(6, license_id=2)
        hands.relay.look()
        assert LicenseBalance.objects.get(pk=2).credit_cif == 6
        assert LicenseBalance.objects.get(pk=1).credit_cif == 1000
    hands.relay.look()
    assert_balances_follow_facts()
    assert hands.handed_over == 0


def test_what_is_busy_among_many_is_tried_again_and_again_but_not_at_every_look(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "ATTEMPTS", 1)
    write_many()
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 1)")
        for _ in range(2):
            hands.relay.look()
            hands.now_seconds += module.PATIENCE_SECONDS + 0.1
            hands.relay.look()
        assert LicenseChange.objects.count() == module.FEW + 1
        assert hands.handed_over == 1  # a worker would find it as busy
        write_many(1)
        hands.relay.look()
        assert hands.handed_over == 2  # there may be a worker for all that
    hands.relay.look()
    assert LicenseChange.objects.exists()
    hands.now_seconds += module.PATIENCE_SECONDS + 0.1
    hands.relay.look()
    assert_balances_follow_facts()


def test_what_only_another_holds_is_tried_less_and_less_often(hands: Hands) -> None:
    """A worker that is long at work has claimed it; it can be seen, and cannot be had."""
    hands.relay.is_sleepy = False
    assert [hands.relay.look() for _ in range(6)][-1] == module.QUIET_SECONDS
    write()
    with session() as worker:
        worker.execute("SELECT FROM ledger_licensechange FOR UPDATE")
        waits = [hands.relay.look() for _ in range(6)]
        assert waits[0] == module.BUSY_SECONDS
        assert waits[-1] == module.QUIET_SECONDS
    hands.relay.look()
    assert_balances_follow_facts()


def test_few_changes_that_mean_many_licenses_are_worked_off_without_a_pause(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "BATCH_LICENSES", 1)
    for license_id in (1, 2, 3):
        write(5, license_id)
    assert hands.relay.look() == module.SLEEP_SECONDS
    assert_balances_follow_facts()


def test_behind_changes_that_mean_many_licenses_and_are_busy_nothing_starves(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "BATCH_LICENSES", 1)
    for license_id in (1, 2, 3, 4):
        write(5, license_id)
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 1)")
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 2)")
        hands.relay.look()
        assert set(LicenseChange.objects.values_list("license_id", flat=True)) == {1, 2}
    hands.relay.look()
    assert_balances_follow_facts()


def test_one_change_that_means_many_licenses_is_handed_over_as_many(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "BATCH_LICENSES", 2)
    monkeypatch.setattr(module.engine, "BATCH_CHANGES", 2)
    monkeypatch.setattr(module, "FEW", 1)
    with session(autocommit=True) as other:
        other.execute("INSERT INTO ledger_licensechange (source, operation) VALUES ('', 'TRUNCATE')")
    assert hands.relay.look() == 0
    assert LicenseChange.objects.count() == 5 - 2
    assert hands.relay.look() == module.HANDED_SECONDS
    assert hands.handed_over == 1


def test_a_license_that_fails_by_itself_keeps_it_from_nothing(hands: Hands) -> None:
    with failing("ledger_licensebalance", "NEW.license_id = 1", "22003"):
        write(5)
        write(6, license_id=2)
        assert hands.relay.look() == module.SLEEP_SECONDS
        assert hands.relay.look() == module.SLEEP_SECONDS
        assert Quarantine.objects.get().attempts == 1
    assert LicenseBalance.objects.get(pk=2).credit_cif == 6


def test_without_a_broker_it_tries_what_is_busy_among_many_not_at_every_look(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.engine, "ATTEMPTS", 1)
    hands.is_there = False
    write_many()
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 1)")
        hands.relay.look()
        assert [hands.relay.look() for _ in range(5)][-1] == module.QUIET_SECONDS
    hands.now_seconds += module.PATIENCE_SECONDS + 0.1
    hands.relay.look()
    hands.now_seconds += module.PATIENCE_SECONDS + 0.1
    hands.relay.look()
    assert_balances_follow_facts()


@pytest.mark.parametrize("pause_seconds", [0, module.RETRY_SECONDS])
def test_it_tries_the_quarantine_now_and_then(hands: Hands, pause_seconds: int) -> None:
    Quarantine.objects.create(license_id=2, error="x")
    hands.now_seconds += pause_seconds
    hands.relay.look()
    assert Quarantine.objects.exists() == (pause_seconds == 0)


def test_it_tries_the_quarantine_when_it_works_for_want_of_a_worker(hands: Hands) -> None:
    hands.is_there = False
    Quarantine.objects.create(license_id=2, error="x")
    write_many()
    hands.relay.look()
    assert not Quarantine.objects.exists()


def test_it_sleeps_while_nothing_happens_but_not_soon_after_many_changes(hands: Hands) -> None:
    assert hands.relay.look() == module.SLEEP_SECONDS
    write_many()
    hands.relay.look()
    drain()
    assert [hands.relay.look() for _ in range(2)] == [module.BUSY_SECONDS, 2 * module.BUSY_SECONDS]
    hands.now_seconds += module.CALM_SECONDS
    assert hands.relay.look() == module.SLEEP_SECONDS


def test_one_that_polls_never_sleeps(hands: Hands) -> None:
    hands.relay.is_sleepy = False
    assert [hands.relay.look() for _ in range(20)][-1] == module.QUIET_SECONDS
    with listener() as other:
        write()
        assert notifications(other) == 0


def test_a_writer_wakes_it_while_it_sleeps_and_spares_that_while_it_is_awake(hands: Hands) -> None:
    with listener() as other:
        write()
        assert notifications(other) == 0
        drain()
        fall_asleep(hands)
        write(6)
        write(7)
        assert notifications(other) == 2
        assert list(connection.connection.notifies(timeout=5, stop_after=1))
        write_many()
        hands.relay.look()
        write(8)
        assert notifications(other) == 0


def test_a_few_changes_that_wake_it_it_works_off_at_once_and_sleeps_again(hands: Hands) -> None:
    fall_asleep(hands)
    for amount in (6, 7):
        write(amount)
        assert hands.relay.look() == module.SLEEP_SECONDS
        assert_balances_follow_facts()
    assert hands.handed_over == 0


def test_many_changes_that_wake_it_are_handed_over(hands: Hands) -> None:
    fall_asleep(hands)
    write_many()
    assert hands.relay.look() == module.HANDED_SECONDS
    assert hands.handed_over == 1
    assert LicenseChange.objects.count() > module.FEW


def test_what_wakes_it_while_others_write_on_is_one_batch(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must look again, and hand over what is more than it can do."""
    batch, amounts = module.engine._drain_batch, itertools.count(10)

    def others_write_on(*arguments: Any) -> Any:
        result = batch(*arguments)
        write(next(amounts))
        assert next(amounts) < 20, "it goes on and on"
        return result

    monkeypatch.setattr(module.engine, "_drain_batch", others_write_on)
    monkeypatch.setattr(module.engine, "BATCH_CHANGES", 1)
    fall_asleep(hands)
    write(6)
    assert hands.relay.look() == 0
    assert next(amounts) == 12


def test_what_comes_while_it_tries_what_is_busy_waits_for_nothing(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    drain_short = module.engine.drain

    def another_writes(**how: bool) -> Any:
        outcome = drain_short(**how)
        write(6, license_id=2)
        return outcome

    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | 1)")
        assert [hands.relay.look() for _ in range(5)][-1] == module.QUIET_SECONDS
        monkeypatch.setattr(module.engine, "drain", another_writes)
        assert hands.relay.look() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO license_license (license_number, license_date) VALUES ('9', '2026-01-01')",
        "DELETE FROM license_exportitem WHERE id = 1",
        "TRUNCATE ledger_billofentryline",
        "INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)",
    ],
)
def test_every_kind_of_write_wakes_it(hands: Hands, statement: str) -> None:
    fall_asleep(hands)
    with listener() as other, session() as writer:
        writer.execute(statement)
        writer.commit()
        assert notifications(other) > 0


def test_a_write_that_changes_nothing_wakes_nobody(hands: Hands) -> None:
    fall_asleep(hands)
    with listener() as other, session() as writer:
        writer.execute("UPDATE license_exportitem SET cif_fc = cif_fc")
        writer.execute("DELETE FROM license_exportitem WHERE false")
        writer.execute("UPDATE license_exportitem SET cif_fc = 1")
        writer.rollback()
        assert notifications(other) == 0


def test_it_does_not_sleep_while_somebody_writes(hands: Hands) -> None:
    """Who wrote while it was awake does not wake it: it must see that write by itself."""
    with session() as writer:
        writer.execute("UPDATE license_exportitem SET cif_fc = 5 WHERE license_id = 1")
        assert [hands.relay.look() for _ in range(20)][-1] == module.QUIET_SECONDS
        writer.commit()
    hands.relay.look()
    assert_balances_follow_facts()


def test_a_write_between_its_last_look_and_its_sleep_is_seen(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, amounts = module.queries.column, itertools.count(10)

    def column(name: str, **parameters: object) -> list[object]:
        if name == "relay_sleeps":
            write(next(amounts))
        return columns(name, **parameters)

    for _ in range(3):
        hands.relay.look()
    monkeypatch.setattr(module.queries, "column", column)
    waits = [hands.relay.look() for _ in range(3)]
    assert module.SLEEP_SECONDS not in waits
    monkeypatch.undo()
    hands.relay.look()
    assert_balances_follow_facts()


def test_a_write_between_its_sleep_and_its_wait_ends_the_wait(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """NOTIFY may come with the answer to another statement, which keeps it for the wait."""
    columns = module.queries.column

    def column(name: str, **parameters: object) -> list[object]:
        result = columns(name, **parameters)
        if hands.relay._is_asleep:
            write()
            sql("SELECT pg_sleep(0.05)")
        return result

    monkeypatch.setattr(module.queries, "column", column)
    assert hands.relay.look() == module.SLEEP_SECONDS
    began = time.monotonic()
    module._wait(DEADLINE_SECONDS)
    assert time.monotonic() - began < DEADLINE_SECONDS / 2


def test_one_of_many_sleeps_and_the_others_look(hands: Hands) -> None:
    fall_asleep(hands)
    with session() as other:
        [[got]] = other.execute(module.queries.load("relay_sleeps")).fetchall()
        assert got is False
    write_many()
    hands.relay.look()
    with session() as other:
        [[got]] = other.execute(module.queries.load("relay_sleeps")).fetchall()
        assert got is True


def test_no_writer_waits_for_a_relay_and_who_finds_it_asleep_wakes_it_when_he_commits(hands: Hands) -> None:
    fall_asleep(hands)
    with listener() as other, session() as writer:
        writer.execute("SET lock_timeout = '1ms'")
        writer.execute("UPDATE license_exportitem SET cif_fc = 5")
        fall_asleep(hands)  # somebody else woke it, and it fell asleep again
        assert notifications(other) == 0
        writer.commit()
        assert notifications(other) == 1


def test_what_a_rolled_back_savepoint_knew_is_forgotten(hands: Hands) -> None:
    """The savepoint's write found it awake; it is asleep when the rest is written."""
    with listener() as other, session() as writer:
        writer.execute("SAVEPOINT s")
        writer.execute("UPDATE license_exportitem SET cif_fc = 5")
        writer.execute("ROLLBACK TO s")
        fall_asleep(hands)
        writer.execute("UPDATE license_license SET purchase_status = 'CO'")
        writer.commit()
        assert notifications(other) == 1


def test_a_relay_that_is_heard_of_no_more_loses_its_locks(hands: Hands) -> None:
    """Its machine is gone, and nobody tells PostgreSQL; here a minute is a third of a second."""
    fall_asleep(hands)
    name = "idle_session_timeout"
    sql(f"SELECT set_config('{name}', extract(epoch FROM current_setting('{name}')::interval) * 5 || 'ms', false)")
    with session(autocommit=True) as other:
        locks = "SELECT FROM pg_locks WHERE locktype = 'advisory'"
        wait_until(lambda: other.execute(locks).fetchall() == [], "its session is ended")
    with pytest.raises(OperationalError, match="idle-session timeout"):
        hands.relay.look()  # and `run` begins again


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_ends_when_it_is_told_to_where_python_drops_what_a_handler_raises(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    looks = []

    def look(_: Relay) -> float:
        assert not looks, "it looks again"
        looks.append(1)
        Told()  # and is gone
        return 0

    monkeypatch.setattr(Relay, "look", look)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        call_command("relay")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ── A session of its own ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("backends", [(1, 1), (1, 2, 3), (1, 2, 1, 1), (1, 2, 1, 3, 1, 2, 4)])
def test_a_session_that_others_use_too_is_refused(backends: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler in transaction mode gives it to the next who asks, or gives us another."""
    served = iter(backends)
    monkeypatch.setattr(module, "backend_of", lambda _: next(served))
    with pytest.raises(ImproperlyConfigured, match="a pooler that shares its session"):
        Hands().relay.arrive()
    assert sql("SELECT FROM pg_locks WHERE locktype = 'advisory'") == []


def test_a_session_that_was_changed_while_it_slept_is_refused(hands: Hands) -> None:
    fall_asleep(hands)
    sql("SELECT pg_advisory_unlock_all()")  # as in a session that has none of our locks
    with pytest.raises(ImproperlyConfigured, match="a pooler that shares its session"):
        hands.relay.look()
