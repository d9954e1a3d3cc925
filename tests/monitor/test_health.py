"""What a load balancer asks, of servers that are really stopped."""

import os
import signal
from importlib import import_module

import pytest
from django.db import connection
from django.test import Client

from license import schema
from servers import Servers
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

ALL_OK = {"database": "ok", "schema": "ok", "broker": "ok"}


def ready() -> tuple[int, dict[str, str]]:
    answer = Client().get("/health/ready")
    return answer.status_code, answer.json()


def test_all_is_well() -> None:
    assert ready() == (200, ALL_OK)
    answer = Client().get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"process": "ok"})


def test_without_the_database(live_servers: Servers) -> None:
    live_servers.postgres.stop()
    try:
        assert ready() == (503, {"database": "failed", "schema": "failed", "broker": "ok"})
        assert Client().get("/health/live").status_code == 200
    finally:
        live_servers.postgres.start()
        connection.close()
    assert ready() == (200, ALL_OK)


def test_without_the_broker_people_are_let_in(live_servers: Servers) -> None:
    live_servers.redis.stop()
    try:
        assert ready() == (200, ALL_OK | {"broker": "failed"})
    finally:
        live_servers.redis.start()
    assert ready() == (200, ALL_OK)


@pytest.mark.long
def test_servers_that_hang_are_given_up(live_servers: Servers) -> None:
    hanging = [live_servers.postgres.pid, live_servers.redis.pid]
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert ready() == (503, dict.fromkeys(ALL_OK, "failed"))
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGCONT)
    assert ready() == (200, ALL_OK)


def test_a_schema_that_is_behind_the_code() -> None:
    [[app, name]] = sql(
        "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations) RETURNING app, name"
    )
    try:
        assert ready() == (503, ALL_OK | {"schema": "failed"})
    finally:
        sql("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", app, name)
    assert ready() == (200, ALL_OK)


def test_a_migration_that_took_the_place_of_others_lacks_nothing_where_those_were_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As everybody else judges a schema (decision 20): Django itself marks such a one as applied only later."""
    module = import_module("ledger.migrations.0001_initial")
    monkeypatch.setattr(module.Migration, "replaces", [("ledger", "0001_what_it_was_once")])
    sql("UPDATE django_migrations SET name = '0001_what_it_was_once' WHERE app = 'ledger' AND name = '0001_initial'")
    try:
        assert (ready(), schema.look().missing) == ((200, ALL_OK), [])
    finally:
        sql("UPDATE django_migrations SET name = '0001_initial' WHERE name = '0001_what_it_was_once'")


def test_a_schema_that_cannot_be_looked_at_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", "-c role=pg_monitor")
    assert ready() == (503, ALL_OK | {"schema": "failed"})
