"""A short storm: every fault once. `make faults` runs long ones, and says what it saw."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.faults.storm import Storm

STORM_SECONDS = 27


@pytest.mark.timeout(600)
def test_after_a_storm_every_balance_is_right(tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name("storm.py"),
            f"--minutes={STORM_SECONDS / 60}",
            f"--seed={os.environ.get('SEED', '3')}",
            f"--folder={tmp_path / 'logs'}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as storm:
        try:
            output, _ = storm.communicate()
        finally:
            storm.terminate()  # it stops its servers and processes
    assert storm.returncode == 0, output
    assert "workers that their watchdog ended: " in output


def test_what_a_watchdog_ended_is_told_apart(tmp_path: Path) -> None:
    storm = Storm(Mock(), tmp_path, seed=0, storm_seconds=0)
    by_its_watchdog = "status 1, this worker has begun nothing for 60 seconds, although it is to end: it is ended"
    by_itself = "status 1, Unrecoverable error: UnpicklingError('invalid load key')"
    storm._daemons = {"worker 1": Mock(ended_by_itself=[by_itself, by_its_watchdog, by_its_watchdog])}
    (tmp_path / "worker 1.log").touch()
    storm._check_logs()
    assert storm._ended == {f"worker 1: {by_itself}": 1}
    assert storm._ended_by_watchdog == {f"worker 1: {by_its_watchdog}": 2}
    assert not storm._complaints
