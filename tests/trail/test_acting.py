"""Who wrote, by which program, through what: of every entry of the trail."""

import json
import os
import pwd
import subprocess
import sys
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from psycopg.sql import SQL, Identifier

from api.models import Token
from django_setup import BACKEND
from ledger.acting import acting, comment
from license.models import License, Port
from tests.conftest import one, sql
from tests.engine.sessions import make_licenses

pytestmark = pytest.mark.usefixtures("database")


def statements() -> list[tuple[Any, ...]]:
    return sql("SELECT user_name, via, operation, table_name, row_count FROM ledger_trailstatement ORDER BY id")


def test_whoever_acts_is_told() -> None:
    with acting("asha", via="manage.py something"):
        Port.objects.create(code="INNSA1")
        with acting(via="within"), transaction.atomic():
            Port.objects.bulk_create([Port(code="A"), Port(code="B")])
            sql("UPDATE license_port SET code = code || 'x' WHERE code IN ('A', 'B')")
        Port.objects.filter(code="Ax").delete()
    Port.objects.create(code="D")
    assert statements() == [
        ("asha", "manage.py something", "INSERT", "license_port", 1),
        ("", "within", "INSERT", "license_port", 2),
        ("", "within", "UPDATE", "license_port", 2),
        ("asha", "manage.py something", "DELETE", "license_port", 1),
        ("", "", "INSERT", "license_port", 1),
    ]


@pytest.mark.parametrize(
    "name", ["*/ DROP TABLE license_port; --", "100 % %s %(x)s", "आशा", '"\\', "a/*b*/c", "x\0y", "𝓍\n\r\t'$$"]
)
def test_no_name_breaks_out_of_the_comment(name: str) -> None:
    with acting(name, via=name):
        Port.objects.create(code="INNSA1")
        sql("INSERT INTO license_port (code) VALUES ('B')")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO license_port (code) VALUES (%s)", [("C",), ("D",)])
    [(said,)] = sql("SELECT DISTINCT user_name FROM ledger_trailstatement WHERE user_name = via")
    assert said == name.replace("\0", "")
    assert one("SELECT count(*) FROM ledger_trailstatement") == 4


def test_a_composed_statement_is_told_too() -> None:
    with acting("asha", via="somewhere"), connection.cursor() as cursor:
        cursor.execute(SQL("INSERT INTO {} (code) VALUES (%s)").format(Identifier("license_port")), ["100 %"])
    assert statements() == [("asha", "somewhere", "INSERT", "license_port", 1)]
    assert one("SELECT code FROM license_port") == "100 %"


def test_a_long_name_is_cut() -> None:
    assert len(comment("x" * 10_000, "y" * 10_000)) < 500


def test_the_longest_names_are_told_and_the_statement_after_them() -> None:
    """In characters that take the most room in the comment."""
    with acting("𝓍" * 200, via="𝓍" * 200):
        sql("INSERT INTO license_port (code) VALUES ('A') -- " + "x" * 5000)
    [(user, via, statement)] = sql("SELECT user_name, via, statement FROM ledger_trailstatement")
    assert (user, via) == ("𝓍" * 200, "𝓍" * 200)
    assert statement == ("INSERT INTO license_port (code) VALUES ('A') -- " + "x" * 5000)[:1000]


@pytest.mark.parametrize(
    "remark",
    ["/*by {somebody} else*/", "/*by {}*/", "/* by hand */", '/*by {"user": "x} */', '/*by {"user": "\\u0000"}*/'],
)
def test_a_remark_of_somebody_elses_names_nobody(remark: str) -> None:
    sql(remark + " INSERT INTO license_port (code) VALUES ('A')")
    assert sql("SELECT user_name, via, statement FROM ledger_trailstatement") == [
        ("", "", remark + " INSERT INTO license_port (code) VALUES ('A')")
    ]


