"""Servers and disks that fail, as docs/drills.md says."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from django_setup import CHECKOUT
from embedded.binaries import find_postgres_bindir
from ledger.models import LicenseBalance
from license.models import ExportItem, License
from processes import running
from tests.acceptance.conftest import until
from tests.conftest import assert_balances_follow_facts, sql
from tests.deploy.operators import DRILLS, Operator, commands
from tests.faults.storm import AMONG_WRITERS

FULL = Path("/dev/full")


@pytest.fixture
def operator() -> Operator:
    return Operator(find_postgres_bindir())


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("heading", ["Redis is lost, and another takes its place", "Redis is full"])
def test_nothing_is_lost_with_redis(heading: str, operator: Operator) -> None:
    [drill] = commands(heading)
    said = operator.types(drill)
    [errors] = re.findall(r"^errors that writers got: \d+\n((?: .*\n)*)", said, re.MULTILINE)
    assert [error for error in errors.splitlines() if not error.endswith(AMONG_WRITERS)] == [], said
    assert "all is right" in said, said


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_full_disk_of_postgres_is_told_and_gone_on_from(operator: Operator) -> None:
    tried = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        pytest.skip(f"no small disk can be made here: {tried.stderr.strip()}")
    [drill] = commands("The disk of PostgreSQL is full")
    said = operator.types(drill)
    assert re.search(r"[1-9]\d*  (DiskFull|OperationalError) 53100: No space left on device$", said, re.MULTILINE), said
    assert "recomputes that ended in quarantine: 0" in said
    assert "all is right" in said, said


@pytest.mark.long
@pytest.mark.usefixtures("database")
@pytest.mark.skipif(not FULL.exists(), reason="there is no device here that is always full")
def test_with_a_full_disk_of_logs_everything_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OWED_NIGHT_SECONDS", "1")
    worker = [sys.executable, "-m", "celery", "-A", "lmanagement", "worker", "--beat", "--loglevel=info"]
    with (
        running([*worker, "--concurrency=1", f"--logfile={FULL}"], tmp_path / "celery.log") as of_celery,
        running([sys.executable, "manage.py", "relay"], FULL) as of_relay,
    ):
        until(lambda: bool(sql("SELECT 1 FROM reconcile_reconciliationrun")), "a night by worker and beat")
        license = License.objects.create(license_number="0310000001", license_date="2026-01-01")
        ExportItem.objects.bulk_create([ExportItem(license=license, cif_fc=1000)])
        until(lambda: LicenseBalance.objects.filter(balance_cif=1000).exists(), "the balance")
        assert (of_celery.poll(), of_relay.poll()) == (None, None)
    assert_balances_follow_facts()


def test_what_is_restarted_is_all_that_reads_the_address() -> None:
    [restart] = re.findall(r"systemctl restart (.*)", DRILLS.read_text(encoding="utf-8"))
    units = [unit.stem for unit in (CHECKOUT / "deploy/systemd").glob("*.service")]
    assert units
    assert [unit for unit in units if not any(fnmatch(unit, name) for name in re.findall(r"'(.+?)'", restart))] == []
