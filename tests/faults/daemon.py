"""A process of ours that somebody looks after, as systemd does with the units of deploy/systemd."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from django_setup import BACKEND

RESTART_SECONDS = 1.0
STOP_SECONDS = 30


class Daemon:
    """Started again, a while after it is gone. What a dead main process leaves behind is killed then."""

    def __init__(self, name: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.ended_by_itself: list[str] = []
        """With what, each time that nobody had killed it."""
        self._command = [sys.executable, *arguments]
        self._environment = {**os.environ, **environment}
        self._is_killed = False
        self._gone_since: float | None = None
        self._away_until = 0.0
        self._log_size = 0
        """Of the log, when the process was started."""
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            self._log_size = log.tell()
            return subprocess.Popen(
                self._command,
                cwd=BACKEND,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def look_after(self) -> None:
        """To be called often."""
        if self.is_running:
            return
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            if not self._is_killed:
                self.ended_by_itself.append(f"status {self._process.returncode}, {self._last_words()}")
            self._kill_all()
        elif time.monotonic() > max(self._gone_since + RESTART_SECONDS, self._away_until):
            self._is_killed, self._gone_since = False, None
            self._process = self._start()

    def kill(self, which: str) -> None:
        """`kill -9` of the main process, of one child, or of all at once."""
        if not self.is_running:
            return
        if which == "child":
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            with suppress(OSError):
                if pids := children.read_text().split():
                    os.kill(int(pids[-1]), signal.SIGKILL)
            return
        self._is_killed = True
        if which == "all":
            self._kill_all()
        self._process.kill()

    def keep_away(self, seconds: float) -> None:
        """`kill -9` of all at once, and nobody starts it again for so long."""
        self._away_until = time.monotonic() + seconds
        self.kill("all")

    def restart_with(self, **variables: str) -> None:
        """`systemctl restart`, when somebody has changed the file with its environment."""
        self._environment |= variables
        self._is_killed = True
        self._process.terminate()

    def stop(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._kill_all()
        self._process.wait()

    def _last_words(self) -> str:
        """Of a worker, why it gave up; else the last line of the log."""
        log = self.log_path.read_bytes()[self._log_size :].decode(errors="replace")
        return (re.findall(r"CRITICAL/MainProcess\] (.*)", log) or log.splitlines() or ["nothing"])[-1]

    def _kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
