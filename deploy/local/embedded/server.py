"""What the two servers have in common: a port of their own, a keeper, a start that waits for an answer, a log."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import IO, ClassVar, Self, cast

HOST = "127.0.0.1"
START_SECONDS = 60
LOG_LINES_IN_AN_ERROR = 15
# Below the ports that systems hand out to outgoing connections. From that range, a client that keeps trying while its
# server is down may one day be given the very port it calls, connect to itself, and keep the server from coming back.
PORTS = range(20_000, 32_768)
KEEPER = Path(__file__).with_name("keeper.py")


class ServerError(RuntimeError):
    """Says in its message what a person can do about it."""


class Server(ABC):
    """A server that listens on the loopback address only. Each start after the first keeps port and data."""

    name: ClassVar[str]
    stop_signals: ClassVar[str]
    passing_troubles: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, lock: int, environment: Mapping[str, str] | None = None) -> None:
        """The folder is the instance's; the lock on it, a file descriptor, is held until the keeper has ended too. The
        environment is what keeper and server find in theirs, besides what everybody does."""
        self.folder = folder
        self.log_path = folder / f"{self.name.lower()}.log"
        self.port = 0
        self.pid = 0  # of the server itself, while it runs
        self._lock = lock
        self._environment = environment
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it, with the password."""

    @property
    def is_running(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def describe(self) -> str:
        return f"{self.name} on {HOST}:{self.port}, log in {self.log_path}"

    def start(self) -> None:
        """Returns when the server answers; raises ServerError with the end of its log when it does not."""
        if self.is_running:
            return
        self.stop()
        deadline = time.monotonic() + START_SECONDS
        has_a_port = self.port != 0
        while True:
            if not has_a_port:
                self.port = find_free_port()
            log_size = self.log_path.stat().st_size if self.log_path.exists() else 0
            try:
                if self._start_once(deadline):
                    return
            except BaseException:
                self.stop()
                raise
            log = self.log_path.read_bytes()[log_size:].decode(errors="replace")
            may_pass = not is_free(self.port) or any(trouble in log for trouble in self.passing_troubles)
            if time.monotonic() > deadline or not may_pass:
                raise self._get_error("does not start")
            time.sleep(0.2)

    def stop(self) -> None:
        """An orderly stop; returns when the server is gone. Does nothing when it is."""
        if self._keeper:
            end_keeper(self._keeper)
            self._keeper = None
            self.pid = 0

    def kill(self) -> None:
        """`kill -9`, as after a crash; returns when the server is gone."""
        if self.pid and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _start_once(self, deadline: float) -> bool:
        """False when the server ended by itself before it answered."""
        self._keeper = start_keeper(
            self._get_command(),
            self.log_path,
            self._lock,
            stop_signals=self.stop_signals,
            user=self._get_user(),
            environment=self._environment,
        )
        self.pid = int(cast("IO[bytes]", self._keeper.stdout).readline() or 0)
        while self._keeper.poll() is None:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise self._get_error(f"does not answer after {START_SECONDS} seconds")
            time.sleep(0.02)
        self.stop()
        return False

    def _get_error(self, trouble: str) -> ServerError:
        end_of_log = self.log_path.read_text(errors="replace").splitlines()[-LOG_LINES_IN_AN_ERROR:]
        return ServerError("\n".join([f"{self.name} {trouble}; the end of {self.log_path}:", *end_of_log]))

    @abstractmethod
    def _get_command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _get_user(self) -> str:
        return "same"


def start_keeper(
    command: list[str],
    log_path: Path,
    lock: int,
    *,
    stop_signals: str,
    user: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Runs the command under a keeper, in the log's folder, in a session of its own: Ctrl-C is not for servers."""
    # PG* would change what PostgreSQL does, and a locale that is not installed keeps either server from starting.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    keeper = [sys.executable, "-I", "-S", str(KEEPER), "--user", user, "--stop-signals", stop_signals, "--"]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [*keeper, *command],
            cwd=log_path.parent,
            env={**inherited, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
        )


def end_keeper(keeper: subprocess.Popen[bytes]) -> int:
    """Lets go of the keeper, which then stops its server; returns the status of the server."""
    for pipe in (keeper.stdin, keeper.stdout):
        if pipe:
            pipe.close()
    return keeper.wait()


def find_free_port() -> int:
    while not is_free(port := PORTS[secrets.randbelow(len(PORTS))]):
        pass
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
