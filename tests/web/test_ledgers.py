"""Ledgers by upload: what they would change is the loader's own word, nothing is written before somebody confirms it,
and what is written then is what `import_icegate` writes."""

import io
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from desk import upload_limit
from ledger import uploads
from ledger.engine import drain
from ledger.icegate import load as loader
from ledger.icegate.ledger import Ledger
from ledger.icegate.load import AnotherLoadError, Loaded, Status, load
from ledger.icegate.parse import parse_bytes, parse_file
from ledger.models import Upload, UploadedLicense, UploadFile
from license.clock import business_date
from license.formats import day
from license.models import License as OurLicense
from reconcile.retention import delete_what_is_old
from servers import Servers
from tests.conftest import TABLES, assert_balances_follow_facts, empty_tables, one, sql
from tests.icegate.render import Bill, Item, License, csv_file, html_file, text_file
from tests.web.conftest import LogIn, Shown, read

pytestmark = pytest.mark.usefixtures("database")

LIST = "/ledgers/"
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
GOOD_SAMPLES = sorted(path for path in SAMPLES.iterdir() if path.name.startswith(("dfia", "advance")))

BILL = Bill(2, "4711", date(2026, 2, 1), "INNSA1", Decimal(10), Decimal("400.00"), Decimal("33000.00"))
GONE, BACK = (replace(BILL, number=number, cif_fc=Decimal(50), cif_inr=Decimal(0)) for number in ("4712", "4713"))
LICENSE = License(
    "0310000001",
    date(2026, 1, 1),
    "ABCDE1234F",
    Decimal("1000.00"),
    Decimal("83000.00"),
    (Item(1, Decimal("50.5"), Decimal("1000.00"), Decimal("83000.00")), Item(2, Decimal(100))),
    (BILL, GONE, BACK),
    printed_on=date(2026, 3, 1),
)
SECOND = replace(LICENSE, bills=(BILL, GONE), printed_on=date(2026, 3, 2))
NEWER = replace(
    LICENSE,
    currency="EUR",
    cif_fc=Decimal("1200.00"),
    items=(LICENSE.items[0], Item(2, Decimal(120)), Item(3, Decimal(7))),
    bills=(replace(BILL, cif_fc=Decimal("390.00")), BACK, replace(BILL, number="4714", serial_number=3)),
    printed_on=date(2026, 4, 1),
)
NEW, OLDER = (replace(LICENSE, number=number) for number in ("0310000002", "0310000003"))


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


@pytest.fixture(autouse=True)
def asked(live_servers: Servers) -> Generator[Callable[[], int]]:
    """How many messages wait for a worker: here the tests are the worker."""
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("reconcile")
        yield lambda: broker.llen("reconcile")
        broker.delete("reconcile")


def loaded(*licenses: License) -> None:
    load(parse_bytes("ledger", text_file(licenses)).ledgers)


def post(client: Client, *files: tuple[str, bytes], form: object = None) -> HttpResponse:
    sent = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(LIST, {"form": form or uuid4(), "files": sent})


def uploaded(client: Client, *files: tuple[str, bytes]) -> Upload:
    response = post(client, *files)
    assert response.status_code == 302, response.content.decode()
    return Upload.objects.get(pk=response.url.removeprefix(LIST).strip("/"))


def previewed(client: Client, *files: tuple[str, bytes]) -> Upload:
    return worked_off(uploaded(client, *files))


def worked_off(upload: Upload) -> Upload:
    uploads.work_off(upload.pk)
    upload.refresh_from_db()
    return upload


def address(upload: Upload) -> str:
    return f"{LIST}{upload.pk}/"


def decide(client: Client, upload: Upload, what: str, **more: object) -> HttpResponse:
    return client.post(address(upload), {"do": what, "preview": upload.lease or "", **more})


def confirmed(client: Client, upload: Upload) -> Upload:
    assert decide(client, upload, "confirm").status_code == 302
    return worked_off(upload)


def licenses_of(shown: Shown) -> list[list[str]]:
    """Number, state, the six counts."""
    return [[row[0], *row[2:9]] for row in shown.rows("//*[@aria-labelledby='licenses']//tbody/tr")]


def all_but_uploads() -> list[Any]:
    """All that is in the tables, changes and history included."""
    tables = [name for name in TABLES.replace(",", "").split() if not name.startswith("ledger_upload")]
    return [sql(f"SELECT t.*, t.ctid FROM {table} AS t ORDER BY t.ctid") for table in tables]


