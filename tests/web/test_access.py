"""Who may see which page, how they get in, and what a browser is told to be careful about."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from axes.helpers import get_client_ip_address
from django.contrib.auth.models import Group, Permission, User
from django.core.checks import run_checks
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from lxml import html
from pytest_django import Settings

from django_setup import BACKEND
from ledger.engine import drain
from ledger.models import Settlement
from license.clock import business_date
from license.models import License, Port
from reconcile.models import ReconciliationRun
from tests.conftest import sql
from tests.web.conftest import Kind, LogIn, make, read

pytestmark = pytest.mark.usefixtures("database")

LOGIN, REFUSED, SHOWN, UNSAID, NOT_SO = "login", 403, 200, 400, 405
EVERYBODY = ("", "viewer", "operator", "auditor", "administrator")
MEMBERS = dict.fromkeys(EVERYBODY[1:], SHOWN) | {"": REFUSED, "anonymous": LOGIN}
WATCHERS = MEMBERS | {"viewer": REFUSED}
FILES = (
    "licenses_csv", "licenses_xlsx", "balance_sheet_pdf", "balance_sheet_xlsx", "balance_sheets_pdf",
    "balance_sheets_xlsx",
)  # fmt: skip
PAGES = {
    "home": MEMBERS,
    "licenses": MEMBERS,
    "license": MEMBERS,
    "bills_of_entry": MEMBERS,
    "bill_of_entry": MEMBERS,
    "allotments": MEMBERS,
    "allotment": MEMBERS,
    "allotment_pdf": MEMBERS,
    "allot": MEMBERS | {"viewer": REFUSED, "auditor": REFUSED},
    "find": MEMBERS,
    **dict.fromkeys(("find_csv", "find_xlsx"), MEMBERS | dict.fromkeys(EVERYBODY[1:], UNSAID)),  # what
    "items": MEMBERS,
    "items_xlsx": MEMBERS | dict.fromkeys(EVERYBODY[1:], UNSAID),  # of which norm
    "forecast": MEMBERS,
    "give_up": MEMBERS | {"viewer": REFUSED, "auditor": REFUSED},
    "ledgers": WATCHERS,
    "upload": WATCHERS,
    "uploaded_license": WATCHERS,
    **dict.fromkeys(("matches", "mismatch", "settled"), WATCHERS),
    **dict.fromkeys(("trail", "trail_statement", "trail_csv", "license_trail", "license_trail_csv"), WATCHERS),
    **dict.fromkeys(("as_of", "as_of_csv", "license_as_of", "license_as_of_pdf", "license_as_of_xlsx"), WATCHERS),
    "runs": WATCHERS,
    "run": WATCHERS,
    "drift": WATCHERS,
    "findings": WATCHERS,
    "report_file": WATCHERS,
    "run_now": WATCHERS | {"auditor": REFUSED},
    **dict.fromkeys(FILES, MEMBERS),
    "login": dict.fromkeys(EVERYBODY, "home") | {"anonymous": SHOWN},
    "logout": dict.fromkeys(EVERYBODY, NOT_SO) | {"anonymous": LOGIN},  # only ever posted
}
"""What becomes of a GET, by page and role: a status, or the page that it leads to."""
OF_A_LICENSE = (
    "license", "balance_sheet_pdf", "balance_sheet_xlsx", "license_trail", "license_trail_csv", "license_as_of",
    "license_as_of_pdf", "license_as_of_xlsx",
)  # fmt: skip
ADDRESSES = {
    **{name: ["0310000001"] for name in OF_A_LICENSE},
    "trail_statement": [1],
    **{name: [1] for name in ("bill_of_entry", "allotment", "allotment_pdf", "give_up", "run", "drift")},
    "findings": [1, "overdrawn"],
    "report_file": [1, "csv"],
    "upload": [1],
    "mismatch": ["disputed", 1, 1],
    "uploaded_license": [1, 1],
}
PASSWORD = "a long one for 2026"  # noqa: S105


@pytest.fixture
def license() -> License:
    license = make("0310000001", Kind("active"), Port.objects.create(code="INNSA1"))
    drain()
    sql("INSERT INTO ledger_upload (form, uploaded_by, state) VALUES (gen_random_uuid(), 'meera', 'previewed')")
    sql("INSERT INTO ledger_uploadfile (upload_id, name, size) VALUES (1, 'ledger.csv', 1)")
    sql("INSERT INTO ledger_uploadedlicense (file_id, is_loaded, license_number, line, status, notes, counts, changes) "
        "VALUES (1, false, '0310000001', 1, 'unchanged', '[]', '{}', '[]')")  # fmt: skip
    Settlement.objects.create(
        kind="disputed", license=license, subject_id=1, is_kept=True, sentence="It stands.", settled_by="meera"
    )
    begun = timezone.now() - timedelta(minutes=1)
    ReconciliationRun.objects.create(
        business_date=business_date(), status="complete", started_at=begun, finished_at=timezone.now()
    )
    return license


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace not in ("entry", "api-1", "monitor"):  # which have tables of their own
                yield from names(pattern.url_patterns)
        else:
            yield str(pattern.name)


def test_the_table_has_every_page() -> None:
    assert sorted(names(get_resolver().url_patterns)) == sorted(PAGES)


@pytest.mark.parametrize("role", ["anonymous", *EVERYBODY])
def test_who_may_see_which_page(role: str, log_in: LogIn, license: License) -> None:
    client = log_in(role)
    for page, wanted in PAGES.items():
        address = reverse(page, args=ADDRESSES.get(page))
        with closing(client.get(address)) as response:
            leads_to = {LOGIN: f"{reverse('login')}?next={address}", "home": reverse("home")}.get(wanted[role])
            got = (response.status_code, response.headers.get("Location"))
            assert got == ((302, leads_to) if leads_to else (wanted[role], None)), page


def test_the_groups_may_do_what_they_are_for() -> None:
    may = {
        group.name: {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.all()}
        for group in Group.objects.prefetch_related("permissions__content_type")
    }
    assert set(may) == {"viewer", "operator", "auditor", "administrator"}
    assert all(permission.split(".")[1].startswith("view_") for permission in may["viewer"] | may["auditor"])
    assert "reconcile.view_drift" in may["auditor"] - may["viewer"]
    assert {"ledger.add_billofentry", "license.change_license"} <= may["operator"]
    assert not [permission for permission in may["operator"] if ".delete_" in permission or "auth." in permission]
    assert {"auth.add_user", "license.delete_license"} <= may["administrator"]
    for permissions in may.values():  # the engine's alone
        assert not {p for p in permissions if "balance" in p and not p.split(".")[1].startswith("view_")}
    assert Permission.objects.filter(codename="add_billofentry").exists()


def test_the_system_is_shown_to_those_who_look_after_it(log_in: LogIn) -> None:
    assert "Are the balances right?" not in log_in("viewer").get("/").content.decode()
    assert "No change is pending" in log_in("auditor").get("/").content.decode()


def test_a_poll_asks_a_handful(viewer: Client, license: License) -> None:
    state = read(viewer.get("/licenses/0310000001/")).tree.xpath("//*[@id='live']/@hx-get")[0]
    with CaptureQueriesContext(connection) as queries:
        assert viewer.get(state, headers={"HX-Request": "true"}).status_code == 204
    assert len(queries) <= 6


@pytest.mark.parametrize(
    "address",
    [
        "/nothing/", "/licenses/0000000000/", "/licenses/%00/", "/licenses/0310000001", "/licenses/%F0%9F%98%80/",
        "/bills-of-entry/2/", "/bills-of-entry/99999999999999999999/", "/allotments/2/",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_to_be_missing(address: str, viewer: Client) -> None:
    response = viewer.get(address, follow=True)
    assert response.status_code == 404
    assert "There is nothing at this address" in response.content.decode()


def test_what_is_refused_says_whom_to_ask(log_in: LogIn) -> None:
    assert "An administrator can put it into a group" in log_in("").get("/").content.decode()


def test_pages_are_read_and_not_written(viewer: Client) -> None:
    for page in ("/", "/licenses/", "/licenses/1/", "/bills-of-entry/1/", "/allotments/1/", "/reconciliation/1/drift/",
                 "/find/", "/find.csv", "/allotments/1/sheet.pdf"):  # fmt: skip
        assert viewer.post(page).status_code == 405


# ── Getting in and out ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def person(log_in: LogIn) -> User:
    user = User.objects.create_user("meera", password=PASSWORD)
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def try_password(client: Client, password: str, **more: str) -> object:
    return client.post("/login/", {"username": "meera", "password": password, **more})


def test_logging_in_and_out(person: User) -> None:
    client = Client()
    wrong = try_password(client, "wrong")
    assert "correct username and password" in read(wrong).text("//*[@role='alert']")
    assert client.get("/").status_code == 302
    assert try_password(client, PASSWORD, next="/licenses/?q=7").url == "/licenses/?q=7"
    assert client.get("/").status_code == 200
    assert client.get("/logout/").status_code == 405
    assert client.get("/").status_code == 200
    assert client.post("/logout/").url == "/login/"
    assert client.get("/").status_code == 302


def test_a_form_from_elsewhere_is_refused(person: User) -> None:
    assert try_password(Client(enforce_csrf_checks=True), PASSWORD).status_code == 403


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_the_login_leads_nowhere_else(elsewhere: str, person: User) -> None:
    assert try_password(Client(), PASSWORD, next=elsewhere).url == "/"


def test_who_guesses_is_locked_out_and_nobody_else(person: User) -> None:
    client = Client()
    assert [try_password(client, f"guess {n}").status_code for n in range(5)] == [200] * 4 + [429]
    response = try_password(client, PASSWORD)
    assert response.status_code == 429
    assert "desk/locked.html" in [template.name for template in response.templates]
    assert "too many wrong passwords" in response.content.decode()
    assert client.get("/").status_code == 302
    # the person herself, elsewhere, and somebody else from there
    elsewhere = Client(REMOTE_ADDR="10.0.0.9")
    assert try_password(elsewhere, PASSWORD).status_code == 302
    User.objects.create_user("arjun", password=PASSWORD)
    assert client.post("/login/", {"username": "arjun", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(
    ("proxy", "connected", "forwarded", "counted"),
    [
        ("", "10.0.0.9", "1.2.3.4", "10.0.0.9"),  # never believed, unless somebody said so
        ("127.0.0.1", "127.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # the first is what a client made up
        ("127.0.0.1", "127.0.0.1", "6.6.6.6,2001:DB8::1 ", "2001:db8::1"),
        ("127.0.0.1", "10.0.0.9", "1.2.3.4", "10.0.0.9"),  # past the proxy
        ("127.0.0.1", "127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "1.2.3.4, unknown", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "1.2.3.4,", "127.0.0.1"),
        ("", "", "1.2.3.4", ""),  # a socket of this machine
    ],
)
def test_whose_wrong_passwords_these_are(
    proxy: str, connected: str, forwarded: str | None, counted: str, settings: Settings, rf: RequestFactory
) -> None:
    settings.TRUSTED_PROXY = proxy
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert get_client_ip_address(rf.get("/login/", REMOTE_ADDR=connected, headers=headers)) == counted


def test_behind_a_proxy_each_client_is_locked_out_alone(person: User, settings: Settings) -> None:
    settings.TRUSTED_PROXY = "127.0.0.1"
    guesser, herself = (Client(headers={"X-Forwarded-For": address}) for address in ("9.9.9.9", "1.2.3.4"))
    assert [try_password(guesser, f"guess {n}").status_code for n in range(5)] == [200] * 4 + [429]
    assert try_password(herself, PASSWORD).status_code == 302


def test_a_right_password_forgives_wrong_ones(person: User) -> None:
    client = Client()
    for _ in range(2):
        for n in range(4):
            assert try_password(client, f"guess {n}").status_code == 200
        assert try_password(client, PASSWORD).status_code == 302
        client.post("/logout/")


def test_a_page_that_refreshes_itself_is_loaded_anew_when_the_session_has_ended(license: License) -> None:
    response = Client().get("/licenses/0310000001/", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Refresh"], response.content) == (200, "true", b"")


# ── What a browser is told ────────────────────────────────────────────────────────────────────────────────────────────


def test_headers(viewer: Client, license: License) -> None:
    for client, page in ((viewer, "/"), (viewer, "/licenses/0310000001/"), (Client(), "/login/"), (viewer, "/none/")):
        headers = client.get(page, secure=True).headers
        rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'self'"
        assert {"script-src", "style-src"}.isdisjoint(rules)
        assert (rules["frame-ancestors"], rules["form-action"], rules["object-src"]) == ("'none'", "'self'", "'none'")
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Strict-Transport-Security"] == "max-age=2592000"


def test_nothing_on_a_page_needs_what_the_policy_forbids(viewer: Client, license: License) -> None:
    for page in ("/", "/licenses/", "/licenses/0310000001/", "/bills-of-entry/1/", "/allotments/1/", "/none/"):
        tree = read_any(viewer, page)
        assert not tree.xpath("//style | //script[not(@src)] | //@style | //@*[starts-with(name(), 'on')]"), page
        for address in tree.xpath("//script/@src | //link[@rel='stylesheet']/@href"):
            with closing(viewer.get(address)) as file:
                assert file.status_code == 200
            assert address.startswith("/static/")


def read_any(client: Client, page: str) -> object:
    return html.fromstring(client.get(page).content.decode())


def test_cookies_are_for_https_and_not_for_scripts(person: User) -> None:
    client = Client()
    client.get("/login/")
    try_password(client, PASSWORD)
    assert client.cookies["sessionid"]["secure"]
    assert client.cookies["sessionid"]["httponly"]
    assert client.cookies["sessionid"]["samesite"] == "Lax"
    assert client.cookies["csrftoken"]["secure"]


def outside(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, from backend/."""
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], cwd=BACKEND, env=environment, capture_output=True, text=True)


