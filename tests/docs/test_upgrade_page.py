"""docs/upgrade.md: its steps move units and commands to the new folder, and leave no unit out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from django_setup import CHECKOUT
from tests.deploy.units import DAEMONS

STEPS = re.findall(r"^( *)```sh\n(.*?)^ *```", (CHECKOUT / "docs" / "upgrade.md").read_text(), re.DOTALL | re.MULTILINE)
DEPLOY = CHECKOUT / "deploy"
INSTALLED = "/opt/license-manager"


@pytest.mark.parametrize("way", ["NEW", "OLD"])
def test_services_and_commands_move_to_a_folder(way: str, tmp_path: Path) -> None:
    folder, units, commands = tmp_path / "version", tmp_path / "units", tmp_path / "sbin"
    shutil.copytree(DEPLOY / "systemd", folder / "deploy" / "systemd")
    shutil.copy(DEPLOY / "license-manage", folder / "deploy")
    units.mkdir()
    commands.mkdir()
    script = "".join(
        line.strip().replace("/etc/systemd/system", str(units)).replace("/usr/local/sbin", str(commands)) + "\n"
        for _, step in STEPS
        for line in step.splitlines()
        if f"${way}" in line and ("systemd" in line or "sbin" in line)
    )
    assert len(script.splitlines()) == 3
    subprocess.run(
        ["bash", "-euc", script.replace("sudo ", "")], env={way: str(folder), "PATH": "/usr/bin:/bin"}, check=True
    )

    assert sorted(path.name for path in units.iterdir()) == sorted(path.name for path in (DEPLOY / "systemd").iterdir())
    for file in [*units.iterdir(), commands / "license-manage"]:
        was = (DEPLOY / "systemd" / file.name if file.parent == units else DEPLOY / file.name).read_text()
        assert file.read_text() == was.replace(INSTALLED, str(folder))


def test_every_unit_is_restarted_both_ways() -> None:
    there, back = [], []
    for indent, step in STEPS:
        restarted = re.findall(r"systemctl restart (.*)", step)
        (back if indent else there).extend(name for names in restarted for name in names.split())
    assert sorted(there) == sorted(back) == [unit.removesuffix(".service") for unit in DAEMONS]
    assert there[-1] == back[0] == "license-web"