def facts() -> list[Any]:
    """All facts, without ids and the time at which they were written."""
    return [
        sql("""SELECT to_jsonb(l) - '{id,exporter_id,port_id,created_at,modified_at}'::text[], c.iec, p.code
            FROM license_license AS l LEFT JOIN license_company AS c ON c.id = l.exporter_id
            LEFT JOIN license_port AS p ON p.id = l.port_id ORDER BY l.license_number"""),
        *(
            sql(f"""SELECT l.license_number, to_jsonb(i) - '{{id,license_id}}'::text[]
                FROM {table} AS i JOIN license_license AS l ON l.id = i.license_id ORDER BY 1, 2""")
            for table in ("license_exportitem", "license_importitem")
        ),
        sql("""SELECT l.license_number, i.serial_number, b.number, b.date, p.code,
                to_jsonb(line) - '{id,bill_of_entry_id,import_item_id,entered_at}'::text[]
            FROM ledger_billofentryline AS line JOIN ledger_billofentry AS b ON b.id = line.bill_of_entry_id
            LEFT JOIN license_port AS p ON p.id = b.port_id JOIN license_importitem AS i ON i.id = line.import_item_id
            JOIN license_license AS l ON l.id = i.license_id ORDER BY 1, 2, 3, 4"""),
    ]


# ── What would change ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_preview_says_what_would_change_and_writes_nothing(operator: Client) -> None:
    loaded(LICENSE)
    loaded(SECOND, replace(OLDER, printed_on=date(2026, 5, 1)))
    drain()
    before = all_but_uploads()
    upload = previewed(operator, ("ledgers.txt", text_file([NEWER, NEW, OLDER])))
    assert all_but_uploads() == before
    assert upload.state == "previewed"
    shown = read(operator.get(address(upload)))
    assert "Nothing is written yet." in shown.text("//main")
    assert shown.text("//*[@id='summary']") == (
        "Licenses: 1 created, 1 updated, 1 older. 3 new items, 1 changed item, 4 new debits, 1 changed debit, "
        "1 disputed debit, 1 debit found again."
    )
    assert licenses_of(shown) == [
        ["0310000001", "updated", "1", "1", "1", "1", "1", "1"],
        ["0310000002", "created", "2", "", "3", "", "", ""],
        ["0310000003", "older", "", "", "", "", "", ""],
    ]
    days = "02 Mar 2026 → 01 Apr 2026"
    [first, second, third] = shown.tree.xpath("//*[@aria-labelledby='licenses']//tbody/tr/td[last()]")
    assert Shown(first).texts("p") == [
        "item 2, bill of entry 4712 over 50.00 is no longer in the ledger: marked as disputed, still counted"
    ]
    assert Shown(first).texts("ul/li") == [
        f"License: changed, currency USD → EUR; ledger printed on {days}; ledger as of {days}",
        "Entitlement: changed, quantity 150.5 → 177.5; CIF 1,000.00 → 1,200.00",
        "Item 2: changed, quantity 100 → 120",
        "Item 2, BE 4711: changed, CIF 400.00 → 390.00",
        "Item 2, BE 4712: disputed, not in the ledger of 01 Apr 2026",
    ]
    assert Shown(second).texts("ul/li")[0].startswith("License: new, date 01 Jan 2026; expiry date 01 Jan 2027;")
    assert Shown(third).texts("p") == ["printed on 01/03/2026, and we hold a ledger of 01/05/2026: nothing is changed"]
    rest = read(operator.get(Shown(first).tree.xpath("a/@href")[0]))
    assert rest.text("//caption") == "8 changes"
    assert rest.rows()[5:] == [
        ["Item 2, BE 4713", "found again", "not in the ledger of 02 Mar 2026"],
        ["Item 3", "new", "quantity 7"],
        ["Item 3, BE 4714", "new", "date 01 Feb 2026; port INNSA1; quantity 10; CIF 400.00; CIF INR 33,000.00"],
    ]


def test_a_typed_line_and_a_bill_that_lacks_its_date_are_shown_as_they_change(operator: Client) -> None:
    loaded(replace(LICENSE, bills=()))
    sql("INSERT INTO ledger_billofentry (number) VALUES ('4711')")
    sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc, cif_inr) "
        "SELECT b.id, i.id, 10, 400, 33000 FROM ledger_billofentry AS b, license_importitem AS i "
        "WHERE serial_number = 2")  # fmt: skip
    upload = previewed(operator, ("ledger.txt", text_file([replace(LICENSE, bills=(BILL,))])))
    [row] = read(operator.get(address(upload))).texts("//*[@aria-labelledby='licenses']//li")
    assert row == (
        "Item 2, BE 4711: changed, date none → 01 Feb 2026; port none → INNSA1; source typed → customs’ ledger"
    )


