"""Midnights as they pass: PostgreSQL and every process of ours live through them, by one clock that is moved.

Midnight in India is at 18:30:00 UTC. A license is good on its last day, and expired when that is over.
"""

import json
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.night.conftest import World, until, utc

RUNS = """
    SELECT business_date, trigger, status, licenses_checked, licenses_drifted, licenses_expired
    FROM reconcile_reconciliationrun ORDER BY id
"""
FOUND = """
    SELECT run.business_date, license_number, field, stored, expected, cause, repaired
    FROM reconcile_drift JOIN reconcile_reconciliationrun AS run ON run.id = run_id ORDER BY run_id, license_number
"""

WAITS_FOR_A_BALANCE = """
    SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stored balances%'
"""

# the last day of a license, and the day after
LAST_DAYS = [
    (date(2026, 11, 18), date(2026, 11, 19)),
    (date(2026, 11, 30), date(2026, 12, 1)),
    (date(2026, 12, 31), date(2027, 1, 1)),
    (date(2027, 3, 31), date(2027, 4, 1)),
    (date(2028, 2, 28), date(2028, 2, 29)),
    (date(2028, 2, 29), date(2028, 3, 1)),
]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_same_worker_and_beat_live_through_midnights(world: World, tmp_path: Path) -> None:
    """At each, beat begins one night, of the new date, and it turns the flag of the license whose last day is over.
    Days between are days on which the machine was off: of the nights owed, the last one alone is made up."""
    world.clock.put(utc(LAST_DAYS[0][0], "06:00"))
    for last_day, _ in LAST_DAYS:
        world.add_license(f"{last_day:%Y%m%d}", last_day)
    world.add_license("without", None)
    world.manage("drain_changes")
    runs, found, expired = [], [], []
    with world.worker_and_beat(tmp_path, SWEEP_SECONDS="0.5"):
        until(lambda: "sweep[" in (tmp_path / "worker.log").read_text(), "worker and beat are at work")
        for last_day, next_day in LAST_DAYS:
            # the day goes by; the night that began it is owed, unless it has been
            world.clock.put(utc(last_day, "18:20"))
            if last_day not in [run[0] for run in runs]:
                runs.append((last_day, "night", "complete", len(LAST_DAYS) + 1, 0, 0))
            until(lambda: world.sql(RUNS) == runs, f"the night of {last_day}")
            assert world.expired() == expired

            world.clock.put(utc(last_day, "18:29:58"))
            number = f"{last_day:%Y%m%d}"
            runs.append((next_day, "night", "complete", len(LAST_DAYS) + 1, 0, 1))
            found.append((next_day, number, "is_expired", "false", "true", "expiry", True))
            expired.append(number)
            until(partial(is_over, world, last_day), f"the night of {next_day}")
            assert (world.sql(RUNS), world.sql(FOUND), world.expired()) == (runs, found, expired)
    assert drift(world) == []


def drift(world: World, status: int = 0) -> list[tuple[str, str, str]]:
    """What `audit_drift` reports, with this exit status: license, field, cause."""
    report = json.loads(world.manage("audit_drift", "--format=json", status=status))
    return [(row["license_number"], row["field"], row["cause"]) for row in report["drift"]]


def is_over(world: World, last_day: date) -> bool:
    """Whether the first night after this day is over. Until the day is over, its license must not be expired."""
    [[is_expired, today, is_run_over]] = world.sql(
        "SELECT is_expired, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date, "
        "EXISTS (SELECT FROM reconcile_reconciliationrun WHERE business_date > %s AND status <> 'running') "
        "FROM ledger_licensebalance JOIN license_license AS license ON license.id = license_id "
        "WHERE license_expiry_date = %s",
        last_day,
        last_day,
    )
    assert not (is_expired and today <= last_day)
    return is_run_over


