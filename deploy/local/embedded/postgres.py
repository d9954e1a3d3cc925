"""A private PostgreSQL."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from embedded.binaries import find_postgres_bindir, get_major_version
from embedded.secret import get_password
from embedded.server import HOST, Server, ServerError, end_keeper, start_keeper

DATABASE = USER = "license_manager"
# PostgreSQL refuses to run as root. Which of these is open depends on the machine, so they are tried in this order.
WAYS_AROUND_ROOT = ("namespace", "nobody")
SMALL_SHARED_MEMORY_BYTES = 512 * 2**20


class PostgresServer(Server):
    """Its data is in `data/` of the instance folder; the role is a superuser, the database is `license_manager`."""

    name = "PostgreSQL"
    stop_signals = "SIGINT,SIGQUIT,SIGKILL"  # fast shutdown, immediate shutdown
    # A server whose keeper was killed needs a moment to end.
    passing_troubles = ("pre-existing shared memory block",)

    def __init__(
        self, folder: Path, lock: int, *, is_durable: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, lock, environment)
        self.bindir = find_postgres_bindir()
        self.data = folder / "data"
        self._password_path = folder / "postgres.password"
        self._password = get_password(self._password_path)
        self._is_durable = is_durable

    @property
    def url(self) -> str:
        return self._get_url(DATABASE)

    def start(self) -> None:
        """As for every server, with data that is made on first use, and with the database."""
        if not self.data.exists():
            self._make_data()
        self._check_version()
        if not self.is_running:
            # Left by a crash: the lock on the folder says that nobody runs here. By now its process id may be somebody
            # else's, for whom PostgreSQL would wait in vain.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        super().start()
        self._create_database()

    def _get_url(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self._password, safe='')}@{HOST}:{self.port}/{database}"

    def _make_data(self) -> None:
        new = self.data.with_name("data.new")  # a name of its own until it is whole
        log_path = self.folder / "initdb.log"
        log_path.unlink(missing_ok=True)
        initdb = [str(self.bindir / "initdb"), f"--pgdata={new}", f"--username={USER}"]
        initdb += [f"--pwfile={self._password_path}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        if not self._is_durable:
            initdb.append("--no-sync")
        for user in WAYS_AROUND_ROOT if os.geteuid() == 0 else ("same",):
            shutil.rmtree(new, ignore_errors=True)
            keeper = start_keeper(
                initdb,
                log_path,
                self._lock,
                stop_signals="SIGTERM,SIGKILL",
                user=user,
                environment=self._environment,
            )
            try:
                status = keeper.wait()
            finally:
                end_keeper(keeper)
            if status == 0:
                new.rename(self.data)
                return
        hint = " (as root it needs a user namespace or a change of user, so try as an ordinary user)"
        raise ServerError(
            f"PostgreSQL's initdb failed{hint if os.geteuid() == 0 else ''}:\n{log_path.read_text(errors='replace')}"
        )

    def _get_user(self) -> str:
        """The data was made in one of these ways, and its owner tells which."""
        if os.geteuid() != 0:
            return "same"
        return "namespace" if self.data.stat().st_uid == 0 else "nobody"

    def _check_version(self) -> None:
        made_by = int((self.data / "PG_VERSION").read_text())
        here = get_major_version(self.bindir / "postgres")
        if made_by != here:
            raise ServerError(
                f"{self.data} was made by PostgreSQL {made_by}, and {self.bindir} is PostgreSQL {here}: "
                f"point LOCAL_PG_BINDIR to the former, or delete {self.folder} to start anew"
            )

    def _get_command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",  # a socket's path may have 107 bytes, a checkout's more
            "max_connections": "100",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._is_durable:
            # Commits survive a killed server, but not a power cut. `synchronous_commit = off` would lose them in both.
            settings["fsync"] = "off"
        if _is_shared_memory_small():
            settings["dynamic_shared_memory_type"] = "mmap"
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.bindir / "postgres"), "-D", str(self.data), *options]

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self._get_url("postgres"), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _create_database(self) -> None:
        import psycopg

        with psycopg.connect(self._get_url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")


def _is_shared_memory_small() -> bool:
    """Containers often have 64 MB, which parallel queries outgrow; initdb tries only whether it is there at all."""
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108 (asks for its size only)
    except OSError:
        return False
    return space.f_blocks * space.f_frsize < SMALL_SHARED_MEMORY_BYTES
