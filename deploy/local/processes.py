"""Our own processes, real ones: started as the documentation says, stopped when the block ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django_setup import BACKEND, CHECKOUT

STOP_SECONDS = 60
"""As TimeoutStopSec in deploy/systemd."""


@contextmanager
def celery(
    *arguments: str, log: str, folder: Path = CHECKOUT / ".local", environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A lmanagement …`, from backend/, with its output in a log file of `folder`. It finds the environment in
    its own, besides what everybody does."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "lmanagement", *arguments]
    with running(command, folder / log, environment={**os.environ, **(environment or {})}) as process:
        yield process


@contextmanager
def relay(log: str, folder: Path = CHECKOUT / ".local") -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py relay`, from backend/, with its output in a log file of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with running([sys.executable, "manage.py", "relay"], folder / log) as process:
        yield process


@contextmanager
def pages(
    port: int, log: str, folder: Path = CHECKOUT / ".local", environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The pages, by gunicorn, for this machine alone, with its output in a log file of `folder`. It finds the
    environment in its own, besides what everybody does."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "lmanagement.wsgi",
        "--no-control-socket",
        "--workers=2",
        f"--bind=127.0.0.1:{port}",
    ]
    with running(command, folder / log, environment={**os.environ, **(environment or {})}) as process:
        yield process


@contextmanager
def running(
    command: list[str], log: Path, *, backend: Path = BACKEND, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """A command, run from backend/ with its output in a log file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=backend,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that what it started can be ended with it
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end as systemd would; after a while, end it and all that it started."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
