"""The pages of the night: what runs found is shown as their report has it, and who may asks for one."""

import csv
import io
import json
import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib import import_module

import pytest
import redis
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from desk import night as pages
from desk.models import RunRequest
from ledger.engine import drain
from license.clock import business_date
from license.models import ExportItem, ImportItem, License
from license.tasks import sync_all_licenses
from reconcile import night
from reconcile.models import FindingKind, ReconciliationRun, RunTrigger
from reconcile.report import gather, headline, warnings, words
from reconcile.report_files import as_csv, as_json
from servers import Servers
from tests.acceptance.conftest import until
from tests.conftest import one, sql
from tests.web.conftest import LogIn, read

pytestmark = pytest.mark.usefixtures("database")

LIST = "/reconciliation/"
RUN_NOW = "/reconciliation/run-now/"


@pytest.fixture
def auditor(log_in: LogIn) -> Client:
    return log_in("auditor")


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


@pytest.fixture
def licenses(database: None) -> None:
    """Five of 1000.00: one expires tomorrow, one is overdrawn."""
    for n in range(1, 6):
        license = License.objects.create(license_number=f"{n:010}", license_date="2026-01-01")
        ExportItem.objects.create(license=license, cif_fc=1000)
        ImportItem.objects.create(license=license, serial_number=1, quantity=100)
    License.objects.filter(pk=4).update(license_expiry_date=business_date() + timedelta(days=1))
    sql("INSERT INTO ledger_billofentry (number) VALUES ('1')")
    sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (1, 5, 1250.50)")
    drain()


def tamper(statement: str) -> None:
    """Write a balance by hand, as somebody does who means it."""
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql(statement)


def run() -> ReconciliationRun:
    call_command("sync_licenses", stdout=io.StringIO())
    return ReconciliationRun.objects.latest("pk")


def page_of(run: ReconciliationRun) -> str:
    return f"{LIST}{run.pk}/"


# ── What runs found ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_run_is_listed_the_newest_first(auditor: Client, licenses: None) -> None:
    run()
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id <= 2")
    run()
    sql("UPDATE reconcile_reconciliationrun SET started_at = '2026-11-22T18:30:00Z', finished_at = "
        "'2026-11-22T18:30:12.345Z', licenses_checked = 100000, licenses_repaired = 1 WHERE id = 2")  # fmt: skip
    sql("UPDATE reconcile_reconciliationrun SET status = 'incomplete' WHERE id = 1")
    shown = read(auditor.get(LIST))
    today = f"{business_date():%d %b %Y}"
    rows = shown.rows()
    assert rows[0] == [today, "00:00:00", "by hand", "12.3 s", "1,00,000", "2", "1", "0", "complete"]
    assert (rows[1][0], rows[1][2], rows[1][4:]) == (today, "the night", ["5", "0", "0", "0", "incomplete"])
    assert [a.get("href") for a in shown.tree.xpath("//tbody//a")] == ["/reconciliation/2/", "/reconciliation/1/"]
    # the oldest of the chart stands to the left; its numbers are in the table
    bars = shown.texts("//*[@role='img']//*[local-name()='title']")
    assert [re.findall(r"[0-9]+ [cdr][a-z]+ed", bar) for bar in bars] == [
        ["5 checked", "0 drifted", "0 repaired"], ["100000 checked", "2 drifted", "1 repaired"]
    ]  # fmt: skip


def test_the_list_goes_on_page_by_page(auditor: Client) -> None:
    sql("INSERT INTO reconcile_reconciliationrun (business_date, trigger, status, finished_at, trigger_faults, "
        "licenses_drifted) SELECT date '2026-01-01' + g, 'night', 'complete', now(), '[]', g "
        "FROM generate_series(1, 60) AS g")  # fmt: skip
    first, second = (read(auditor.get(LIST, {"page": page})) for page in (1, 2))
    assert [int(row[5]) for row in first.rows() + second.rows()] == list(range(60, 0, -1))
    bars = first.texts("//*[@role='img']//*[local-name()='title']")
    assert [int(re.search(r"(\d+) drifted", bar)[1]) for bar in bars] == list(range(31, 61))
    assert not second.tree.xpath("//*[@role='img']")
    assert first.text("//caption") == "60 runs, page 1 of 2"