@pytest.mark.long
@pytest.mark.parametrize(
    ("timezone", "last_day"),
    [
        ("UTC", date(2026, 12, 31)),
        ("America/New_York", date(2027, 3, 14)),  # there, clocks are put forward that day
        ("Pacific/Auckland", date(2027, 4, 3)),  # and here back, the night after
    ],
)
def test_the_flag_turns_between_two_seconds(world: World, timezone: str, last_day: date) -> None:
    """A recompute in the last second of the last day leaves the flag down, one in the next second raises it, whatever
    timezone PostgreSQL, its database and the process are set to; the night that begins in that second is the new one.
    """
    next_day = last_day + timedelta(days=1)
    world.sql(f"ALTER DATABASE license_manager SET timezone TO '{timezone}'")
    try:
        world.clock.stop(utc(last_day, "18:29:59"))
        ids = [world.add_license(number, last_day) for number in ("touched", "untouched")]
        world.manage("drain_changes", TZ=timezone)
        assert computed_on(world) == {"touched": (False, last_day), "untouched": (False, last_day)}

        world.clock.stop(utc(last_day, "18:30:00"))
        world.sql("UPDATE license_exportitem SET cif_fc = 2000 WHERE license_id = %s", ids[0])
        world.manage("drain_changes", TZ=timezone)
        assert computed_on(world) == {"touched": (True, next_day), "untouched": (False, last_day)}
        world.manage("sync_licenses", TZ=timezone)
        assert computed_on(world) == {"touched": (True, next_day), "untouched": (True, next_day)}
    finally:
        world.sql("ALTER DATABASE license_manager RESET timezone")
    assert world.sql(RUNS) == [(next_day, "night", "complete", 2, 0, 1)]
    assert world.sql(FOUND) == [(next_day, "untouched", "is_expired", "false", "true", "expiry", True)]


def computed_on(world: World) -> dict[str, tuple[bool, date]]:
    """Of each license the stored flag, and the date in India on which it was computed."""
    rows = world.sql(
        "SELECT license_number, is_expired, (computed_at AT TIME ZONE 'Asia/Kolkata')::date "
        "FROM ledger_licensebalance JOIN license_license AS license ON license.id = license_id"
    )
    return {number: (is_expired, day) for number, is_expired, day in rows}


@pytest.mark.long
def test_a_database_whose_clock_is_behind_does_not_lose_the_night(world: World) -> None:
    """Flags turn at PostgreSQL's midnight. A night that began before that, by the clock of whoever begins it, would
    turn none, and would have been."""
    last_day = date(2027, 4, 30)
    next_day = last_day + timedelta(days=1)
    world.clock.put(utc(last_day, "12:00"))
    world.add_license("1", last_day)
    world.manage("drain_changes")
    world.manage("sync_licenses", "--scheduled")
    ours = utc(last_day, "18:30:00")
    world.clock.put(ours, servers_lag=timedelta(minutes=5))
    world.manage("sync_licenses", "--scheduled")
    assert world.expired() == []
    world.clock.put(ours + timedelta(minutes=5), servers_lag=timedelta(minutes=5))
    world.manage("sync_licenses", "--scheduled")
    assert world.expired() == ["1"]
    assert [(run[0], run[5]) for run in world.sql(RUNS)] == [(last_day, 0), (next_day, 1)]


