"""A clock that can be moved, for whole processes: libfaketime, preloaded, stands between them and the system's."""

import importlib.util
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

LIBRARY = "libfaketime.so.1"


class MovedClock:
    """One clock for all processes that get `environment` or, if they are the servers, `environment_of_servers`. It is
    read from a file at every look, so it moves for all at once, also while they run. How long they sleep and wait is
    real."""

    def __init__(self, folder: Path) -> None:
        self._ours, self._of_servers = folder / "clock", folder / "clock-of-servers"
        libraries = _find_folder_of_library()
        if other := os.environ.get("LD_LIBRARY_PATH"):
            libraries = f"{libraries}:{other}"
        self.environment = {
            "LD_LIBRARY_PATH": libraries,  # for a path in LD_PRELOAD must have no space
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._ours),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_FMT": "%s",  # seconds since 1970: a stopped clock shows the same, whatever the timezone
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.environment_of_servers = {**self.environment, "FAKETIME_TIMESTAMP_FILE": str(self._of_servers)}

    def put(self, moment: datetime, *, servers_lag: timedelta = timedelta()) -> None:
        """Let it run on from this moment, at normal speed; at the servers it may be that much earlier."""
        offset = moment - datetime.now(UTC)
        _write(self._of_servers, f"{(offset - servers_lag).total_seconds():+f}")
        _write(self._ours, f"{offset.total_seconds():+f}")

    def stop(self, moment: datetime) -> None:
        """Let it show this moment, and no other."""
        for path in (self._of_servers, self._ours):
            _write(path, f"{moment.timestamp():f}")

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


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(f"{text}\n")
    new.replace(path)  # nobody ever reads half of it


def _find_folder_of_library() -> str:
    """Where it is, without importing the package it came with; empty: nowhere."""
    spec = importlib.util.find_spec("libfaketime")
    locations = spec.submodule_search_locations if spec else None
    folder = Path(locations[0]) / "vendor" / "libfaketime" / "src" if locations else None
    return str(folder) if folder and (folder / LIBRARY).exists() else ""
