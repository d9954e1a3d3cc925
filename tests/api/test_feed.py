"""The feed of balances: whoever follows it gets every change once, in order, whoever commits when."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from django.db import connection, transaction

from api.following import page
from ledger import feed
from ledger.engine import drain, recompute
from ledger.models import BalanceHistory
from ledger.sql import load
from license.models import License
from reconcile.retention import delete_what_is_old
from tests.api.conftest import As
from tests.conftest import one, sql
from tests.engine.sessions import Engine, make_licenses

pytestmark = pytest.mark.usefixtures("database")


def credit(license_id: int, amount: int) -> None:
    sql("UPDATE license_exportitem SET cif_fc = %s WHERE license_id = %s", amount, license_id)


def followed(after: int = 0) -> list[tuple[int, int]]:
    """Position and license of what comes after a position."""
    feed.publish()
    return [(row["position"], row["license_id"]) for row in feed.changes(after, 1_000)]


# ── Positions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_commits_late_with_a_lower_id_is_not_missed() -> None:
    make_licenses(2)
    with Engine(lambda: recompute([1]), after="write_balances") as late:
        recompute([2])
        assert followed() == [(1, 2)]
        late.finish()
    assert list(BalanceHistory.objects.order_by("id").values_list("license_id", flat=True)) == [1, 2]
    assert followed(after=1) == [(2, 1)]


def test_of_two_publishers_at_once_one_gives_positions() -> None:
    make_licenses(3)
    recompute([1, 2])
    with Engine(feed.publish, after="feed_publish") as first:
        recompute([3])
        assert feed.publish() == 0  # else 3 could be seen before 1 and 2
        assert (feed.newest(), feed.changes(0, 10)) == (0, [])
        first.finish()
    assert followed() == [(1, 1), (2, 2), (3, 3)]
    assert feed.publish() == 0
    assert feed.newest() == 3


def test_a_publisher_sees_all_that_the_one_before_has_given() -> None:
    make_licenses(2)
    recompute([1])
    with Engine(feed.publish, before="feed_publish") as second:  # it has begun, and the other is through meanwhile
        feed.publish()
        recompute([2])
        second.finish()
    assert followed() == [(1, 1), (2, 2)]


def test_positions_are_given_some_at_a_time_and_by_the_night_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 2)
    make_licenses(5)
    recompute(range(1, 6))
    assert [feed.publish(), feed.newest()] == [2, 2]
    delete_what_is_old()
    assert feed.newest() == 5
    assert one("SELECT count(*) FROM ledger_balancehistory WHERE position IS NULL") == 0


def test_a_publisher_that_dies_leaves_positions_that_nobody_misses() -> None:
    make_licenses(1)
    recompute([1])
    with Engine(feed.publish, after="feed_publish") as first:
        sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND objid = 3")
        with pytest.raises(Exception, match=r"terminat|closed"):
            first.finish()
    assert followed() == [(2, 1)]


LICENSES = range(1, 7)


def write(seed: int) -> None:
    """What an engine beside others does, in a session of its own."""
    chance = Random(seed)
    try:
        for _ in range(25):
            credit(chance.choice(LICENSES), chance.randint(1, 10**6))
            drain() if chance.random() < 0.5 else recompute(chance.sample(LICENSES, 3))
    finally:
        connection.close()


def follow(is_over: threading.Event) -> list[tuple[int, int]]:
    """All that a follower gets until the writers are through and nothing is left, in a session of its own."""
    got: list[tuple[int, int]] = []
    try:
        while True:
            was_over = is_over.is_set()
            feed.publish()
            part = page(got[-1][0] if got else 0, 7)
            got += [(item["position"], item["license_id"]) for item in part["items"]]
            if was_over and not part["items"] and one("SELECT count(*) FROM ledger_balancehistory") <= len(got):
                return got
    finally:
        connection.close()


def test_everybody_who_follows_beside_busy_engines_gets_every_row_once_and_in_order() -> None:
    make_licenses(len(LICENSES))
    is_over = threading.Event()
    with ThreadPoolExecutor() as sessions:
        followers = [sessions.submit(follow, is_over) for _ in range(2)]
        for written in [sessions.submit(write, seed) for seed in range(3)]:
            written.result(60)
        is_over.set()
        seen = [follower.result(20) for follower in followers]
    there = sql("SELECT position, license_id, id FROM ledger_balancehistory ORDER BY position")
    assert len(there) > len(LICENSES)
    assert seen == [[(position, license_id) for position, license_id, _id in there]] * 2
    for each in LICENSES:
        ids = [pk for _, license_id, pk in there if license_id == each]
        assert ids == sorted(ids)


def test_indexes_serve_it_however_long_the_history_is() -> None:
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("INSERT INTO ledger_balancehistory (license_id, changed_at, sources, position) SELECT n, now(), '{}', "
            "CASE WHEN n % 100 > 0 THEN n WHEN n % 500 > 0 THEN 0 END FROM generate_series(1, 20000) AS n")  # fmt: skip
    sql("ANALYZE ledger_balancehistory")

    def plan(statement: str, **parameters: int) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            return "\n".join(line for (line,) in cursor.fetchall())

    body = one("SELECT prosrc FROM pg_proc WHERE proname = 'ledger_feed_publish'")
    [publishes] = re.findall(r"WITH next .*?(?=;)", body, re.DOTALL)

    assert "ledger_history_position" in plan(load("feed_changes"), after=10_000, until=feed.BIGINT_MAX, at_most=101)
    assert "ledger_history_unpublished" in plan(load("feed_waits"))
    assert "ledger_history_unpublished" in plan(publishes.replace("at_most", "5000"))
    assert "ledger_history_position" in plan(load("feed_newest"))


# ── What programs get ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_program_begins_lists_and_follows(as_one_of: As) -> None:
    auditor = as_one_of("auditor")
    make_licenses(2)
    drain()
    begun = auditor.get("/changes").json()
    assert begun == {"items": [], "next": 2, "more": False}
    assert [row["license_id"] for row in auditor.get("/licenses", sort="number").json()["items"]] == [1, 2]
    assert auditor.get("/changes", after=2).json() == begun

    credit(1, 250)
    drain()
    said = auditor.get("/changes", after=2).json()
    changed = BalanceHistory.objects.get(position=3)
    [item] = said["items"]
    assert item.pop("changed_at")[:19] == f"{changed.changed_at:%Y-%m-%dT%H:%M:%S}"
    assert item == {
        "position": 3,
        "license_id": 1,
        "license_number": "1",
        "sources": ["license_exportitem"],
        "balance": {
            "credit_cif": "250.00",
            "debited_cif": "0.00",
            "allotted_cif": "0.00",
            "balance_cif": "250.00",
            "overdrawn_cif": "0.00",
            "is_null": True,
            "is_expired": False,
        },
        "previous": {"balance_cif": "1000.00", "overdrawn_cif": "0.00", "is_null": False, "is_expired": False},
    }
    assert (said["next"], said["more"]) == (3, False)


def test_a_license_that_is_new_and_one_that_is_gone(as_one_of: As) -> None:
    make_licenses(1)
    drain()
    License.objects.get().delete()
    drain()
    new, gone = as_one_of("auditor").get("/changes", after=0).json()["items"]
    assert (new["previous"], new["balance"]["balance_cif"]) == (None, "1000.00")
    assert (gone["balance"], gone["previous"]["balance_cif"]) == (None, "1000.00")
    assert [(each["license_id"], each["license_number"]) for each in (new, gone)] == [(1, None)] * 2


def test_a_part_says_whether_there_is_more(as_one_of: As) -> None:
    auditor = as_one_of("auditor")
    make_licenses(3)
    drain()
    parts = [auditor.get("/changes", after=after, limit=2).json() for after in (0, 1, 2, 3)]
    assert [[item["position"] for item in part["items"]] for part in parts] == [[1, 2], [2, 3], [3], []]
    assert [(part["next"], part["more"]) for part in parts] == [(2, True), (3, False), (3, False), (3, False)]


def test_a_position_of_other_data_is_refused(as_one_of: As) -> None:
    auditor = as_one_of("auditor")
    assert auditor.get("/changes", after=0).status_code == 200
    refused = auditor.get("/changes", after=1)
    assert (refused.status_code, refused["Content-Type"]) == (409, "application/problem+json")
    assert "list all licenses" in refused.json()["detail"]
    make_licenses(1)
    drain()
    sql("SELECT setval('ledger_balancehistory_position_seq', 1000)")  # as after a restore: 1 was lost
    assert auditor.get("/changes", after=1).status_code == 409
    assert [item["position"] for item in auditor.get("/changes", after=0).json()["items"]] == [1001]
    assert [auditor.get("/changes", after=after).status_code for after in (1, 1001, 1002)] == [409, 200, 409]
    for wrong in ({"after": -1}, {"after": "x"}, {"after": 2**63}, {"limit": 0}, {"limit": 501}):
        assert auditor.get("/changes", **wrong).status_code == 422
