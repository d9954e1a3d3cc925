"""A short storm: every fault once. `make faults` runs long ones, and says what it saw."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
