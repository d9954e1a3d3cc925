"""docs/moving.md, word for word: from a database of the nightly batch, with numbers that are wrong, to ours."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from django_setup import BACKEND, CHECKOUT
from embedded.binaries import find_postgres_bindir
from tests.conftest import sql
from tests.roles import make_roles, url_of

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.long]

STEPS = re.findall(r"```sh\n(.*?)```", (CHECKOUT / "docs/moving.md").read_text(), re.DOTALL)
OLD_FACTS = """
    INSERT INTO license_company (id, iec, name) VALUES (7, '0000000001', 'Surat Foods');
    INSERT INTO license_license
        (id, license_number, license_date, license_expiry_date, exporter_id, balance_cif, is_null, is_expired)
        VALUES (3, '0310000001', '2026-01-01', '2040-01-01', 7, 600, false, false),
            (5, '0310000002', '2026-01-01', '2026-03-31', 7, 300, true, false); -- a midnight that was missed
    INSERT INTO license_exportitem (license_id, cif_fc) VALUES (3, 1000), (5, 300);
    INSERT INTO license_importitem
        (id, license_id, serial_number, quantity, cif_fc, available_quantity, available_value)
        VALUES (11, 3, 1, 100, 700, 100, 700), -- a bulk write that no signal saw
            (12, 3, 2, 50, 0.1, 49, 600), (13, 5, 1, 10, 300, 10, 300);
    INSERT INTO ledger_billofentry (id, number) VALUES (9, '4711');
    INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc) VALUES (9, 11, 10, 400);
    INSERT INTO ledger_allotment (id, company_id) VALUES (4, 7);
    INSERT INTO ledger_allotmentline (allotment_id, import_item_id, quantity, cif_fc) VALUES (4, 12, 1, 0);
    SELECT setval('license_license_id_seq', 5);
"""


@pytest.fixture
def databases() -> Iterator[dict[str, str]]:
    """An old one, which has no trigger that tells of a write, and a new one, empty and migrated."""
    for name in ("moving_old", "moving_new"):
        sql(f"CREATE DATABASE {name}")
        make_roles(name)
        owner = {**os.environ, "DATABASE_URL": url_of("license_owner", name)}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=BACKEND, env=owner, check=True)
        make_roles(name)
    try:
        yield {"OLD": url_of("license_owner", "moving_old"), "NEW": url_of("license_owner", "moving_new")}
    finally:
        for name in ("moving_old", "moving_new"):
            sql(f"DROP DATABASE {name} WITH (FORCE)")


def step(number: int, databases: dict[str, str], folder: Path) -> tuple[int, str]:
    """Do a step of the guide, as it stands there: its exit status, and what it said."""
    bindir, python = find_postgres_bindir(), Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", STEPS[number - 1].replace("manage.py", f"'{BACKEND}/manage.py'")],
        cwd=folder,
        env={
            **os.environ,
            **databases,
            "PATH": f"{bindir}:{python}:{os.environ['PATH']}",
            "DATABASE_URL": url_of("license_worker", "moving_new"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def test_the_guide(databases: dict[str, str], tmp_path: Path) -> None:
    assert len(STEPS) == 5
    with psycopg.connect(databases["OLD"], autocommit=True) as old:
        old.execute(re.sub(r"^psql.*\n|^SQL\n", "", STEPS[0], flags=re.MULTILINE))
        for trigger, table in old.execute(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE tgname ~ '^pgtrigger_'"
        ).fetchall():
            old.execute(f"DROP TRIGGER {trigger} ON {table}")
        old.execute(OLD_FACTS)

    assert step(1, databases, tmp_path)[0] == 0
    assert step(2, databases, tmp_path) == (0, "")

    status, said = step(3, databases, tmp_path)
    assert (status, said.splitlines()[0]) == (1, "2 licenses, 12 stored numbers and flags, 3 of them differ.")
    assert said.endswith("Nothing was changed.\n")
    rows = csv.DictReader((tmp_path / "differences.csv").read_text().splitlines())
    assert [tuple(row.values()) for row in rows] == [
        ("0310000001", "1", "available_quantity", "100.000", "90.000", "license_importitem"),
        ("0310000001", "1", "available_value", "700.00", "300.00", "license_importitem"),
        ("0310000002", "", "is_expired", "false", "true", "license_license"),
    ]

    status, said = step(4, databases, tmp_path)
    assert (status, said.splitlines()[-1]) == (1, "2 licenses were written, 2 proved: all are right.")

    assert step(5, databases, tmp_path)[0] == 0
    with psycopg.connect(url_of("license_worker", "moving_new"), autocommit=True) as new:
        assert new.execute("SELECT license_id, balance_cif FROM ledger_licensebalance ORDER BY 1").fetchall() == [
            (3, 600), (5, 300)
        ]  # fmt: skip
        # what is entered from now on gets ids of its own, and is followed
        new.execute("INSERT INTO license_license (license_number, license_date) VALUES ('0310000003', '2026-04-01')")
        [[added]] = new.execute("SELECT max(id) FROM license_license")
        assert added == 6
        assert new.execute("SELECT license_id FROM ledger_licensechange").fetchall() == [(added,)]
    assert step(4, databases, tmp_path)[0] == 0


def test_facts_that_ours_refuse_leave_nothing_behind(databases: dict[str, str], tmp_path: Path) -> None:
    with psycopg.connect(databases["OLD"], autocommit=True) as old:
        old.execute("ALTER TABLE license_exportitem DROP CONSTRAINT license_exportitem_cif_fc_within")
        old.execute("INSERT INTO license_license (id, license_number, license_date) VALUES (1, 'X', '2026-01-01')")
        old.execute("INSERT INTO license_exportitem (license_id, cif_fc) VALUES (1, -5)")
    status, said = step(2, databases, tmp_path)
    assert status != 0
    assert "license_exportitem" in said
    assert "-5.00" in said
    with psycopg.connect(databases["NEW"]) as new:
        assert new.execute("SELECT count(*) FROM license_license").fetchone() == (0,)
