"""A private PostgreSQL and a private Redis, real ones, for tests, the demo and a developer's stack.

They live in `.local/<instance>/` of the checkout, listen on free loopback ports, and end with whoever started them.

As a library, with `deploy/local` on the path:

    with temporary_servers() as live:
        psycopg.connect(live.database_url)

As a command: `python deploy/local/servers.py run --instance run -- COMMAND…`
"""

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from django_setup import BACKEND, CHECKOUT
from embedded.keeper import die_with_parent
from embedded.postgres import PostgresServer
from embedded.redis import RedisServer
from embedded.secret import write_private_file
from embedded.server import Server, ServerError

LOCAL = CHECKOUT / ".local"
# Django's settings read this file when the environment names no servers.
SERVERS_ENV = LOCAL / "servers.env"
PUBLISHED_INSTANCE = "run"
TEMPORARY_PREFIX = "tmp-"
SECONDS_FOR_KEEPERS_TO_END = 30


@dataclass(frozen=True)
class Servers:
    """What is running: the two URLs, passwords included, and the servers, which a test can stop, kill and start."""

    database_url: str
    broker_url: str
    postgres: PostgresServer
    redis: RedisServer


@contextlib.contextmanager
def servers(
    instance_folder: Path, *, is_durable: bool = True, environment: Mapping[str, str] | None = None
) -> Iterator[Servers]:
    """Both servers, with their data in the folder, which is made if need be and locked while they run. They find the
    environment in theirs, besides what everybody does.

    Raises ServerError when the instance is running already or when a server is not found or does not start.
    """
    with (
        _locked(instance_folder) as lock,
        PostgresServer(instance_folder, lock, is_durable=is_durable, environment=environment) as postgres,
        RedisServer(instance_folder, lock, is_durable=is_durable, environment=environment) as redis,
    ):
        yield Servers(postgres.url, redis.url, postgres, redis)


@contextlib.contextmanager
def temporary_servers(*, is_durable: bool = False, environment: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """Both servers, in a new folder that is removed at the end. A commit survives a killed server, but a power cut only
    if they are durable."""
    with _temporary_folder() as folder, servers(folder, is_durable=is_durable, environment=environment) as live:
        yield live


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a command with a private PostgreSQL and Redis.")
    run = parser.add_subparsers(required=True).add_parser(
        "run",
        help="start what neither the environment nor .env names, run the command, stop again",
        usage="servers.py run [--instance NAME | --temporary [--durable]] -- COMMAND…",
        description="DATABASE_URL or CELERY_BROKER_URL, if the environment or .env names them, are used as they are, "
        "and that server is not started; but with --temporary both are always our own.",
    )
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "--instance",
        type=_instance_name,
        default=PUBLISHED_INSTANCE,
        help="its data stay in .local/NAME (default: run)",
    )
    where.add_argument("--temporary", action="store_true", help="its data are removed at the end; a commit may be lost")
    run.add_argument("--durable", action="store_true", help="with --temporary: no commit is lost in a power cut")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        run.error("no COMMAND given")
    _on_signals(_leave)
    try:
        return _run(command, None if options.temporary else options.instance, is_durable=options.durable)
    except (ServerError, OSError) as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1


def _run(command: list[str], instance: str | None, *, is_durable: bool) -> int:
    """The status of the command, in an instance of that name or in a temporary one."""
    kinds = {"DATABASE_URL": PostgresServer, "CELERY_BROKER_URL": RedisServer}
    given = _given_urls(kinds) if instance else {}
    started: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:
        folder = LOCAL / instance if instance else stack.enter_context(_temporary_folder())
        lock = stack.enter_context(_locked(folder))
        for variable, kind in kinds.items():
            if variable not in given:
                started[variable] = stack.enter_context(kind(folder, lock, is_durable=is_durable or bool(instance)))
                if instance:
                    print(f"servers: {started[variable].describe()}", file=sys.stderr)
        urls = {variable: server.url for variable, server in started.items()}
        if instance == PUBLISHED_INSTANCE:
            stack.enter_context(_published(urls))
        return _run_command(command, {**os.environ, **given, **urls})


def _given_urls(variables: Iterable[str]) -> dict[str, str]:
    """What the environment names, or else a `.env`: Django's settings would take these before our private servers."""
    sys.path.append(str(BACKEND))
    import env_file

    given: dict[str, str] = {}
    try:
        files = [(str(file), env_file.read(file)) for file in (BACKEND / ".env", CHECKOUT / ".env")]
    except ValueError as error:
        raise ServerError(str(error)) from None
    for source, values in [("the environment", os.environ), *files]:
        for variable in variables:
            if values.get(variable) and variable not in given:
                given[variable] = values[variable]
                print(f"servers: {variable} comes from {source}", file=sys.stderr)
    return given


def _run_command(command: list[str], environment: dict[str, str]) -> int:
    end_with_us = partial(die_with_parent, signal.SIGTERM, os.getpid())
    try:
        process = subprocess.Popen(command, env=environment, preexec_fn=end_with_us)  # noqa: PLW1509 (no threads)
    except OSError as error:
        raise ServerError(f"cannot run {command[0]}: {error.strerror}") from None

    def forward(number: int, _: FrameType | None) -> None:
        if not (number == signal.SIGINT and _is_in_the_foreground()):  # Ctrl-C reaches the command by itself
            process.send_signal(number)

    _on_signals(forward)
    status = process.wait()
    _on_signals(signal.SIG_IGN)  # to stop the servers takes a bounded time, and nothing may keep us from it
    return status if status >= 0 else 128 - status


def _leave(number: int, _: FrameType | None) -> None:
    _on_signals(signal.SIG_IGN)
    sys.exit(128 + number)


def _on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, handler)


def _is_in_the_foreground() -> bool:
    try:
        with Path("/dev/tty").open() as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def _published(urls: dict[str, str]) -> Iterator[None]:
    write_private_file(SERVERS_ENV, "".join(f"{variable}={url}\n" for variable, url in urls.items()))
    try:
        yield
    finally:
        SERVERS_ENV.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path, *, patience_seconds: int = SECONDS_FOR_KEEPERS_TO_END) -> Iterator[int]:
    """A lock that the system releases when we and the keepers, who inherit it, have ended: it is never stale."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience_seconds
        while not _try_lock(lock):
            owner = int(os.pread(lock, 20, 0) or 0)
            if (owner and _is_alive(owner)) or time.monotonic() > deadline:
                raise ServerError(f"the instance in {folder} is already running, process {owner}")
            time.sleep(0.1)  # its launcher was killed, and the keepers are about to end
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    LOCAL.mkdir(exist_ok=True)
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}{os.getpid()}-", dir=LOCAL))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Removes the temporary folders of launchers that were killed."""
    for folder in LOCAL.glob(f"{TEMPORARY_PREFIX}*"):
        launcher = folder.name.removeprefix(TEMPORARY_PREFIX).split("-")[0]
        if launcher.isdecimal() and not _is_alive(int(launcher)):
            with contextlib.suppress(ServerError, OSError), _locked(folder, patience_seconds=0):
                shutil.rmtree(folder, ignore_errors=True)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _instance_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name) or name.startswith(TEMPORARY_PREFIX):
        raise argparse.ArgumentTypeError("letters, digits, _ and - only, and not tmp-…")
    return name


if __name__ == "__main__":
    sys.exit(main())