def test_plain_sql_is_told_by_role_application_and_statement() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], application_name="excel") as other:
        other.execute("/* month end */ INSERT INTO license_port (code) SELECT 'P' || n FROM generate_series(1, 3) AS n")
    [row] = sql("SELECT user_name, via, role, application, statement, row_count FROM ledger_trailstatement")
    assert row[:2] == ("", "")
    assert row[2:4] == (one("SELECT session_user"), "excel")
    assert row[4].startswith("/* month end */ INSERT INTO license_port")
    assert row[5] == 3


def test_the_statement_is_told_without_the_comment_and_only_its_beginning() -> None:
    with acting("asha"):
        sql("INSERT INTO license_port (code) VALUES ('A') -- " + "x" * 5000)
    statement = one("SELECT statement FROM ledger_trailstatement")
    assert statement.startswith("INSERT INTO license_port")
    assert len(statement) == 1000


def test_a_request_is_its_users(client: Client) -> None:
    user = User.objects.create_superuser("asha")
    client.force_login(user)
    form = {"code": "INNSA1"}
    assert client.post("/entry/license/port/add/", form).status_code == 302
    assert statements() == [("asha", "POST /entry/license/port/add/", "INSERT", "license_port", 1)]
    Port.objects.create(code="other")
    assert statements()[-1][:2] == ("", "")


def test_a_request_with_a_token_is_its_users(client: Client) -> None:
    user = User.objects.create_superuser("erp")
    _, secret = Token.make(user)
    make_licenses(1)
    iec = one("SELECT iec FROM license_company LIMIT 1")
    number, serial = (
        one("SELECT license_number FROM license_license"),
        one("SELECT serial_number FROM license_importitem"),
    )
    share = {"license_number": number, "serial_number": serial, "quantity": "0", "cif_fc": "1.00"}
    before = one("SELECT max(id) FROM ledger_trailstatement")
    answer = client.post(
        "/api/v1/allotments",
        json.dumps({"company_iec": iec, "shares": [share], "key": f"{uuid4()}"}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 201, answer.content
    written = sql("SELECT DISTINCT user_name, via FROM ledger_trailstatement WHERE id > %s", before)
    assert written == [("erp", "POST /api/v1/allotments")]


def test_a_command_is_told_by_its_name() -> None:
    """A real one, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", "from license.models import Port; Port.objects.create(code='X')"],
        cwd=BACKEND,
        env=os.environ | {"LOGNAME": "somebody else"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    [(user, via)] = sql("SELECT user_name, via FROM ledger_trailstatement")
    assert user == ""
    assert via == f"manage.py shell, by {pwd.getpwuid(os.getuid()).pw_name}"
    assert one("SELECT application FROM ledger_trailstatement") == "manage.py shell"


# ── Nobody writes the trail but the triggers ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger_trailentry (statement_id, table_name, owner_id, row_id) VALUES (1, 'license_port', 1, 1)",
        "UPDATE ledger_trailentry SET after = NULL",
        "DELETE FROM ledger_trailentry",
        "TRUNCATE ledger_trailentry",
        "UPDATE ledger_trailstatement SET user_name = 'somebody else'",
        "DELETE FROM ledger_trailstatement",
        "TRUNCATE ledger_trailstatement",
        "SET LOCAL pgtrigger.ignore = '{ledger_trailstatement:guard}'; DELETE FROM ledger_trailstatement",
        "SET LOCAL ledger.engine = 'on'; DELETE FROM ledger_trailstatement",
    ],
)
def test_the_trail_is_only_added_to(statement: str) -> None:
    Port.objects.create(code="A")
    with pytest.raises(ProgrammingError, match="the trail is only added to"), transaction.atomic():
        sql(statement)


def test_the_replica_role_is_told_too() -> None:
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        Port.objects.create(code="A")
    assert statements() == [("", "", "INSERT", "license_port", 1)]


def test_what_is_rolled_back_leaves_no_trail() -> None:
    with transaction.atomic():
        Port.objects.create(code="A")
        transaction.set_rollback(True)
    assert statements() == []


def test_a_save_that_changes_nothing_leaves_no_trail() -> None:
    license = License.objects.create(license_number="1", license_date="2026-01-01")
    license.save()
    sql("UPDATE license_license SET license_number = license_number")
    assert [operation for _, _, operation, _, _ in statements()] == ["INSERT"]
