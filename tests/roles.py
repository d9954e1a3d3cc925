"""The database roles of an installation (deploy/roles.sql), for the private PostgreSQL of the tests."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.db import connection

ROLES_SQL = Path(__file__).parents[1] / "deploy" / "roles.sql"
PASSWORD = "of-the-tests"  # noqa: S105
"""Of every role, in a server of the tests alone."""


def make_roles(database: str = "") -> list[str]:
    """As an installation does after each migrate: in the database of the tests, or another one. What PostgreSQL had to
    say of it."""
    said: list[str] = []
    with psycopg.connect(_url(database=database), autocommit=True) as server:
        server.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        server.execute(ROLES_SQL.read_bytes())
        for (role,) in server.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^license_' AND rolname <> user"):
            server.execute(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
    return said


def url_of(role: str, database: str = "") -> str:
    """The database, as one logs in with this role."""
    return _url(f"{role}:{PASSWORD}", database)


def _url(login: str = "", database: str = "") -> str:
    url = urlsplit(settings.DATABASE_URL)
    own, _, server = url.netloc.rpartition("@")
    return url._replace(netloc=f"{login or own}@{server}", path=f"/{database}" if database else url.path).geturl()


@pytest.fixture(autouse=True)
def pages_of_web(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is made with the rights of an installation's pages, and the test has all of them."""
    respond = BaseHandler.get_response

    def as_web(handler: BaseHandler, request: Any) -> Any:
        say("SET ROLE license_web")
        try:
            return respond(handler, request)
        finally:
            say("RESET ROLE")

    def say(command: str) -> None:
        """Past Django, where queries are counted."""
        connection.ensure_connection()
        connection.connection.execute(command)

    monkeypatch.setattr(BaseHandler, "get_response", as_web)