def test_before_the_first_night(auditor: Client) -> None:
    shown = read(auditor.get(LIST))
    assert "There has been none yet." in shown.text("//p[@class='empty']")
    assert not shown.tree.xpath("//*[@role='img']")


def test_a_run_is_shown_as_its_report_has_it(auditor: Client, licenses: None) -> None:
    run()
    tamper("UPDATE ledger_licensebalance SET balance_cif = 111302.61 WHERE license_id = 2")
    tamper("DELETE FROM ledger_importitembalance WHERE license_id = 3")
    newest = run()
    sql("UPDATE reconcile_reconciliationrun SET mail_error = 'refused <b>' WHERE id = 2")
    newest.refresh_from_db()
    report = gather(newest)
    shown = read(auditor.get(page_of(newest)))
    text = shown.text("//main")
    assert headline(report) in text
    assert shown.texts("//*[@role='alert']") == warnings(report) == ["This report could not be mailed: refused <b>"]
    assert shown.links("//p[@class='asof']/a") == {
        f"night of {business_date():%d %b %Y}": "/reconciliation/1/",
        "CSV": "/reconciliation/2/report.csv", "JSON": "/reconciliation/2/report.json",
    }  # fmt: skip
    said = [f"edited directly: {row.told}" for row in report.drift]
    assert said[0].startswith("edited directly: UPDATE of license balances, ")
    assert shown.rows("//*[@aria-labelledby='drift']//tbody/tr") == [
        ["0000000002", "", "balance_cif", "1,11,302.61", "1,000.00", said[0], "repaired"],
        ["0000000003", "1", "row", "missing", "present", said[1], "repaired"],
    ]
    assert "By cause: edited directly 2." in text
    for number, section in enumerate(report.sections, 1):
        assert shown.text(f"//*[@id='findings-{number}']") == f"{section.title} ({section.count})"
        assert [row[2] for row in shown.rows(f"//*[@aria-labelledby='findings-{number}']//tbody/tr")] == [
            words(finding, newest.business_date) for finding in section.findings
        ]
    assert [section.kind for section in report.sections] == ["overdrawn", "expiring", "norm unknown"]
    assert "1 within 7 days, 1 within 30 days, 1 within 60 days." in text
    assert not shown.tree.xpath("//@style | //style")


@pytest.fixture
def many(licenses: None) -> ReconciliationRun:
    """A night with 5,003 differences, and 120 findings of each kind."""
    newest = run()
    sql("INSERT INTO reconcile_drift (run_id, chunk_id, license_id, license_number, serial_number, field, stored, "
        "expected, cause) SELECT 1, 1, g, lpad(g::text, 10, '0'), 1, 'available_value', '1.00', '2.00', "
        "CASE WHEN g <= 3 THEN 'unknown' ELSE 'expiry' END FROM generate_series(1, 13) AS g")  # fmt: skip
    sql("INSERT INTO reconcile_drift (run_id, chunk_id, license_id, field, stored, expected, cause) "
        "SELECT 1, 1, g, 'row', 'present', 'missing', 'change lost' FROM generate_series(1, 5000) AS g")  # fmt: skip
    sql("DELETE FROM reconcile_finding")
    details = {
        "percentage": "5", "norm": "E1", "limit": "1.00", "used": "2.00", "serial_numbers": [1], "attempts": 1,
        "error": "x", "bill_of_entry": "1", "date": None, "port": "", "disputed_since": "2026-01-01",
        "allotment_id": 1, "company": "y", "by": "z", "bills_of_entry": ["1"], "earlier_balance_cif": "",
        "their_bill_of_entry": "2", "their_date": None, "their_port": None, "customs_balance_cif": "1.00",
        "totals": "1.00", "entitlement": "0.00", "edited": "0.00",
    }  # fmt: skip
    for kind in FindingKind:
        sql("INSERT INTO reconcile_finding (run_id, kind, license_id, license_number, currency, expiry_date, amount, "
            "details) SELECT 1, %s, g, lpad(g::text, 10, '0'), 'USD', date '2027-01-01' + g, g, %s "
            "FROM generate_series(1, 120) AS g", kind, json.dumps(details))  # fmt: skip
    newest.finding_counts = dict.fromkeys(FindingKind, 120)
    newest.save()
    return newest


