"""The counters: they grow by what was done, by nothing twice, and never shrink."""

from collections.abc import Callable

import pytest

from ledger import tally
from ledger.engine import drain, recompute
from ledger.history import prune
from ledger.models import BalanceHistory, Failure, Quarantine, Tally
from ledger.tasks import add_up as task
from tests.conftest import one, sql
from tests.engine.sessions import failing, make_licenses, session
from tests.monitor.conftest import Scrape

pytestmark = pytest.mark.usefixtures("database")

Count = Callable[[], tuple[float, ...]]
COUNTERS = (
    'lbe_recomputes_total{because="change"}',
    'lbe_recomputes_total{because="retry"}',
    'lbe_recomputes_total{because="night"}',
    "lbe_recompute_failures_total",
    "lbe_balance_latency_seconds_count",
)


@pytest.fixture
def counted(scrape: Scrape) -> Count:
    """The counters, before and after which everything is added up."""

    def count() -> tuple[float, ...]:
        before = scrape()
        task()
        after = scrape()
        assert [before[name] for name in COUNTERS] == [after[name] for name in COUNTERS]
        assert before["lbe_balance_latency_seconds_sum"] == after["lbe_balance_latency_seconds_sum"]
        assert after["lbe_beat_age_seconds"] < 60
        return tuple(after[name] for name in COUNTERS)

    return count


def test_what_is_done_is_counted_once(counted: Count) -> None:
    assert counted() == (0, 0, 0, 0, 0)
    make_licenses(3)
    drain()
    assert counted() == (3, 0, 0, 0, 3)
    sql("UPDATE license_exportitem SET cif_fc = 5 WHERE license_id = 1")
    drain()
    assert counted() == (4, 0, 0, 0, 4)
    sql("SET session_replication_role = replica")
    sql("UPDATE license_exportitem SET cif_fc = 6 WHERE license_id = 2")
    sql("RESET session_replication_role")
    sql("DELETE FROM ledger_licensechange")  # nobody tells of it
    recompute([2])
    assert counted() == (4, 0, 1, 0, 4)


def test_failures_and_what_comes_right_after_them(counted: Count) -> None:
    make_licenses(2)
    with failing("ledger_licensebalance", "NEW.license_id = 1", "22003"):
        drain()
        assert counted() == (1, 0, 0, 1, 1)
        recompute([1])
        assert counted() == (1, 0, 0, 2, 1)
    recompute([1])
    assert not Quarantine.objects.exists()
    assert counted() == (1, 1, 0, 2, 1)
    assert not Failure.objects.exists()


def test_history_that_is_deleted_stays_counted(counted: Count) -> None:
    make_licenses(1)
    drain()
    sql("UPDATE license_exportitem SET cif_fc = 5")
    drain()
    assert counted() == (2, 0, 0, 0, 2)
    assert prune(one("SELECT clock_timestamp()")) == 1
    assert counted() == (2, 0, 0, 0, 2)


def test_who_commits_late_is_counted_when_he_does(counted: Count) -> None:
    """His row has a lower id than what is counted by then."""
    make_licenses(1)
    history = (
        "INSERT INTO ledger_balancehistory (license_id, changed_at, sources, first_change_at) "
        "VALUES (1, now(), '{x}', now())"
    )
    with session() as late:
        late.execute("SET ledger.engine = 'on'")
        late.execute(history)
        drain()
        assert counted() == (1, 0, 0, 0, 1)
        late.commit()
    assert one("SELECT min(id) FROM ledger_balancehistory") == BalanceHistory.objects.get(position=None).pk
    assert counted() == (2, 0, 0, 0, 2)


def test_two_who_add_up_do_not_wait_for_each_other_and_nothing_is_counted_twice(counted: Count) -> None:
    make_licenses(2)
    drain()
    with session() as other:
        other.execute("SELECT pg_advisory_xact_lock((x'4C63'::bigint << 48) | 4)")
        tally.add_up()
        assert not Tally.objects.exists()
    assert counted() == (2, 0, 0, 0, 2)


def test_latency_falls_into_its_bucket(scrape: Scrape) -> None:
    """To the microsecond: a bound belongs to its bucket. A clock that was set back is no latency below nothing."""
    sql("SET ledger.engine = 'on'")
    for latency in ("10 ms", "10.001 ms", "1 s", "300 s", "301 s", "-5 s"):
        sql(
            "INSERT INTO ledger_balancehistory (license_id, changed_at, sources, first_change_at) "
            f"VALUES (1, '2026-01-01 00:00', '{{x}}', '2026-01-01 00:00'::timestamptz - interval '{latency}')"
        )
    sql("RESET ledger.engine")
    said = scrape()
    buckets = {
        bound: said[f'lbe_balance_latency_seconds_bucket{{le="{bound}"}}']
        for bound in ("0.01", "0.025", "0.5", "1.0", "60.0")
    }
    assert buckets == {"0.01": 2, "0.025": 3, "0.5": 3, "1.0": 4, "60.0": 4}
    assert said['lbe_balance_latency_seconds_bucket{le="300.0"}'] == 5
    assert said['lbe_balance_latency_seconds_bucket{le="+Inf"}'] == said["lbe_balance_latency_seconds_count"] == 6
    assert said["lbe_balance_latency_seconds_sum"] == pytest.approx(602.020001)


def test_what_was_there_before_the_feed_is_not_counted(scrape: Scrape) -> None:
    make_licenses(2)
    drain()
    with session() as migration:
        migration.execute("SET session_replication_role = replica")
        migration.execute("UPDATE ledger_balancehistory SET position = 0 WHERE license_id = 1")
        migration.commit()
    assert scrape()[COUNTERS[0]] == 1
