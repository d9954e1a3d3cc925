"""Sheets and other writers at the same time, and sheets of many rows."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from license import sheet_import
from license.models import ImportItem, License
from license.sheet_import import import_sheet
from tests.conftest import sql
from tests.items.conftest import FIRST, SECOND, Write, run, state

HEADING = "license_number,serial_number,description,hs_code,item_names,norm\n"


def in_threads(*actions: Callable[[], object]) -> list[BaseException]:
    """Run them all at once. What they raised."""
    errors: list[BaseException] = []

    def guarded(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 (told to the test)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.usefixtures("licenses")
def test_the_same_licenses_in_opposite_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{number},{n}" for number, items in ((FIRST, 3), (SECOND, 2)) for n in range(1, items + 1)]
    files = []
    for n, order in enumerate((rows, rows[::-1])):
        files.append(tmp_path / f"{n}.csv")
        files[n].write_text(HEADING + "".join(f"{row},from {n},15{n}1,Palm Oil,E{n}\n" for row in order))

    monkeypatch.setattr(sheet_import, "ATTEMPTS", 1)  # nothing to start again: there is no deadlock

    def load(path: Path) -> Callable[[], object]:
        return lambda: [import_sheet(path) for _ in range(15)]

    assert in_threads(*map(load, files)) == []
    assert len({row[2] for row in state()["items"]}) == 1  # one of them whole


@pytest.mark.usefixtures("licenses")
def test_a_deadlock_with_somebody_else_starts_again(csv_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    sql("CREATE SEQUENCE tries")
    sql("""
        CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF nextval('tries') < 3 THEN RAISE EXCEPTION 'met' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$
    """)
    sql("CREATE TRIGGER fail_once BEFORE UPDATE ON license_importitem EXECUTE FUNCTION fail_once()")
    try:
        run("import_items", csv_file(HEADING + f"{FIRST},1,Palm oil,,,\n"))
    finally:
        sql("DROP FUNCTION fail_once CASCADE")
        sql("DROP SEQUENCE tries")
    assert state()["items"][0][2] == "Palm oil"


@pytest.mark.usefixtures("licenses")
def test_what_somebody_keeps_locked_is_not_waited_for_for_ever(
    csv_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_import, "LOCK_TIMEOUT_SECONDS", 0.2)
    path = csv_file(HEADING + f"{FIRST},1,Palm oil,,,\n")
    with transaction.atomic():
        ImportItem.objects.filter(serial_number=1).update(unit="KGS")
        began = time.monotonic()
        [error] = in_threads(lambda: run("import_items", path))
        assert time.monotonic() - began < 10
    assert isinstance(error, CommandError)
    assert "somebody has kept these licenses or names locked" in str(error)


@pytest.mark.usefixtures("licenses")
def test_what_somebody_writes_at_the_same_time_is_not_written_back(csv_file: Write) -> None:
    path = csv_file(HEADING + f"{FIRST},1,Palm oil,,,\n")
    thread = threading.Thread(target=lambda: in_threads(lambda: run("import_items", path)))
    with transaction.atomic():
        ImportItem.objects.filter(serial_number=1).update(unit="KGS")
        thread.start()
        wait_for_a_waiter()
    thread.join()
    assert state()["items"][0] == (FIRST, 1, "Palm oil", "", "KGS", None, None)


def wait_for_a_waiter() -> None:
    """Until somebody waits for a lock."""
    deadline = time.monotonic() + 20
    while sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("licenses")
def test_licenses_are_locked_in_one_order(csv_file: Write) -> None:
    path = csv_file(HEADING + f"{SECOND},1,Palm oil,,,\n{FIRST},1,Palm oil,,,\n")
    thread = threading.Thread(target=lambda: in_threads(lambda: run("import_items", path)))
    with transaction.atomic():
        License.objects.filter(license_number=FIRST).update(file_number="x")
        thread.start()
        wait_for_a_waiter()
        # it waits for the first, and does not hold the second
        assert License.objects.select_for_update(nowait=True).get(license_number=SECOND)
    thread.join()
    assert state()["items"][0][2] == "Palm oil"


@pytest.mark.usefixtures("licenses")
def test_a_failure_in_the_middle_leaves_nothing(csv_file: Write) -> None:
    before = state()
    sql("ALTER TABLE license_exportitem ADD CONSTRAINT refused CHECK (norm_id IS NULL) NOT VALID")
    try:
        with pytest.raises(Exception, match="refused"):
            run("import_items", csv_file(HEADING + f"{FIRST},1,Palm oil,1511,Palm Oil,E9\n"))
    finally:
        sql("ALTER TABLE license_exportitem DROP CONSTRAINT refused")
    assert state() == before


@pytest.mark.usefixtures("licenses")
@pytest.mark.parametrize("rows", [20, 2_000])
def test_statements_do_not_grow_with_rows(csv_file: Write, rows: int) -> None:
    license = License.objects.get(license_number=FIRST)
    ImportItem.objects.bulk_create(
        ImportItem(license=license, serial_number=n, quantity=Decimal(1)) for n in range(4, rows + 1)
    )
    text = "".join(f"{FIRST},{n},item {n},{1000 + n % 50 * 10},Palm Oil,E5\n" for n in range(1, rows + 1))
    with CaptureQueriesContext(connection) as queries:
        run("import_items", csv_file(HEADING + text))
    assert len(queries) < 20
    assert sql("SELECT count(*) FROM license_importitem WHERE description <> '' AND hs_code_id IS NOT NULL") == [
        (rows,)
    ]