def test_errors_are_told_by_file_and_line_in_the_loaders_own_words(operator: Client) -> None:
    bad = (SAMPLES / "broken.csv").read_bytes()
    upload = previewed(operator, ("broken.csv", bad), ("sheet.xlsx", b"PK\x03\x04 and more"), ("none.csv", b""))
    shown = read(operator.get(address(upload)))
    wanted = [
        problem
        for name, content in (("broken.csv", bad), ("sheet.xlsx", b"PK\x03\x04 and more"), ("none.csv", b""))
        for problem in parse_bytes(name, content).problems
    ]
    assert len(wanted) > 15
    assert shown.rows("//*[@aria-labelledby='problems']//tbody/tr") == [
        [problem.file, f"{problem.line or ''}", problem.sentence] for problem in wanted
    ]
    assert all(str(problem).endswith(f" {problem.sentence}") for problem in wanted)
    assert shown.text("//*[@id='problems']") == f"What cannot be read ({len(wanted)})"
    rows = {row[0]: row[1] for row in licenses_of(shown)}
    assert rows == {"0310530001": "created", "0310530011": "refused"}
    assert "1 created, 1 refused, 14 not readable" in shown.text("//*[@id='summary']")


def test_of_many_errors_the_first_are_shown_and_the_others_counted(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_PROBLEMS", 3)
    upload = previewed(operator, *([("broken.csv", (SAMPLES / "broken.csv").read_bytes())] * 2))
    shown = read(operator.get(address(upload)))
    count = 2 * len(parse_file(SAMPLES / "broken.csv").problems)
    assert len(shown.rows("//*[@aria-labelledby='problems']//tbody/tr")) == 3
    assert shown.text("//*[@id='problems']") == f"What cannot be read ({count})"
    assert f"And {count - 3} more, which are not listed." in shown.text("//main")


def test_files_are_tried_one_after_the_other(operator: Client) -> None:
    """As they are loaded: what the first one brings, the second one finds."""
    upload = previewed(
        operator,
        ("march.txt", text_file([LICENSE])),
        ("april.htm", html_file([NEWER])),
        ("again.htm", html_file([NEWER])),
        ("february.txt", text_file([replace(LICENSE, printed_on=date(2026, 2, 3))])),
    )
    shown = read(operator.get(address(upload)))
    states = [row[1] for row in licenses_of(shown)]
    assert states == ["created", "updated", "unchanged", "older"]
    after = read(operator.get(address(confirmed(operator, upload))))
    assert licenses_of(after) == licenses_of(shown)
    assert "not as previewed" not in after.text("//main")


def test_a_preview_locks_few_licenses_at_a_time(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a load does: who changes others does not wait. All ledgers of a license are tried together all the same."""
    loaded(LICENSE, NEW)
    monkeypatch.setattr(loader, "LICENSES_AT_ONCE", 1)
    free: list[list[tuple[str]]] = []
    done = uploads._Teller.loaded

    def look(teller: uploads._Teller, outcomes: Sequence[Loaded], changes: loader.Changes) -> None:
        done(teller, outcomes, changes)
        with psycopg.connect(os.environ["DATABASE_URL"]) as beside:
            free.append(beside.execute("SELECT license_number FROM license_license FOR UPDATE SKIP LOCKED").fetchall())

    monkeypatch.setattr(uploads._Teller, "loaded", look)
    march = text_file([SECOND, replace(SECOND, number=NEW.number)])
    upload = previewed(operator, ("march.txt", march), ("april.txt", text_file([NEWER])))
    assert [(NEW.number,)] in free
    assert [(LICENSE.number,)] in free
    assert [] not in free
    shown = licenses_of(read(operator.get(address(upload))))
    assert [row[:2] for row in shown] == [[number, "updated"] for number in (LICENSE.number, NEW.number, NEWER.number)]
    assert shown[2][7] == "1"  # found again, after the first file


def test_what_the_database_refuses_is_told_and_keeps_nothing_else_from_being_shown(operator: Client) -> None:
    sql("ALTER TABLE license_license ADD CONSTRAINT test_refusal CHECK (license_number <> '0310000002')")
    try:
        licenses = [replace(LICENSE, number=f"031000000{n}") for n in range(1, 6)]
        upload = previewed(operator, ("ledgers.txt", text_file(licenses)))
    finally:
        sql("ALTER TABLE license_license DROP CONSTRAINT test_refusal")
    shown = read(operator.get(address(upload)))
    assert [row[1] for row in licenses_of(shown)] == ["created", "refused", "created", "created", "created"]
    assert "test_refusal" in shown.text("//*[@aria-labelledby='licenses']//tbody/tr[2]/td[last()]")
    assert facts() == [[], [], [], []]


def test_what_only_a_commit_would_find_is_found(operator: Client) -> None:
    """Foreign keys are looked at when a transaction ends, which a preview never does."""
    sql("""CREATE FUNCTION test_stray() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.bill_of_entry_id := 4242; RETURN NEW; END $$""")
    sql("CREATE TRIGGER test_stray BEFORE INSERT ON ledger_billofentryline "
        "FOR EACH ROW EXECUTE FUNCTION test_stray()")  # fmt: skip
    try:
        upload = previewed(operator, ("ledger.txt", text_file([replace(LICENSE, bills=(BILL,))])))
    finally:
        sql("DROP FUNCTION test_stray CASCADE")
    assert [row[1] for row in licenses_of(read(operator.get(address(upload))))] == ["refused"]


def test_a_preview_minds_no_isolation_level(operator: Client) -> None:
    sql("SET default_transaction_isolation TO 'repeatable read'")
    try:
        assert previewed(operator, ("ledger.txt", text_file([LICENSE]))).state == "previewed"
    finally:
        sql("RESET default_transaction_isolation")


# ── What is done ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("names", [[path.name for path in GOOD_SAMPLES], ["broken.csv"]])
def test_confirmed_it_is_what_import_icegate_does(names: Sequence[str], operator: Client) -> None:
    upload = confirmed(operator, previewed(operator, *((name, (SAMPLES / name).read_bytes()) for name in names)))
    assert upload.state == "loaded"
    by_upload = facts()
    told = list(
        UploadedLicense.objects.filter(is_loaded=True).order_by("file", "line").values_list("license_number", "status")
    )
    drain()
    assert_balances_follow_facts()
    empty_tables()
    said = io.StringIO()
    try:
        call_command("import_icegate", *(str(SAMPLES / name) for name in names), verbosity=2, stdout=said, stderr=said)
    except CommandError:
        assert names == ["broken.csv"]
    assert facts() == by_upload
    assert by_upload[0]
    for number, status in told:
        assert f"license {number}: {status}" in said.getvalue()


def test_the_result_stays_readable(operator: Client, log_in: LogIn) -> None:
    upload = previewed(operator, ("<b>ledger.txt", text_file([LICENSE])))
    assert read(operator.get(LIST)).rows()[0][1:] == ["operator", "<b>ledger.txt", "to be confirmed", "–"]
    confirmed(log_in("administrator"), upload)
    auditor = log_in("auditor")
    today = day(business_date())
    [row] = read(auditor.get(LIST)).rows()
    assert row[0].startswith(f"{today}, ")
    assert row[1:] == ["operator", "<b>ledger.txt", "loaded", "administrator"]
    shown = read(auditor.get(address(upload)))
    assert f"uploaded by operator on {today}" in shown.text("//p[@class='asof']")
    assert f"Loaded, confirmed by administrator, done on {today}" in shown.text("//main")
    assert licenses_of(shown) == [["0310000001", "created", "2", "", "3", "", "", ""]]
    assert shown.links()["0310000001"] == "/licenses/0310000001/"
    assert not shown.tree.xpath("//main//form")


def test_rejected_it_does_nothing_and_its_files_are_forgotten(operator: Client) -> None:
    before = all_but_uploads()
    upload = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    assert decide(operator, upload, "reject").status_code == 302
    worked_off(upload)
    assert all_but_uploads() == before
    assert (upload.state, upload.decided_by) == ("rejected", "operator")
    assert UploadFile.objects.get().content is None
    shown = read(operator.get(address(upload)))
    assert "Rejected by operator" in shown.text("//main")
    assert licenses_of(shown) == [["0310000001", "created", "2", "", "3", "", "", ""]]  # what it would have been
    assert decide(operator, upload, "confirm").status_code == 409
    assert worked_off(upload).state == "rejected"


def test_of_two_who_decide_the_first_does(operator: Client, log_in: LogIn, asked: Callable[[], int]) -> None:
    upload = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    before = asked()
    assert decide(operator, upload, "confirm").status_code == 302
    for what in ("confirm", "reject", "again"):
        second = decide(log_in("administrator"), upload, what)
        assert second.status_code == 409
        assert "somebody was first" in second.content.decode()
    assert asked() == before + 1
    worked_off(upload)
    assert (upload.state, upload.decided_by) == ("loaded", "operator")
    assert "somebody was first" in decide(log_in("administrator"), upload, "reject").content.decode()


def test_who_clicks_twice_asks_once(operator: Client, asked: Callable[[], int]) -> None:
    form, file = uuid4(), ("ledger.txt", text_file([LICENSE]))
    assert post(operator, file, form=form).url == post(operator, file, form=form).url
    assert (Upload.objects.count(), UploadFile.objects.count(), asked()) == (1, 1, 1)
    upload = worked_off(Upload.objects.get())
    for _ in range(2):
        assert decide(operator, upload, "confirm").status_code == 302
    assert asked() == 2
    worked_off(upload)
    assert decide(operator, upload, "confirm").status_code == 302
    assert worked_off(upload).state == "loaded"
    assert one("SELECT count(*) FROM ledger_billofentryline") == 3
    # who goes back and chooses other files means them: the same file, mended, too
    mended = file[1].replace(b"0310000001", b"0310000002")
    assert post(operator, ("ledger.txt", mended), form=form).status_code == 302
    assert [bytes(content) for content in UploadFile.objects.order_by("pk").values_list("content", flat=True)] == [
        file[1],
        mended,
    ]


def test_what_changes_after_the_preview_is_followed_and_told(operator: Client) -> None:
    loaded(LICENSE, OLDER)
    upload = previewed(operator, ("ledgers.txt", text_file([LICENSE, replace(SECOND, number=OLDER.number), NEW])))
    loaded(replace(LICENSE, printed_on=date(2026, 5, 1)))
    sql("UPDATE license_license SET currency = 'EUR' WHERE license_number = %s", OLDER.number)
    before = facts()
    confirmed(operator, upload)
    shown = read(operator.get(address(upload)))
    differ = [
        ["0310000001", "older not as previewed", "", "", "", "", "", ""],
        ["0310000003", "updated not as previewed", "", "", "", "", "1", ""],
    ]
    assert licenses_of(shown) == [*differ, ["0310000002", "created", "2", "", "3", "", "", ""]]
    assert "we hold a ledger of 01/05/2026" in shown.text("//main")
    assert facts()[0][0] == before[0][0]
    # nobody has to look for them among the others
    assert shown.text("//main//*[@role='status']").startswith("2 licenses did not become what the preview had shown")
    shown = read(operator.get(address(upload) + shown.links()["2 licenses"]))
    assert licenses_of(shown) == differ
    assert licenses_of(read(operator.get(address(upload) + shown.links()["1 older"]))) == differ[:1]
    assert len(licenses_of(read(operator.get(address(upload) + shown.links()["Show all"])))) == 3


def test_only_what_was_seen_is_confirmed(operator: Client) -> None:
    """Somebody else has had it previewed again: then another preview is to be decided on."""
    upload = previewed(operator, ("ledger.csv", csv_file([LICENSE])))
    seen = upload.lease
    assert decide(operator, upload, "again", force="on").status_code == 302
    worked_off(upload)
    assert upload.lease != seen
    for token in (seen, "nonsense", ""):
        assert operator.post(address(upload), {"do": "confirm", "preview": token}).status_code == 409
    assert operator.post(address(upload), {"do": "x", "preview": upload.lease}).status_code == 409
    assert worked_off(upload).state == "previewed"
    assert confirmed(operator, upload).state == "loaded"


# ── Other ways to read them ───────────────────────────────────────────────────────────────────────────────────────────


def test_totals_that_do_not_fit_are_loaded_when_somebody_says_so(operator: Client) -> None:
    file = ("ledger.txt", text_file([LICENSE]).replace(b"\t500\t", b"\t700\t"))
    upload = previewed(operator, file)
    shown = read(operator.get(address(upload)))
    assert "Use --force to load it" in shown.text("//*[@aria-labelledby='licenses']")
    assert not shown.tree.xpath("//button[@value='confirm']")  # there is nothing to load
    decide(operator, upload, "again", force="on")
    worked_off(upload)
    shown = read(operator.get(address(upload)))
    assert licenses_of(shown)[0][1] == "created"
    assert "is a page missing?" in shown.text("//*[@aria-labelledby='licenses']")
    confirmed(operator, upload)
    assert OurLicense.objects.count() == 1


def test_the_day_of_print_can_be_said(operator: Client) -> None:
    loaded(replace(LICENSE, printed_on=date(2026, 5, 1)))
    upload = previewed(operator, ("ledger.csv", csv_file([NEWER])))
    shown = read(operator.get(address(upload)))
    assert "say so with --ledger-date" in shown.text("//*[@aria-labelledby='licenses']")
    tomorrow = business_date() + timedelta(days=1)
    for wrong, why in (("32/13/2026", "is not a date"), (f"{tomorrow}", "is still to come")):
        assert why in decide(operator, upload, "again", ledger_date=wrong).content.decode()
    decide(operator, upload, "again", ledger_date="2026-05-02")
    worked_off(upload)
    shown = read(operator.get(address(upload)))
    assert "was printed on 02 May 2026" in shown.text("//p[@class='asof']")
    assert licenses_of(shown)[0][1] == "updated"
    confirmed(operator, upload)
    assert OurLicense.objects.get().ledger_date == date(2026, 5, 2)


# ── Workers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def poll(client: Client, upload: Upload) -> HttpResponse:
    return client.get(address(upload), headers={"HX-Request": "true"})


def test_the_page_follows_the_worker(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the load's transaction is open: how far it is is told beside it."""
    refused = replace(LICENSE, has_balances=False)
    upload = uploaded(operator, ("ledgers.txt", text_file([refused, NEW, OLDER])))
    live = read(operator.get(address(upload))).text("//*[@id='live']")
    assert live == "A worker is asked to read the ledgers."
    seen: list[str] = []
    leased_until: list[datetime] = []
    stepped = uploads._Bar.stepped

    def look(bar: uploads._Bar, licenses: int) -> None:
        stepped(bar, licenses)
        with psycopg.connect(os.environ["DATABASE_URL"]) as beside:
            [percent, until] = beside.execute("SELECT percent_done, leased_until FROM ledger_upload").fetchone()
        seen.append(percent)
        leased_until.append(until)

    monkeypatch.setattr(uploads._Bar, "stepped", look)
    monkeypatch.setattr(loader, "LICENSES_AT_ONCE", 1)
    uploads.work_off(upload.pk)
    steps = len(loader.STEPS)
    assert len(seen) == 2 * steps
    assert (seen, leased_until) == (sorted(seen), sorted(leased_until))
    assert len(set(leased_until)) == len(set(seen))  # it gets on, so nobody else takes it
    # the file is read, that is half of the way, and one of three licenses done with
    assert (seen[0], seen[steps - 1], seen[steps], seen[-1]) == (67, 83, 84, 100)
    assert poll(operator, upload).headers["HX-Redirect"] == address(upload)
    upload.refresh_from_db()
    decide(operator, upload, "confirm")
    assert "A worker is asked to load the ledgers." in read(poll(operator, upload)).text("//*[@id='live']")
    uploads._take(upload.pk)
    Upload.objects.update(percent_done=34)
    shown = read(poll(operator, upload))
    assert "The ledgers are being loaded." in shown.text("//*[@id='live']")
    assert shown.tree.xpath("//progress/@value") == ["34"]


def test_two_workers_are_not_at_it_at_once(operator: Client) -> None:
    upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))
    taken = uploads._take(upload.pk)
    assert taken is not None
    assert uploads.left() == []
    worked_off(upload)
    assert (upload.state, upload.lease, upload.attempts) == ("preview", taken.lease, 1)


