"""deploy/logrotate: logrotate understands it, and the logs of the units are those that it turns."""

import getpass
import grp
import os
import subprocess
from pathlib import Path

from django_setup import CHECKOUT
from tests.deploy.conftest import program
from tests.deploy.units import UNITS, directives

RULES = CHECKOUT / "deploy/logrotate/license-manager"


def test_logrotate_turns_every_log_file_of_the_units(tmp_path: Path) -> None:
    """As ourselves, for the users of an installation are not here."""
    text = RULES.read_text(encoding="utf-8")
    # docs/install.md says so: each day, and for 30; a log that is not there yet is no failure of everybody's logrotate
    assert {"daily", "rotate 30", "missingok", "notifempty", "compress"} <= {line.strip() for line in text.splitlines()}
    units = [unit.name for unit in UNITS.glob("*.service") if "--logfile=/var/log/celery/" in unit.read_text()]
    assert len(units) == 3
    for unit in units:
        assert f"su {directives(unit)['User'][0]} {directives(unit)['Group'][0]}\n" in text
        name = directives(unit)["ExecStart"][0].partition("--logfile=/var/log/celery/")[2].split()[0]
        (tmp_path / name).write_text("a line\n")
    group = grp.getgrgid(os.getgid()).gr_name
    text = text.replace("/var/log/celery", str(tmp_path))
    (tmp_path / "rules").write_text(text.replace("su license_worker license_worker", f"su {getpass.getuser()} {group}"))
    (tmp_path / "rules").chmod(0o644)
    rotate = [program("logrotate", "logrotate"), "--state", tmp_path / "state", tmp_path / "rules"]
    done = subprocess.run([*rotate, "--debug"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    done = subprocess.run([*rotate, "--force"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.glob("*.log*")) == ["beat.log.1", "night.log.1", "worker.log.1"]
