"""The systemd units: understood by systemd, confined, alike, and complete."""

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from django_setup import CHECKOUT
from processes import STOP_SECONDS
from tests.deploy.conftest import program
from tests.deploy.units import BACKUP, BIN, DAEMONS, UNITS, directives, placed, text_of

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
EXPOSURE = 13
"""At most 1.3 of 10, as `systemd-analyze security` counts: it calls what is below 2 OK. Ours have 1.2."""
YES = {
    "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateIPC", "RemoveIPC", "PrivateUsers",
    "ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
    "ProtectKernelTunables", "LockPersonality", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime",
    "RestrictSUIDSGID",
}  # fmt: skip
CONFINED = {name: ["yes"] for name in YES} | {
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "ProtectSystem": ["strict"],
    "UMask": ["0077"],
    "DevicePolicy": ["closed"],
    "KeyringMode": ["private"],
    "ProtectProc": ["invisible"],
    "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "SystemCallErrorNumber": ["EPERM"],
}
"""Of some of these `security` counts so little that it would not see them gone."""


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
    confined = {
        text_of(unit).partition("\n# What it may not do")[2].partition("[Install]")[0].strip() for unit in SERVICES
    }
    assert len(confined) == 1
    assert confined != {""}
    for unit in SERVICES:
        assert directives(unit).items() >= CONFINED.items()


@pytest.mark.parametrize("unit", DAEMONS)
def test_each_comes_back_and_ends_in_peace(unit: str) -> None:
    says = directives(unit)
    assert says["Restart"] == ["always"]
    assert says["RestartSec"] == ["5"]  # docs/install.md says so
    assert says["StartLimitIntervalSec"] == ["0"]
    if "worker" in says["ExecStart"][0] or "gunicorn" in says["ExecStart"][0]:
        assert says["KillMode"] == ["mixed"]
        assert says["TimeoutStopSec"] == [str(STOP_SECONDS)]


@pytest.mark.parametrize("unit", SERVICES)
def test_one_process_that_wants_too_much_is_ended_alone_and_each_has_enough(unit: str) -> None:
    says = directives(unit)
    [memory], [tasks] = says["MemoryMax"], says["TasksMax"]
    number, unit_of_it = int(memory[:-1]), memory[-1]
    assert number * {"M": 1, "G": 1024}[unit_of_it] >= 256
    assert int(tasks) >= 64
    assert says["OOMPolicy"] == ["continue"]


@pytest.mark.parametrize("unit", DAEMONS)
def test_it_has_begun_when_its_program_says_so_or_is_there(unit: str) -> None:
    """Of all of them only gunicorn tells systemd; on SIGHUP it takes new workers before the old ones go."""
    says = directives(unit)
    is_gunicorn = "gunicorn" in says["ExecStart"][0]
    assert says["Type"] == ["notify" if is_gunicorn else "simple"]
    assert says.get("ExecReload", []) == (["/bin/kill -HUP $MAINPID"] if is_gunicorn else [])


def test_they_begin_with_the_server_after_what_they_ask() -> None:
    for unit in (*DAEMONS, "license.target"):
        assert directives(unit)["WantedBy"] == ["multi-user.target"]
    for unit in DAEMONS:
        assert directives(unit)["After"] == ["network.target postgresql.service redis-server.service"]
    assert directives("celery-worker.service")["Also"] == ["celery-night.service"]


def test_each_writes_where_systemd_makes_it_a_place() -> None:
    """A runtime directory is removed when its service stops: no two may share one."""
    of_its_own: list[str] = []
    for unit in SERVICES:
        says = directives(unit)
        assert says["Group"] == says["User"]
        assert says["Environment"][0] == f'"PATH={BIN}{":/usr/bin" if unit == BACKUP else ""}"'
        command = says["ExecStart"][0]
        for written, directory, root in (
            ("logfile", "LogsDirectory", "/var/log/"),
            ("pidfile", "RuntimeDirectory", "/var/run/"),
        ):
            files = re.findall(rf"--{written}=(\S+)", command)
            assert [f"{Path(file).parent}" for file in files] == [f"{root}{name}" for name in says.get(directory, [])]
            of_its_own += files
        of_its_own += [f"runtime {name}" for name in says.get("RuntimeDirectory", [])]
        assert says.get("LogsDirectoryMode", ["0750"]) == ["0750"]
        if " worker " in command:
            of_its_own.append((re.findall(r"--hostname=(\S+)", command) or ["celery@%%h"])[0])
            assert of_its_own[-1].endswith("@%%h")  # systemd's own %h is a home
    assert len(of_its_own) == len(set(of_its_own)) >= 11


def test_nobody_but_nginx_beside_them_reaches_the_pages() -> None:
    nginx = (CHECKOUT / "deploy/nginx/license-manager.conf").read_text(encoding="utf-8")
    [address] = set(re.findall(r"proxy_pass http://(.+);", nginx))
    assert f"--bind={address} " in directives("license-web.service")["ExecStart"][0]
    assert address.startswith("127.0.0.1:")


@pytest.mark.parametrize("unit", SERVICES)
def test_none_holds_a_secret(unit: str) -> None:
    says = directives(unit)
    role = says["User"][0].removeprefix("license_")
    assert says["EnvironmentFile"] == ["/etc/license-manager.env", f"-/etc/license-manager.{role}.env"]
    assert {value.strip('"').partition("=")[0] for value in says["Environment"]} <= {"PATH", "PGAPPNAME"}
    assert role == ("owner" if unit == BACKUP else "web" if "gunicorn" in says["ExecStart"][0] else "worker")


def test_the_target_wants_all_of_them() -> None:
    assert sorted({*SERVICES} - {BACKUP}) == DAEMONS
    for unit in DAEMONS:
        assert directives(unit)["PartOf"] == ["license.target"]


def test_each_queue_has_a_worker_and_the_night_one_of_its_own(tmp_path: Path) -> None:
    queues = {
        unit: set(re.findall(r"--queues=(\S+)", " ".join(placed(unit, tmp_path)))[0].split(","))
        for unit in ("celery-worker.service", "celery-night.service")
    }
    assert queues["celery-night.service"] == {"reconcile"}
    assert queues["celery-worker.service"] == {queue.name for queue in settings.CELERY_TASK_QUEUES} - {"reconcile"}
    assert directives("celery-worker.service")["Wants"] == ["celery-night.service"]


def test_a_backup_is_taken_each_day_when_the_night_is_over_and_tried_again() -> None:
    timer, says = directives("license-backup.timer"), directives(BACKUP)
    assert timer["OnCalendar"] == ["*-*-* 03:30:00 Asia/Kolkata"]  # docs/drills.md says so
    assert (timer["Persistent"], timer["WantedBy"]) == (["yes"], ["timers.target"])
    calendar = [program("systemd-analyze", "systemd"), "calendar", timer["OnCalendar"][0]]
    assert subprocess.run(calendar, capture_output=True, text=True).returncode == 0
    assert (says["Type"], says["Restart"], says["StartLimitIntervalSec"]) == (["oneshot"], ["on-failure"], ["0"])
    assert "WantedBy" not in says
    assert "PartOf" not in says  # whoever stops the services does not mean it


def test_nobody_else_reads_backups() -> None:
    says = directives(BACKUP)
    assert says["StateDirectoryMode"] == ["0700"]
    assert says["ExecStart"][0].endswith(f" manage.py backup --keep=14 /var/lib/{says['StateDirectory'][0]}")
