"""A clock that can be moved, for whole processes: libfaketime, preloaded, stands between them and the system's."""

import importlib.util
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

LIBRARY = "libfaketime.so.1"


class MovedClock:
    """One clock for all processes that get `environment`. It is read from a file at every look, so it moves for all at
    once, also while they run. How long they sleep and wait is real."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "clock"
        libraries = _find_folder_of_library()
        if other := os.environ.get("LD_LIBRARY_PATH"):
            libraries = f"{libraries}:{other}"
        self.environment = {
            "LD_LIBRARY_PATH": libraries,  # for a path in LD_PRELOAD must have no space
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_FMT": "%s",  # seconds since 1970: a stopped clock shows the same, whatever the timezone
            "DONT_FAKE_MONOTONIC": "1",
        }

    def put(self, moment: datetime) -> None:
        """Let it run on from this moment, at normal speed."""
        self._write(f"{(moment - datetime.now(UTC)).total_seconds():+f}")

    def stop(self, moment: datetime) -> None:
        """Let it show this moment, and no other."""
        self._write(f"{moment.timestamp():f}")

    def _write(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(f"{text}\n")
        new.replace(self._path)  # nobody ever reads half of it

    def why_not(self) -> str | None:
        """Why processes cannot be given this clock here; None: they can."""
        if not _find_folder_of_library():
            return f"{LIBRARY} is not installed; there is one for Linux on x86-64 alone"
        moment = datetime(2028, 2, 29, tzinfo=UTC)
        self.stop(moment)
        shown = subprocess.run(
            [sys.executable, "-c", "import time; print(round(time.time()))"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if shown.stdout.strip() != f"{moment.timestamp():.0f}":
            return f"{LIBRARY} does not move the clock of a process: {shown.stdout}{shown.stderr}"
        return None


def _find_folder_of_library() -> str:
    """Where it is, without importing the package it came with; empty: nowhere."""
    spec = importlib.util.find_spec("libfaketime")
    locations = spec.submodule_search_locations if spec else None
    folder = Path(locations[0]) / "vendor" / "libfaketime" / "src" if locations else None
    return str(folder) if folder and (folder / LIBRARY).exists() else ""