def test_without_https_cookies_go_over_http_too() -> None:
    code = (
        "import lmanagement.settings as s; print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS)"
    )
    assert outside(code, HTTPS="false").stdout == "False False 0\n"
    assert "HTTPS must be true or false" in outside(code, HTTPS="perhaps").stderr
    assert "TRUSTED_PROXY must be one address" in outside(code, TRUSTED_PROXY="10.0.0.0/8").stderr


def test_the_pages_do_not_start_without_a_key_of_the_installation() -> None:
    refused = outside("import lmanagement.wsgi", SECRET_KEY="")
    assert refused.stderr.splitlines()[-1].endswith("The pages need SECRET_KEY; docs/configuration.md says what it is.")
    assert outside("import lmanagement.wsgi", SECRET_KEY="x" * 50).returncode == 0


def test_the_style_sheet_is_served_to_everybody() -> None:
    with closing(Client().get("/static/desk/desk.css")) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/css")
        assert b"--paper" in response.getvalue()


def test_another_host_is_refused_on_a_page_like_the_others() -> None:
    response = Client().get("/login/", headers={"host": "evil.example"})
    assert response.status_code == 400
    page = html.fromstring(response.content.decode())
    assert page.xpath("//h1/text()") == ["Not understood"]
    assert page.xpath("//link[@rel='stylesheet']/@href") == ["/static/desk/desk.css"]


def test_a_form_of_somebody_who_has_logged_in_again_is_refused_in_plain_words(log_in: LogIn) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = log_in("operator").cookies
    response = client.post("/entry/license/port/add/", {"code": "INNSA1"})
    assert response.status_code == 403
    assert "Somebody has logged in or out in this browser" in response.content.decode()
    assert not Port.objects.exists()


def test_django_finds_nothing_to_complain_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "of an installation")
    messages = [message for message in run_checks(include_deployment_checks=True) if not message.is_silenced()]
    assert messages == []
