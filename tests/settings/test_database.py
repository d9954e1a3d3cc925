"""A database that is gone without a word is given up."""

import socket
import time

import pytest
from django.db import connection

from tests.acceptance.conftest import manage

MOST_SECONDS = 40


@pytest.mark.usefixtures("database")
def test_a_server_that_is_gone_without_a_word_is_given_up() -> None:
    """The kernel does it, for a session that waits for an answer and for one that waits for the next question."""
    connection.ensure_connection()
    with socket.socket(fileno=socket.dup(connection.connection.fileno())) as link:
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, every, count = (
            link.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + every * count == MOST_SECONDS
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == MOST_SECONDS * 1000


def test_a_server_that_takes_connections_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        began = time.monotonic()
        done = manage("drain_changes", DATABASE_URL=f"{url}?connect_timeout=2")
        assert time.monotonic() - began >= 2
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert "timeout" in line
    assert connection.settings_dict["OPTIONS"]["connect_timeout"] == 10


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "False"),
        ("?disable_server_side_cursors=true", "True"),
        ("?DISABLE_SERVER_SIDE_CURSORS=false", "False"),
        ("?disable_server_side_cursors=False", "False"),
        ("?disable_server_side_cursors=0", "False"),
        ("?disable_server_side_cursors=off", "False"),
    ],
)
def test_a_flag_of_the_url_means_what_it_says(written: str, meant: str) -> None:
    show = "from django.db import connection; print(bool(connection.settings_dict.get('DISABLE_SERVER_SIDE_CURSORS')))"
    done = manage("shell", "--verbosity", "0", "-c", show, DATABASE_URL=f"postgres://nobody@localhost/nothing{written}")
    assert (done.stdout, done.stderr) == (f"{meant}\n", "")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("conn_health_checks=maybe", "CONN_HEALTH_CHECKS in DATABASE_URL must be true or false"),
        ("conn_max_age=long", "CONN_MAX_AGE in DATABASE_URL must be a number of seconds, or None"),
    ],
)
def test_a_setting_of_the_url_that_is_none_is_one_line(written: str, says: str) -> None:
    done = manage("check", DATABASE_URL=f"postgres://nobody@localhost/nothing?{written}")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert says in line