def test_a_run_that_found_much_is_shown_in_part_with_a_handful_of_queries(
    auditor: Client, many: ReconciliationRun
) -> None:
    auditor.get(page_of(many))
    with CaptureQueriesContext(connection) as queries:
        response = auditor.get(page_of(many))
    assert len(queries) == 10 + len(FindingKind)
    assert len(response.content) < 250_000
    shown = read(response)
    assert len(shown.rows("//*[@aria-labelledby='drift']//tbody/tr")) == 50
    assert "By cause: change lost 5,000, unknown 3." in shown.text("//main")
    links = shown.links()
    assert read(auditor.get(links["All 5,003 differences"])).text("//caption") == "5,003 differences, page 1 of 101"
    unknown = read(auditor.get(page_of(many) + links["unknown"].removeprefix(page_of(many))))
    assert [row[:3] for row in unknown.rows()] == [[f"{n:010}", "1", "available_value"] for n in (1, 2, 3)]
    assert unknown.text("//h1") == "Drift: unknown"
    last = read(auditor.get(links["All 5,003 differences"], {"page": 101}))
    assert [row[0] for row in last.rows()] == ["0000000001", "0000000002", "0000000003"]
    gone = read(auditor.get(links["All 5,003 differences"]))
    assert gone.rows()[0][0] == "id 1, gone"
    for kind in FindingKind:
        rest = read(auditor.get(f"{page_of(many)}findings/{kind}/", {"page": 3}))
        assert (len(rest.rows()), rest.text("//h1")) == (20, kind.label)
        assert f"{page_of(many)}findings/{kind.replace(' ', '%20')}/" in shown.tree.xpath("//main//a/@href")


def test_lists_of_a_run_ask_a_handful(auditor: Client, many: ReconciliationRun) -> None:
    for address in (LIST, f"{page_of(many)}drift/", f"{page_of(many)}findings/overdrawn/"):
        auditor.get(address)
        with CaptureQueriesContext(connection) as queries:
            auditor.get(address)
        assert len(queries) <= 7, address


