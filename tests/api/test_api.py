"""What programs ask: who may, what they get, and how it is said what is wrong."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from api.models import Token
from api.views import api
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, Allotting, LicenseBalance, Overdraw
from license.clock import business_date
from license.models import ExportItem
from tests.api.conftest import As, Program
from tests.conftest import one, sql
from tests.web.conftest import KINDS

pytestmark = pytest.mark.usefixtures("desk_of_programs")

NUMBER = "0310000001"
ROLES = ("anonymous", "", "viewer", "operator", "auditor", "administrator")
READS = dict(zip(ROLES, (401, 403, 200, 200, 200, 200), strict=True))
WATCHES = READS | {"viewer": 403}
SHARES = {"shares": [{"license_number": NUMBER, "serial_number": 1, "quantity": "1.5", "cif_fc": "20.25"}]}
NEW = {"company_iec": "0000000009", "item_name": "sugar", "required_quantity": "10", **SHARES}
ALLOTS = READS | {"viewer": 403, "auditor": 403}
ROUTES: dict[tuple[str, str], tuple[dict[str, int], Any]] = {
    ("get", "/licenses"): (READS, {}),
    ("get", f"/licenses/{NUMBER}"): (READS, {}),
    ("get", "/changes"): (WATCHES, {"after": "0"}),
    ("get", f"/licenses/{NUMBER}/as-of"): (WATCHES, {"until": "2026-03-31"}),
    ("get", "/as-of"): (WATCHES, {"until": "2026-03-31"}),
    ("get", f"/licenses/{NUMBER}/trail"): (WATCHES, {}),
    ("get", "/trail"): (WATCHES, {}),
    ("get", "/trail/1"): (WATCHES, {}),
    ("get", "/find"): (READS, {"norm": "E5"}),
    ("post", "/proposals"): (ALLOTS, {"norm": "E5", "currency": "USD", "quantity": "5"}),
    ("post", "/allotments"): (ALLOTS | {"operator": 201, "administrator": 201}, NEW),
    ("post", "/allotments/1/lines"): (ALLOTS | {"operator": 201, "administrator": 201}, SHARES),
    ("get", "/allotments/1"): (READS, {}),
    ("post", "/allotments/1/give-up"): (ALLOTS, {}),
    ("get", "/pending"): (WATCHES, {}),
    ("get", "/runs"): (WATCHES, {}),
    ("get", "/runs/1/drift"): (WATCHES, {}),
    ("get", "/runs/1/findings"): (WATCHES, {"kind": "overdrawn"}),
}
"""By method and address: what each role gets, and what is asked."""


@pytest.fixture
def auditor(as_one_of: As) -> Program:
    return as_one_of("auditor")


@pytest.fixture
def operator(as_one_of: As) -> Program:
    return as_one_of("operator")


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in api.get_openapi_schema(path_prefix="")["paths"].items():
        for method in methods:
            yield method, path


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_every_route() -> None:
    places = {"{number}": NUMBER, "{allotment_id}": "1", "{run_id}": "1", "{statement_id}": "1"}
    assert {(method, re.sub("{.*?}", lambda place: places[place[0]], path)) for method, path in operations()} == set(
        ROUTES
    )


@pytest.mark.parametrize("role", ROLES)
def test_who_may_ask_what(role: str, as_one_of: As) -> None:
    program = as_one_of(role)
    for (method, path), (wanted, asked) in ROUTES.items():
        answer = program.get(path, **asked) if method == "get" else program.post(path, asked)
        assert answer.status_code == wanted[role], (method, path, answer.content)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
    assert AllotmentLine.objects.filter(quantity="1.5").exists() is (role in ("operator", "administrator"))


def test_a_token_that_is_not_valid_is_none(as_one_of: As) -> None:
    program = as_one_of("viewer")
    assert program.get("/licenses").status_code == 200
    assert one("SELECT used_on FROM api_token") == business_date()
    assert one("SELECT digest FROM api_token") not in program.secret
    assert Program(program.secret + "x").get("/licenses").status_code == 401
    stranger = Client(enforce_csrf_checks=True, headers={"Authorization": "Bearer x"})
    assert stranger.post("/api/v1/allotments/1/give-up").json()["detail"].startswith("Send a valid token")
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert program.get("/licenses").status_code == 401
    Token.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert program.get("/licenses").status_code == 200
    User.objects.update(is_active=False)
    assert program.get("/licenses").status_code == 401


def test_a_person_who_is_logged_in_may_ask_too_but_not_by_a_form_from_elsewhere(as_one_of: As) -> None:
    as_one_of("operator")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get(f"/api/v1/licenses/{NUMBER}").status_code == 200
    assert "CSRF" in browser.post("/api/v1/allotments/1/give-up").json()["detail"]
    assert Allotment.objects.get(pk=1).lines.exists()
    assert Client().get("/api/v1/docs").status_code == 302  # its page is behind the login
    assert Client().get("/api/v1/openapi.json").status_code == 401
    assert browser.get("/api/v1/openapi.json").json()["openapi"] == "3.1.0"


def test_a_token_of_somebody_is_made_and_taken_away() -> None:
    user = User.objects.create(username="erp")
    said = StringIO()
    call_command("create_token", "erp", "--name", "SAP", "--days", "30", stdout=said)
    token = Token.objects.get()
    assert (token.user, token.name) == (user, "SAP")
    assert Token.of(said.getvalue().strip()) == token
    assert token.expires_at
    assert timedelta(days=29) < token.expires_at - timezone.now() < timedelta(days=31)
    with pytest.raises(CommandError):
        call_command("create_token", "erp", "--days", "0")
    User.objects.update(is_active=False)
    call_command("create_token", "erp", "--revoke", stdout=said)
    assert not Token.objects.exists()
    for wrong in (["erp"], ["nobody"], ["nobody", "--revoke"]):
        with pytest.raises(CommandError):
            call_command("create_token", *wrong)
    user.delete()


# ── What they get ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_licenses_as_in_the_list(auditor: Program) -> None:
    found = auditor.get("/licenses", sort="number").json()
    assert found["count"] == len(KINDS)
    assert [row["license_number"] for row in found["items"]] == list(KINDS)
    overdrawn = found["items"][7]
    assert overdrawn["balance"]["overdrawn_cif"] == "2500.50"
    assert overdrawn["state"] == ["overdrawn", "null"]
    assert (overdrawn["exporter"], overdrawn["currency"]) == ("Surat Foods", "USD")
    part = auditor.get("/licenses", sort="number", limit=2, offset=3).json()
    assert [row["license_number"] for row in part["items"]] == ["0310000004", "0310000005"]
    assert part["count"] == len(KINDS)
    assert [row["license_number"] for row in auditor.get("/licenses", q="kochi").json()["items"]] == ["0310000002"]
    assert auditor.get("/licenses", state="overdrawn").json()["count"] == 1


def test_a_license_from_its_facts(auditor: Program) -> None:
    ExportItem.objects.filter(license__license_number=NUMBER).update(cif_fc="111302.61")
    said = auditor.get(f"/licenses/{NUMBER}").json()
    assert said["balance"]["credit_cif"] == "111302.61"
    assert said["balance"]["balance_cif"] == "111202.61"
    assert (said["stored_balance_cif"], said["pending"]) == ("9900.00", 1)
    assert said["today"] == f"{business_date()}"
    first = said["items"][0]
    assert (first["serial_number"], first["available_quantity"], first["rule"]) == (
        1, "950.000", "first item, carries the total of the license"
    )  # fmt: skip
    assert [(line["kind"], line["cif_fc"], line["balance_cif"]) for line in said["statement"]] == [
        ("credit", "111302.61", "111302.61"), ("debit", "0.00", "111302.61"), ("allotment", "100.00", "111202.61"),
    ]  # fmt: skip


def test_finding(auditor: Program) -> None:
    said = auditor.get("/find", item="sugar", quantity="5000", unit_price="2", limit=3).json()
    assert len(said["items"]) == 3
    assert said["items"][0]["can_take"] == "950.000"
    assert said["values"].keys() == {"USD", "EUR"}
    assert Decimal(said["quantities"]["KGS"]) == sum(
        Decimal(row["available_quantity"]) for row in auditor.get("/find", item="sugar").json()["items"]
    )
    assert "There is no norm E99" in auditor.get("/find", norm="E99").json()["detail"]
    assert "names no item" in auditor.get("/find", item="%").json()["detail"]
    assert auditor.get("/find").json()["count"] == auditor.get("/find", item="sugar").json()["count"]


def test_a_proposal_is_of_one_currency_and_reserves_nothing(operator: Program) -> None:
    wish = {"item": "sugar", "quantity": "1500", "unit_price": "5"}
    refused = operator.post("/proposals", wish)
    assert (refused.status_code, refused.json()["detail"]) == (
        409, "A proposal is of one unit and one currency: choose among KGS, EUR, USD."
    )  # fmt: skip
    said = operator.post("/proposals", {**wish, "currency": "USD"}).json()
    assert [(share["serial_number"], share["quantity"], share["cif_fc"]) for share in said["shares"]] == [
        (1, "950.000", "4750.00"), (2, "550.000", "2750.00"),
    ]  # fmt: skip
    assert {share["license_number"] for share in said["shares"]} == {"0310000005"}
    assert said["missing"] == "0.000"
    assert operator.post("/proposals", {**wish, "item": "uranium"}).json() == {"shares": [], "missing": "1500.000"}
    assert AllotmentLine.objects.filter(cif_fc__gt=100).count() == 0


def test_allotting_reserves_what_there_is_and_once(operator: Program) -> None:
    key = f"{uuid4()}"
    answers = [operator.post("/allotments", {**NEW, "key": key}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    made = answers[0].json()
    assert (made["company"], made["is_reserving"], made["required_quantity"]) == ("Pune Mills", True, "10.000")
    assert made["lines"] == [
        {"license_number": NUMBER, "serial_number": 1, "quantity": "1.500", "cif_fc": "20.25", "currency": "USD"}
    ]
    drain()
    assert LicenseBalance.objects.get(license__license_number=NUMBER).balance_cif == Decimal("9879.75")
    more = operator.post(f"/allotments/{made['id']}/lines", SHARES).json()
    assert more["lines"][0]["quantity"] == "3.000"
    assert list(Allotting.objects.values_list("allotted_by", flat=True)) == ["operator", "operator"]
    assert operator.post(f"/allotments/{made['id']}/lines", {**SHARES, "shares": []}).status_code == 422
    assert operator.post(f"/allotments/{made['id']}/give-up", {}).json()["is_reserving"] is False
    refused = operator.post(f"/allotments/{made['id']}/lines", SHARES)
    assert refused.status_code == 409
    assert operator.get(f"/allotments/{made['id']}").json()["is_reserving"] is False


def test_what_overdraws_is_refused_and_confirmed_only_by_who_may(operator: Program, as_one_of: As) -> None:
    too_much = {**NEW, "required_quantity": "0", "shares": [{**SHARES["shares"][0], "cif_fc": "9999.99"}]}
    refused = operator.post("/allotments", too_much)
    said = refused.json()
    assert (refused.status_code, said["type"]) == (409, "overdraws")
    assert said["overdraws"] == [
        f"License {NUMBER}: balance USD 9,900.00 left, this entry takes 9,999.99 more: it would be overdrawn by 99.99."
    ]
    confirmed = {**too_much, "confirmation": said["confirmation"]}
    assert operator.post("/allotments", confirmed).status_code == 409
    assert not Overdraw.objects.exists()
    assert as_one_of("administrator").post("/allotments", confirmed).status_code == 201
    assert [each.confirmed_by for each in Overdraw.objects.all()] == ["administrator"]


def test_what_is_not_there_is_said(operator: Program) -> None:
    for path in ("/licenses/99", "/allotments/99", "/runs/99/drift", "/nonsense", "/licenses/"):
        answer = operator.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json"), path
    wrong = operator.post("/allotments", {**NEW, "company_iec": "ABCDE1234F"})
    assert (wrong.status_code, wrong.json()["detail"]) == (
        409, "There is no company with the IEC ABCDE1234F: enter it first."
    )  # fmt: skip
    share = {**SHARES["shares"][0], "serial_number": 9}
    assert operator.post("/allotments", {**NEW, "shares": [share]}).status_code == 409
    assert not Allotment.objects.filter(item_name="sugar").exists()
    errors = operator.post("/allotments", {**NEW, "required_quantity": "-1"}).json()["errors"]
    assert [error["where"] for error in errors] == ["body.new.required_quantity"]


def test_what_is_asked_by_another_name_is_not_passed_over(auditor: Program) -> None:
    of_a_license = f"/licenses/{NUMBER}"
    for path, misspelt in (("/changes", "since"), ("/as-of", "date"), (of_a_license, "until"), ("/pending", "x")):
        answer = auditor.get(path, **{misspelt: "1"})
        assert answer.status_code == 422, path
        assert answer.json()["errors"] == [{"where": f"query.{misspelt}", "message": "There is no such parameter"}]


def test_what_is_refused_before_any_operation_is_told_so_too(auditor: Program) -> None:
    refused = auditor.post("/changes", {})
    assert (refused.status_code, refused["Allow"], refused["Content-Type"]) == (405, "GET", "application/problem+json")
    assert Program().get("/changes")["WWW-Authenticate"] == "Bearer"


def test_the_system(auditor: Program) -> None:
    assert auditor.get("/pending").json()["quarantined"] == 1
    [run] = auditor.get("/runs").json()["items"]
    assert run["findings"]["overdrawn"] == 1
    found = auditor.get("/runs/1/findings", kind="overdrawn").json()["items"]
    assert [(row["license_number"], row["amount"], row["words"]) for row in found] == [
        ("0310000008", "2500.50", "USD 2,500.50 more used than was earned")
    ]
    assert auditor.get("/runs/1/findings", kind="x").status_code == 422
    sql("INSERT INTO reconcile_drift (run_id, chunk_id, license_id, license_number, field, stored, expected, cause) "
        "SELECT 1, 1, g, g, 'balance_cif', '1.00', '2.00', 'unknown' FROM generate_series(1, 3) AS g")  # fmt: skip
    drift = auditor.get("/runs/1/drift", limit=2).json()
    assert (len(drift["items"]), drift["count"] >= 3) == (2, True)
    assert drift["items"][0]["evidence"] == ""


def test_a_list_asks_a_handful_however_much_it_shows(auditor: Program) -> None:
    def asked(limit: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            for path, query in (("/licenses", {}), ("/find", {"item": "sugar"}), ("/runs", {})):
                assert auditor.get(path, limit=limit, **query).status_code == 200
        return len(queries)

    auditor.get("/licenses")
    assert asked(12) == asked(2) <= 30


# ── What is documented ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("examples", [5, pytest.param(25, marks=pytest.mark.long)])
def test_whatever_is_asked_is_answered_as_documented(mode: GenerationMode, examples: int, as_one_of: As) -> None:
    """By anything that the schema allows, and by anything that it does not: no server error, nothing undocumented."""
    program = as_one_of("administrator")
    token = {"Authorization": f"Bearer {program.secret}"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application(), headers=token)
    asked = 0
    for operation in (each.ok() for each in schema.get_all_operations()):

        @given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis_settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Case) -> None:
            nonlocal asked
            asked += 1
            # of a parameter that is given twice the last counts: that is no array, and no mistake
            case.call_and_validate(headers=token, excluded_checks=[negative_data_rejection])

        with suppress(Unsatisfiable):
            ask()
    assert asked > 10 * examples