@pytest.mark.long
def test_a_night_that_nobody_ran_is_reported_a_day_later_and_made_up_once(world: World, tmp_path: Path) -> None:
    last_day = date(2027, 5, 31)
    world.clock.put(utc(last_day, "12:00"))
    world.add_license("1", last_day)
    world.add_license("2", last_day + timedelta(days=30))
    world.manage("drain_changes")

    world.clock.put(utc(last_day, "18:30:01"))
    assert drift(world) == []
    assert "1 licenses expired at the last midnight" in world.manage("audit_drift")

    today = last_day + timedelta(days=2)
    world.clock.put(utc(today, "05:00"))
    assert drift(world, status=1) == [("1", "is_expired", "missed expiry")]
    assert world.expired() == []

    with world.worker_and_beat(tmp_path, OWED_NIGHT_SECONDS="0.5"):
        until(lambda: world.sql(RUNS) == [(today, "night", "complete", 2, 1, 1)], "the night of today alone")
        # that has been: asked again and again, nobody begins another
        asked = "reconcile.tasks.check_night[", " succeeded"
        log = tmp_path / "worker.log"
        until(
            lambda: sum(all(word in line for word in asked) for line in log.read_text().splitlines()) > 3,
            "it was asked for more often than it was owed",
        )
    assert world.sql(RUNS) == [(today, "night", "complete", 2, 1, 1)]
    assert world.sql(FOUND) == [(today, "1", "is_expired", "false", "true", "missed expiry", True)]
    assert world.expired() == ["1"]
    assert drift(world) == []


# A run whose first license is done and whose others wait for a line from us
HELD_RUN = """
import django; django.setup()
from reconcile import night
from reconcile.models import RunTrigger
run = night.start(RunTrigger.NIGHT, batch_size=1)
night.take_chunk(run)
print("held", flush=True)
input()
night.work(run)
"""


@pytest.mark.long
def test_a_run_that_midnight_overtakes_stores_what_is_true_at_each_moment(world: World) -> None:
    """It is the night of the day on which it began; what it computes after midnight is computed for the new day, and
    what it did not look at any more is left to the night that is still to come."""
    last_day = date(2027, 6, 30)
    next_day = last_day + timedelta(days=1)
    world.clock.stop(utc(last_day, "18:29:59"))
    for number in ("1", "2"):
        world.add_license(number, last_day)
    world.add_license("3", next_day)
    world.manage("drain_changes")
    with world.python("-c", HELD_RUN) as run:
        try:
            assert run.stdout
            assert run.stdout.readline() == "held\n"
            world.clock.put(utc(last_day, "18:30:00"))
            rest, _ = run.communicate("go on\n", timeout=60)
        finally:
            run.kill()
        assert (run.returncode, rest) == (0, "")
    assert world.sql(RUNS) == [(last_day, "night", "complete", 3, 0, 1)]
    assert world.sql(FOUND) == [(last_day, "2", "is_expired", "false", "true", "expiry", True)]
    assert world.expired() == ["2"]
    assert drift(world) == []

    world.manage("sync_licenses")
    assert world.sql(RUNS)[1:] == [(next_day, "night", "complete", 3, 0, 1)]
    assert world.expired() == ["1", "2"]
    assert drift(world) == []


@pytest.mark.long
def test_a_statement_that_midnight_overtakes_stores_what_was_true_when_it_began(world: World) -> None:
    """Flag and time of computing are of one moment, so nobody takes the flag for wrong: the next night turns it."""
    last_day = date(2027, 7, 31)
    world.clock.put(utc(last_day, "18:00"))
    license_id = world.add_license("1", last_day)
    world.manage("drain_changes")
    world.sql("UPDATE license_exportitem SET cif_fc = 2000 WHERE license_id = %s", license_id)
    with psycopg.connect(world.environment["DATABASE_URL"]) as holder:
        holder.execute("SELECT FROM ledger_licensebalance FOR UPDATE")
        with world.python("manage.py", "drain_changes") as engine:
            try:
                until(lambda: world.sql(WAITS_FOR_A_BALANCE) != [], "it waits for the lock")
                world.clock.put(utc(last_day, "18:30:01"))
                holder.rollback()
                output, _ = engine.communicate(timeout=60)
            finally:
                engine.kill()
        assert engine.returncode == 0, output
    [(is_expired, day)] = computed_on(world).values()
    assert is_expired == (day > last_day)  # it waits for a second only, and may have begun anew
    assert world.sql("SELECT balance_cif::int FROM ledger_licensebalance") == [(2000,)]
    assert drift(world) == []
    world.manage("sync_licenses")
    assert world.expired() == ["1"]
