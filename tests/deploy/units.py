"""The units of deploy/systemd, with paths of this checkout."""

import os
import re
import shlex
import sysconfig
from pathlib import Path

from django_setup import BACKEND, CHECKOUT

BIN = Path(sysconfig.get_path("scripts"))
UNITS = CHECKOUT / "deploy/systemd"
INSTALLED = "/opt/license-manager"


def text_of(unit: str) -> str:
    """Where it names what is installed, it names what this checkout runs by."""
    text = (UNITS / unit).read_text(encoding="utf-8")
    return text.replace(f"{INSTALLED}/.venv/bin", str(BIN)).replace(f"{INSTALLED}/backend", str(BACKEND))


def directives(unit: str) -> dict[str, list[str]]:
    """What each says, in order."""
    says: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text_of(unit), re.MULTILINE):
        says.setdefault(name, []).append(value)
    return says


DAEMONS = sorted(directives("license.target")["Wants"][0].split())
"""The services that are always up."""
BACKUP = "license-backup.service"


def placed(unit: str, folder: Path) -> list[str]:
    """Its command, with log and run directories in `folder`, which are made as systemd makes them."""
    says = directives(unit)
    assert says["WorkingDirectory"] == [str(BACKEND)]
    for kind, name in (("log", "LogsDirectory"), ("run", "RuntimeDirectory"), ("lib", "StateDirectory")):
        for value in says.get(name, []):
            (folder / kind / value).mkdir(parents=True, exist_ok=True)
    line = says["ExecStart"][0].replace("%%", "%")
    return shlex.split(re.sub(r"/var/(log|run|lib)/", rf"{folder}/\1/", line))


def option(command: list[str], name: str) -> str:
    """What a long option of a command says."""
    return next(word.removeprefix(f"--{name}=") for word in command if word.startswith(f"--{name}="))


def environment_of(unit: str) -> dict[str, str]:
    """Ours, with what the unit says: a PATH that holds the virtual environment alone, and what else it sets."""
    said = dict(value.strip('"').split("=", 1) for value in directives(unit)["Environment"])
    return {**os.environ, **said}
