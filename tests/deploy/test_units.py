"""The systemd units: understood by systemd, confined, alike, and complete."""

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from processes import STOP_SECONDS
from tests.deploy.conftest import program
from tests.deploy.units import UNITS, directives, placed, text_of

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
EXPOSURE = 13
"""At most 1.3 of 10, as `systemd-analyze security` counts: it calls what is below 2 OK. Ours have 1.2."""


def test_systemd_understands_them(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(text_of(path.name))
    verify = [program("systemd-analyze", "systemd"), "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # a key that it does not know is a line, and no failure
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line]


@pytest.mark.parametrize("unit", SERVICES)
def test_little_is_exposed(unit: str) -> None:
    analyze = [program("systemd-analyze", "systemd"), "security", "--no-pager", "--offline=true"]
    done = subprocess.run([*analyze, f"--threshold={EXPOSURE}", str(UNITS / unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


def test_they_are_confined_alike() -> None:
    confined = {text_of(unit).partition("\n# What it may not do")[2].partition("[Install]")[0] for unit in SERVICES}
    assert len(confined) == 1
    assert "NoNewPrivileges=yes" in confined.pop()


@pytest.mark.parametrize("unit", SERVICES)
def test_each_comes_back_and_ends_in_peace(unit: str) -> None:
    says = directives(unit)
    assert says["Restart"] == ["always"]
    assert says["StartLimitIntervalSec"] == ["0"]
    assert set(says) >= {"MemoryMax", "TasksMax"}
    if "worker" in says["ExecStart"][0] or "gunicorn" in says["ExecStart"][0]:
        assert says["KillMode"] == ["mixed"]
        assert says["TimeoutStopSec"] == [str(STOP_SECONDS)]


@pytest.mark.parametrize("unit", SERVICES)
def test_none_holds_a_secret(unit: str) -> None:
    says = directives(unit)
    role = says["User"][0].removeprefix("license_")
    assert says["EnvironmentFile"] == ["/etc/license-manager.env", f"-/etc/license-manager.{role}.env"]
    assert {value.strip('"').partition("=")[0] for value in says["Environment"]} <= {"PATH", "PGAPPNAME"}
    assert role == ("web" if "gunicorn" in says["ExecStart"][0] else "worker")


def test_the_target_wants_all_of_them() -> None:
    [wanted] = directives("license.target")["Wants"]
    assert sorted(wanted.split()) == SERVICES
    for unit in SERVICES:
        assert directives(unit)["PartOf"] == ["license.target"]


def test_each_queue_has_a_worker_and_the_night_one_of_its_own(tmp_path: Path) -> None:
    queues = {
        unit: set(re.findall(r"--queues=(\S+)", " ".join(placed(unit, tmp_path)))[0].split(","))
        for unit in ("celery-worker.service", "celery-night.service")
    }
    assert queues["celery-night.service"] == {"reconcile"}
    assert queues["celery-worker.service"] == {queue.name for queue in settings.CELERY_TASK_QUEUES} - {"reconcile"}
    assert directives("celery-worker.service")["Wants"] == ["celery-night.service"]
