"""Whoever does what docs/drills.md says: the commands are read from there, and so never differ from what was tried."""

import os
import re
import subprocess
import sys
from pathlib import Path

from django_setup import BACKEND, CHECKOUT

DRILLS = CHECKOUT / "docs" / "drills.md"


def commands(heading: str) -> list[str]:
    """The blocks of commands under a heading, up to the next heading, in their order."""
    sections = re.split(r"^#+ (.+)\n", DRILLS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    [section] = [text for title, text in zip(sections[1::2], sections[2::2], strict=True) if title == heading]
    return re.findall(r"^```bash\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)


class Operator:
    """A shell in backend/, with the environment active, the programs of a PostgreSQL, and some variables."""

    def __init__(self, programs: Path, **variables: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "CELERY_SKIP"))}
        self._environment = {**inherited, **variables, "PATH": path, "COLUMNS": "200"}

    def types(self, block: str, *, status: int = 0) -> str:
        """What the commands of a block print, until one fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=BACKEND,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == status, f"{block}\n{done.stdout}"
        return done.stdout
