"""LOG_FORMAT=json: every line of a worker, and of a command, is an object, which says what it is about."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.models import Quarantine
from ledger.tasks import sweep
from license.models import License
from processes import celery
from tests.acceptance.conftest import WORKER, manage, until
from tests.engine.sessions import failing


def test_a_worker(license: License, tmp_path: Path) -> None:
    log = tmp_path / "lines.log"
    arguments = ("--quiet", *WORKER, "--concurrency=1", f"--logfile={log}")
    with (
        failing("ledger_licensebalance", "true", "22003"),
        celery(*arguments, log="worker.log", folder=tmp_path, environment={"LOG_FORMAT": "json"}),
    ):
        task = sweep.delay()
        until(lambda: log.exists() and f"{task.id}] succeeded" in log.read_text(), "the worker is through")
    assert Quarantine.objects.count() == 1
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    assert all(datetime.fromisoformat(line["time"]).utcoffset() is not None for line in lines)
    [quarantined] = [line for line in lines if line["logger"] == "ledger.engine"]
    assert quarantined["message"].startswith(f"license {license.license_number} is quarantined: made to fail")
    assert (quarantined["level"], quarantined["license"]) == ("ERROR", ["0310000001"])
    assert any(f"{quarantined['task']}[{quarantined['task_id']}] received" in line["message"] for line in lines)
    assert not any("license" in line for line in lines if line is not quarantined)


def test_a_worker_writes_text_unless_it_is_told(license: License, tmp_path: Path) -> None:
    log = tmp_path / "lines.log"
    with celery(*WORKER, "--concurrency=1", f"--logfile={log}", log="worker.log", folder=tmp_path):
        until(lambda: log.exists() and " ready." in log.read_text(), "the worker is ready")
    [ready] = [line for line in log.read_text().splitlines() if line.endswith(" ready.")]
    assert re.fullmatch(r"\[[-0-9]+ [:,0-9]+: INFO/MainProcess\] celery@\S+ ready\.", ready)


def test_a_command_and_a_wrong_format(database: None) -> None:
    assert manage("freshness", LOG_FORMAT="json").returncode == 0
    refused = manage("freshness", LOG_FORMAT="xml")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "LOG_FORMAT must be text or json" in refused.stderr
    refused = manage("freshness", METRICS_TOKEN="short")  # noqa: S106
    assert (refused.returncode, "METRICS_TOKEN must be 20 or more" in refused.stderr) == (2, True)
    assert "short" not in refused.stderr.replace("short of", "")