def test_what_a_dead_worker_had_taken_is_taken_again_and_given_up_at_last(operator: Client) -> None:
    upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))
    late = uploads._take(upload.pk)
    assert late is not None
    Upload.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert "gave no sign for minutes; another one goes on" in read(poll(operator, upload)).text("//*[@id='live']")
    assert uploads.left() == [upload.pk]
    assert worked_off(upload).state == "previewed"
    [found] = UploadedLicense.objects.values_list("pk", flat=True)
    uploads._preview(late)  # that one was only slow: what it finds counts no more
    uploads._let_go(late, "nor that it failed")
    upload.refresh_from_db()
    assert upload.lease != late.lease
    assert upload.error == ""
    assert UploadedLicense.objects.get().pk == found
    decide(operator, upload, "confirm")
    for _ in range(3):
        assert uploads._take(upload.pk) is not None
        Upload.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    worked_off(upload)
    assert upload.state == "failed"
    shown = read(operator.get(address(upload)))
    assert "3 workers took it, and none came to its end" in shown.text("//*[@role='alert']")
    assert facts()[0] == []


class DeathError(Exception):
    """Of a worker."""


def test_a_worker_that_dies_in_the_middle_leaves_whole_licenses_and_their_results(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    licenses = [replace(LICENSE, number=f"031000000{n}") for n in range(1, 5)]
    upload = previewed(operator, ("ledgers.txt", text_file(licenses)))
    decide(operator, upload, "confirm")
    monkeypatch.setattr(loader, "LICENSES_AT_ONCE", 1)
    write_down, calls = uploads._write_down, iter(range(9))

    def die_at_the_third(*args: Any, **kwargs: Any) -> None:
        write_down(*args, **kwargs)
        if next(calls) == 3:  # the first is of those that are refused
            raise DeathError

    monkeypatch.setattr(uploads, "_write_down", die_at_the_third)
    with pytest.raises(DeathError):
        uploads.work_off(upload.pk)
    monkeypatch.undo()
    assert sorted(OurLicense.objects.values_list("license_number", flat=True)) == ["0310000001", "0310000002"]
    assert UploadedLicense.objects.filter(is_loaded=True).count() == 2
    Upload.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    again: list[str] = []

    def load_what_is_left(ledgers: Sequence[Ledger], **options: Any) -> None:
        again.extend(ledger.license_number for ledger in ledgers)
        load(ledgers, **options)

    monkeypatch.setattr(uploads, "load", load_what_is_left)
    assert worked_off(upload).state == "loaded"
    assert again == ["0310000003", "0310000004"]
    shown = read(operator.get(address(upload)))
    assert [row[1] for row in licenses_of(shown)] == ["created"] * 4  # what was done first is not told as unchanged
    assert OurLicense.objects.count() == 4


def test_a_license_that_two_workers_come_to_is_told_by_the_first(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of one was over, another one went on, and the one was not dead."""
    upload = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    decide(operator, upload, "confirm")
    slow = uploads._take(upload.pk)
    assert slow is not None

    def load_after_the_other(*args: Any, **options: Any) -> list[Loaded]:
        monkeypatch.undo()
        Upload.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        assert worked_off(upload).state == "loaded"
        outcomes = load(*args, **options)
        assert [outcome.status for outcome in outcomes] == [Status.UNCHANGED]
        return outcomes

    monkeypatch.setattr(uploads, "load", load_after_the_other)
    uploads._load(slow)
    assert Upload.objects.get().finished_at == upload.finished_at
    assert [row[1] for row in licenses_of(read(operator.get(address(upload))))] == ["created"]


def test_what_cannot_be_done_now_is_tried_again_and_then_told(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))

    def busy(*args: Any, **kwargs: Any) -> None:
        raise AnotherLoadError("another load of ledgers has been under way for a minute; try again later")

    monkeypatch.setattr(uploads, "preview", busy)
    for attempt in (1, 2, 3):
        assert worked_off(upload).attempts == attempt
        live = read(poll(operator, upload)).text("//*[@id='live']")
        assert "It is tried again. Last time: another load of ledgers has been under way" in live
        assert uploads.left() == [upload.pk]
    assert worked_off(upload).state == "failed"
    assert "another load of ledgers" in read(operator.get(address(upload))).text("//*[@role='alert']")
    assert "is done all the same" not in read(operator.get(address(upload))).text("//main")


def test_a_database_that_fails_is_no_reason_to_forget_an_upload(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))
    monkeypatch.setattr(uploads, "load_sql", {"upload_progress": "SELECT 1 / 0"}.get)
    assert "division by zero" in worked_off(upload).error
    monkeypatch.undo()
    assert worked_off(upload).state == "previewed"


def test_where_no_worker_comes_it_is_said(operator: Client) -> None:
    upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))
    Upload.objects.update(asked_at=timezone.now() - timedelta(seconds=61))
    assert "No worker has taken it for a minute: is one up?" in read(poll(operator, upload)).text("//*[@id='live']")


def test_an_upload_needs_no_broker(operator: Client, live_servers: Servers) -> None:
    live_servers.redis.stop()
    try:
        upload = uploaded(operator, ("ledger.txt", text_file([LICENSE])))
    finally:
        live_servers.redis.start()
    assert uploads.left() == [upload.pk]


def test_beat_looks_for_what_was_left() -> None:
    assert "ledger.tasks.check_uploads" in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert "ledger.tasks.check_uploads" in current_app.tasks


# ── Limits, and whom it is for ────────────────────────────────────────────────────────────────────────────────────────


def refusal(response: HttpResponse) -> str:
    assert response.status_code == 400
    [said] = Shown(read_any(response)).texts("//*[@role='alert']")
    assert not Upload.objects.exists()
    return said


def read_any(response: HttpResponse) -> Any:
    from lxml import html

    return html.fromstring(response.content.decode())


def test_too_much_is_refused_in_plain_words(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(post(operator)) == "Choose one file or several."
    assert refusal(post(operator, *([("a.csv", b"x")] * 120))) == (
        "These are 120 files; 50 at most are taken at once. Upload them in parts."
    )
    half = b"x" * (uploads.MAX_BYTES // 2 + 1)
    assert refusal(post(operator, ("a.csv", half), ("b.csv", half))).startswith(
        "These are 11 MB; 10 MB at most are taken at once. Upload them in parts;"
    )
    monkeypatch.setattr(upload_limit, "MAX_REQUEST_BYTES", 1_000)
    kept: list[object] = []
    monkeypatch.setattr("django.core.files.uploadhandler.MemoryFileUploadHandler.receive_data_chunk", kept.append)
    assert refusal(post(operator, ("a.csv", half))) == "Choose one file or several."
    assert kept == []  # not even read


def test_a_request_that_is_too_large_says_so(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limit, "MAX_REQUEST_BYTES", 1_000)
    monkeypatch.setattr("desk.ledgers.MAX_REQUEST_BYTES", 1_000)
    monkeypatch.setattr(uploads, "MAX_BYTES", 500)
    assert refusal(post(operator, ("a.csv", b"x" * 2_000_000))).startswith("These are 2 MB;")


def test_who_may_not_does_not(log_in: LogIn) -> None:
    upload = previewed(log_in("operator"), ("ledger.txt", text_file([LICENSE])))
    for role, may_see in (("viewer", 403), ("", 403), ("auditor", 200)):
        client = log_in(role)
        assert client.get(LIST).status_code == client.get(address(upload)).status_code == may_see
        assert post(client, ("a.csv", b"x")).status_code == 403
        for what in ("confirm", "reject", "again"):
            assert decide(client, upload, what).status_code == 403
    shown = log_in("auditor").get(LIST).content + log_in("auditor").get(address(upload)).content
    assert b"enctype" not in shown
    assert b"<button name" not in shown
    assert worked_off(upload).state == "previewed"


def test_a_form_from_elsewhere_does_nothing(operator: Client) -> None:
    upload = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    operator.handler.enforce_csrf_checks = True
    assert decide(operator, upload, "confirm").status_code == 403
    assert post(operator, ("ledger.txt", b"x")).status_code == 403
    assert Upload.objects.get().state == "previewed"


def test_groups_of_an_older_version_may_upload_too(database: None) -> None:
    for group in Group.objects.all():
        group.permissions.remove(*group.permissions.filter(content_type__model="upload"))
    import_module("desk.migrations.0007_uploads").grant(apps, connection.schema_editor())
    assert {
        group.name: sorted(group.permissions.filter(content_type__model="upload").values_list("codename", flat=True))
        for group in Group.objects.all()
    } == {
        "viewer": [], "auditor": ["view_upload"], "operator": ["add_upload", "view_upload"],
        "administrator": ["add_upload", "view_upload"],
    }  # fmt: skip


def test_what_stands_in_a_file_is_text(operator: Client) -> None:
    hostile = "<script>alert('1')</script>\"><img src=x>"
    # also what a path would be
    name = f"../../{hostile}/\0=1+1{hostile.replace('/', '')}.csv"
    row = csv_file([LICENSE]).replace(b"01/01/2026", f'"{hostile}"'.encode(), 1)
    note = csv_file([replace(NEW, notification_number=hostile)])
    upload = previewed(operator, (name, row), ("b.csv", note))
    [row_id] = UploadedLicense.objects.values_list("pk", flat=True)
    for page in (LIST, address(upload), f"{address(upload)}licenses/{row_id}/"):
        content = operator.get(page).content
        assert b"<img" not in content
        assert b"alert('1')</" not in content
    [kept, _] = UploadFile.objects.order_by("pk").values_list("name", flat=True)
    assert "/" not in kept
    assert "\0" not in kept


def test_what_there_is_not(operator: Client) -> None:
    upload = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    other = previewed(operator, ("ledger.txt", text_file([LICENSE])))
    row = UploadedLicense.objects.get(file__upload=other)
    assert operator.get(f"{address(other)}licenses/{row.pk}/").status_code == 200
    for page in (f"{LIST}99/", f"{address(upload)}licenses/{row.pk}/", f"{address(upload)}licenses/99/"):
        assert operator.get(page).status_code == 404
    assert operator.post(f"{LIST}99/", {"do": "confirm"}).status_code == 404


def test_many_licenses_are_shown_page_by_page_without_the_files(operator: Client) -> None:
    licenses = [replace(LICENSE, number=f"03200{n:05}", bills=()) for n in range(60)]
    upload = previewed(operator, ("ledgers.txt", text_file(licenses)))
    with CaptureQueriesContext(connection) as queries:
        operator.get(LIST)
        shown = read(operator.get(address(upload)))
        rest = read(operator.get(address(upload), {"page": 2}))
    assert not [query for query in queries if '"content"' in query["sql"]]
    assert shown.text("//caption") == "60 licenses, page 1 of 2"
    assert [row[0] for row in licenses_of(rest)] == [f"03200{n:05}" for n in range(50, 60)]


# ── What is kept ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_forgotten_after_some_days_and_results_later(operator: Client) -> None:
    done = confirmed(operator, previewed(operator, ("ledger.txt", text_file([LICENSE]))))
    undecided = previewed(operator, ("ledger.txt", text_file([NEW])))
    untaken = uploaded(operator, ("ledger.txt", text_file([NEW])))
    just_confirmed = previewed(operator, ("ledger.txt", text_file([NEW])))
    at_work = uploaded(operator, ("ledger.txt", text_file([NEW])))
    uploads._take(at_work.pk)

    def kept() -> list[int]:
        delete_what_is_old()
        return sorted(UploadFile.objects.filter(content__isnull=False).values_list("upload", flat=True))

    assert kept() == [done.pk, undecided.pk, untaken.pk, just_confirmed.pk, at_work.pk]
    sql("UPDATE ledger_upload SET uploaded_at = now() - interval '8 days', asked_at = now() - interval '8 days'")
    decide(operator, just_confirmed, "confirm")
    assert kept() == [just_confirmed.pk, at_work.pk]
    for upload, state, why in (
        (done, "loaded", "Loaded, confirmed by operator"),
        (undecided, "rejected", "nothing was written. Nobody confirmed it within 7 days."),
        (untaken, "failed", "No worker took it within 7 days."),
    ):
        upload.refresh_from_db()
        assert upload.state == state
        assert why in read(operator.get(address(upload))).text("//main")
    sql("UPDATE ledger_upload SET uploaded_at = now() - interval '1101 days'")
    kept()
    assert not UploadedLicense.objects.exists()
    assert OurLicense.objects.count() == 1