def test_the_report_as_a_file_is_the_one_of_the_command(
    auditor: Client, many: ReconciliationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_file = auditor.get(f"{page_of(many)}report.csv")
    assert as_file.streaming
    assert as_file.getvalue().decode() == as_csv(gather(many))
    assert as_file.headers["Content-Disposition"] == (
        f'attachment; filename="reconciliation-{many.business_date}-1.csv"'
    )
    assert json.loads(auditor.get(f"{page_of(many)}report.json").content) == json.loads(as_json(gather(many)))
    monkeypatch.setattr(pages, "MOST_IN_JSON", 6_000)
    assert "JSON" not in read(auditor.get(page_of(many))).links()
    assert auditor.get(f"{page_of(many)}report.json").status_code == 404


def test_a_file_is_safe_to_open(auditor: Client, many: ReconciliationRun) -> None:
    sql("UPDATE reconcile_drift SET stored = '=1+1' WHERE license_number = '0000000001'")
    rows = csv.DictReader(io.StringIO(auditor.get(f"{page_of(many)}report.csv").getvalue().decode()))
    assert [row["stored"] for row in rows if row["license_number"] == "0000000001" and row["kind"] == "drift"] == [
        "'=1+1"
    ]


@pytest.mark.parametrize("rest", ["", "drift/", "findings/overdrawn/", "report.csv", "report.json"])
def test_a_run_that_there_is_not(rest: str, auditor: Client) -> None:
    assert auditor.get(f"{LIST}7/{rest}").status_code == 404


def test_what_makes_no_sense(auditor: Client, many: ReconciliationRun) -> None:
    for address in ("findings/drift/", "report.exe", "report.CSV"):
        assert auditor.get(page_of(many) + address).status_code == 404
    for query in ({"cause": "\0"}, {"cause": "expiry' --"}, {"page": "x"}):
        assert read(auditor.get(f"{page_of(many)}drift/", query)).text("//caption").startswith("5,003 differences")


def test_what_is_no_longer_kept_is_said(auditor: Client, many: ReconciliationRun) -> None:
    sql("TRUNCATE reconcile_drift, reconcile_finding")
    sql("UPDATE reconcile_reconciliationrun SET licenses_drifted = 5003")
    shown = read(auditor.get(page_of(many)))
    assert shown.texts("//p[@class='empty']") == [
        "What differed is no longer kept.",
        *("No longer kept." for _ in FindingKind),
    ]


def test_what_stands_in_the_data_is_text(auditor: Client, many: ReconciliationRun) -> None:
    hostile = "<script>alert('1')</script>\"><img src=x>"
    sql("UPDATE reconcile_drift SET stored = %s, field = %s, cause = %s", hostile, hostile, hostile)
    sql("UPDATE reconcile_drift SET license_number = %s", "<img a='\">")
    evidence = {"table": hostile, "statement_id": 1, "at": "2026-01-01T00:00:00+00:00", "operation": "UPDATE"}
    evidence |= dict.fromkeys(("user", "via", "role", "application", "statement"), hostile)
    sql("UPDATE reconcile_drift SET evidence = %s", json.dumps(evidence))
    for rest in ("", "drift/?cause=" + hostile, "findings/overdrawn/"):
        assert b"<img" not in auditor.get(page_of(many) + rest).content


# ── One that is wanted now ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def asked(live_servers: Servers) -> Generator[Callable[[], int]]:
    """How many workers have been asked."""
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("reconcile")
        yield lambda: broker.llen("reconcile")
        broker.delete("reconcile")


def poll(client: Client, address: str = RUN_NOW) -> object:
    return client.get(address, headers={"HX-Request": "true"})


def long_ago() -> None:
    """All runs have begun a while ago."""
    sql("UPDATE reconcile_reconciliationrun SET started_at = started_at - interval '11 seconds'")


def test_only_those_who_may_can_ask(log_in: LogIn, asked: Callable[[], int]) -> None:
    for role, status in (("viewer", 403), ("auditor", 403), ("operator", 302), ("administrator", 302)):
        client = log_in(role)
        RunRequest.objects.all().delete()
        assert client.post(RUN_NOW).status_code == status, role
        if role != "viewer":
            assert bool(read(client.get(LIST)).tree.xpath("//form[@method='post']//button[.='Run now']")) is (
                status == 302
            )
    assert asked() == 2


def test_groups_of_an_older_version_may_ask_too(database: None) -> None:
    may_ask = Permission.objects.filter(codename="add_reconciliationrun")
    may_ask.delete()
    import_module("desk.migrations.0003_run_now").allow(apps, connection.schema_editor())
    assert sorted(Group.objects.filter(permissions__in=may_ask).values_list("name", flat=True)) == [
        "administrator",
        "operator",
    ]


def test_a_form_from_elsewhere_asks_nobody(operator: Client, asked: Callable[[], int]) -> None:
    operator.handler.enforce_csrf_checks = True
    assert operator.post(RUN_NOW).status_code == 403
    assert asked() == 0


def test_from_the_button_to_the_report(operator: Client, licenses: None, asked: Callable[[], int]) -> None:
    run()
    long_ago()
    response = operator.post(RUN_NOW)
    assert (response.status_code, response.url, asked()) == (302, RUN_NOW, 1)
    assert "A worker has been asked" in read(operator.get(RUN_NOW)).text("//*[@id='live']")
    assert "HX-Redirect" not in poll(operator).headers
    assert operator.post(RUN_NOW).url == RUN_NOW
    assert asked() == 1  # nobody is asked twice
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 2")
    # what a worker does, stopped after its first chunk
    second = night.start(RunTrigger.MANUAL, batch_size=2)
    assert poll(operator).headers["HX-Redirect"] == page_of(second)
    assert operator.get(RUN_NOW).url == operator.post(RUN_NOW, follow=True).redirect_chain[-1][0] == page_of(second)
    night.take_chunk(second)
    shown = read(operator.get(page_of(second)))
    assert "2 of 5 licenses checked" in shown.text("//*[@id='live']")
    [address] = shown.tree.xpath("//*[@id='live']/@hx-get")
    assert "2 of 5 licenses checked" in read(poll(operator, address)).text("//*[@id='live']")
    night.work(second)
    assert poll(operator, address).headers["HX-Refresh"] == "true"
    assert "5 licenses checked, 1 drifted, 1 repaired" in read(operator.get(address)).text("//main")
    assert asked() == 1


def test_a_worker_is_asked_for_the_night_and_not_for_long(
    operator: Client, asked: Callable[[], int], live_servers: Servers
) -> None:
    operator.post(RUN_NOW)
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        headers = json.loads(broker.lindex("reconcile", 0))["headers"]
    assert headers["task"] == "license.tasks.sync_all_licenses"
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")
    lasts = datetime.fromisoformat(headers["expires"]) - timezone.now()
    assert timedelta(seconds=50) < lasts <= timedelta(seconds=60)


def test_when_no_worker_comes_it_is_said_and_one_may_ask_again(operator: Client, asked: Callable[[], int]) -> None:
    operator.post(RUN_NOW)
    sql("UPDATE desk_runrequest SET asked_at = '2026-11-22T18:31:05Z'")
    said = read(poll(operator)).text("//*[@id='done']//*[@role='alert']")
    assert said.startswith("A run was asked for on 23 Nov 2026 at 00:01:05.")
    assert "is a worker up?" in said
    assert operator.post(RUN_NOW).status_code == 302
    assert asked() == 2
    run()
    long_ago()
    assert not read(operator.get(RUN_NOW)).tree.xpath("//*[@role='alert']")


def test_what_one_has_asked_for_is_everybodys(log_in: LogIn, licenses: None, asked: Callable[[], int]) -> None:
    first, second = log_in("operator"), log_in("administrator")
    first.post(RUN_NOW)
    assert "A worker has been asked" in read(second.post(RUN_NOW, follow=True)).text("//*[@id='live']")
    assert asked() == 1
    begun = run()
    for client in (first, second):
        assert poll(client).headers["HX-Redirect"] == page_of(begun)
    assert second.post(RUN_NOW, follow=True).redirect_chain[-1][0] == page_of(begun)  # it has just begun
    assert asked() == 1
    long_ago()
    assert poll(first).headers["HX-Redirect"] == page_of(begun)  # a window that was not looked at
    second.post(RUN_NOW)
    assert asked() == 2


@pytest.mark.parametrize("is_first_time", [True, False])
def test_of_two_who_ask_at_once_one_asks_a_worker(
    is_first_time: bool, log_in: LogIn, asked: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_first_time:
        RunRequest.objects.create(asked_at="2026-11-22T18:31:05Z", newest_run=0)
    send = sync_all_licenses.apply_async
    sent = []

    def when_the_other_has_come(**options: object) -> None:
        """Sends when somebody else waits for the lock, or, where there is none, wants to send too."""
        sent.append(options)
        until(lambda: len(sent) == 2 or one("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1, "the other comes")
        send(**options)

    def ask(client: Client) -> object:
        try:
            return client.post(RUN_NOW)
        finally:
            connection.close()

    monkeypatch.setattr(sync_all_licenses, "apply_async", when_the_other_has_come)
    with ThreadPoolExecutor(2) as people:
        answers = list(people.map(ask, [log_in("operator"), log_in("administrator")]))
    assert [(answer.status_code, answer.url) for answer in answers] == [(302, RUN_NOW)] * 2
    assert asked() == 1


def test_when_the_broker_is_away_who_comes_next_asks(
    operator: Client, asked: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise BrokerError

    monkeypatch.setattr(sync_all_licenses, "apply_async", refuse)
    assert operator.post(RUN_NOW).status_code == 503
    monkeypatch.undo()
    operator.post(RUN_NOW)
    assert asked() == 1


def test_when_the_broker_is_away_it_is_said_and_nothing_is_waited_for(operator: Client, live_servers: Servers) -> None:
    live_servers.redis.stop()
    try:
        response = operator.post(RUN_NOW)
    finally:
        live_servers.redis.start()
    assert response.status_code == 503
    assert b"the broker (Redis) does not answer" in response.content
    assert "A worker has been asked" not in read(operator.get(RUN_NOW)).text("//main")


def test_asking_is_explained_to_those_who_come_by_the_address(operator: Client) -> None:
    shown = read(operator.get(RUN_NOW))
    assert shown.tree.xpath("//main//form[@method='post' and @action=$there]//button", there=RUN_NOW)
    assert not shown.tree.xpath("//*[@hx-get]")
