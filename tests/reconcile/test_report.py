"""What a night tells people: each kind of finding exactly, in every form it is told in."""

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from ledger.engine import Outcome, drain
from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry, BillOfEntryLine, LicenseBalance
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, ItemName, License, Port, SionNorm
from reconcile import night
from reconcile.models import Drift, Finding, FindingKind, ReconciliationChunk, ReconciliationRun, RunStatus
from reconcile.report import gather, subject, words
from reconcile.report_html import as_html
from reconcile.report_text import as_text
from reconcile.retention import delete_what_is_old
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

numbers = iter(range(1, 1_000_000))


def make(number: str, cif_fc: int | str = 10_000, expires_in: int | None = None, norm: str | None = "E1") -> License:
    """A license of one export item, and one import item without a value of its own."""
    expiry = None if expires_in is None else business_date() + timedelta(days=expires_in)
    license = License.objects.create(
        license_number=number, license_date=business_date() - timedelta(days=300), license_expiry_date=expiry
    )
    of_norm = SionNorm.objects.get_or_create(code=norm)[0] if norm else None
    ExportItem.objects.create(license=license, cif_fc=cif_fc, norm=of_norm)
    ImportItem.objects.create(license=license, serial_number=1, quantity=100, unit="KGS")
    return license


def debit(license: License, cif_fc: int | str, quantity: int = 0, serial_number: int = 1) -> BillOfEntryLine:
    return BillOfEntryLine.objects.create(
        bill_of_entry=BillOfEntry.objects.create(number=str(next(numbers)), date="2026-06-01"),
        import_item=license.import_items.get(serial_number=serial_number),
        cif_fc=cif_fc,
        quantity=quantity,
    )


def run_night() -> ReconciliationRun:
    drain()
    call_command("sync_licenses")
    return ReconciliationRun.objects.latest("pk")


def found(kind: FindingKind) -> list[tuple[Any, ...]]:
    """License, item, amount, quantity and what is said of it."""
    run = ReconciliationRun.objects.latest("pk")
    rows = run.findings.filter(kind=kind).order_by("license_number", "serial_number")
    return [
        (row.license_number, row.serial_number, row.amount, row.quantity, words(row, run.business_date)) for row in rows
    ]


def day(days: int) -> str:
    return f"{business_date() + timedelta(days=days):%d %b %Y}"


def test_nothing_to_report() -> None:
    make("0000000001", expires_in=61)
    run = run_night()
    assert run.finding_counts == {}
    assert not Finding.objects.exists()
    assert not gather(run).is_worrying


def test_licenses_that_expire_soon_with_balance_left() -> None:
    make("0000000001", expires_in=0)
    make("0000000002", expires_in=1)
    make("0000000003", expires_in=7)
    make("0000000004", expires_in=8)
    make("0000000005", expires_in=60)
    make("0000000006", expires_in=61)
    make("0000000007", expires_in=3, cif_fc="499.99")  # null: nobody minds
    make("0000000008")
    assert gather(run_night()).expiring == {7: 3, 30: 4, 60: 5}
    left = "USD 10,000.00 left"
    assert [(row[0], row[4]) for row in found(FindingKind.EXPIRING)] == [
        ("0000000001", f"today, {day(0)}: {left}"),
        ("0000000002", f"tomorrow, {day(1)}: {left}"),
        ("0000000003", f"in 7 days, {day(7)}: {left}"),
        ("0000000004", f"in 8 days, {day(8)}: {left}"),
        ("0000000005", f"in 60 days, {day(60)}: {left}"),
    ]


def test_licenses_that_expired_since_the_last_night() -> None:
    make("0000000001", expires_in=-1)
    make("0000000002", expires_in=-2)
    make("0000000003", expires_in=-3)
    make("0000000004", expires_in=0)
    run_night()
    assert [row[0] for row in found(FindingKind.EXPIRED)] == ["0000000001"]
    # the night before this one was two days ago: nobody has told of those that expired since
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 2")
    run_night()
    assert [(row[0], row[4]) for row in found(FindingKind.EXPIRED)] == [
        ("0000000001", f"on {day(-1)} with USD 10,000.00 left"),
        ("0000000002", f"on {day(-2)} with USD 10,000.00 left"),
    ]


def test_licenses_that_became_null_since_the_last_night() -> None:
    before, after, again = make("0000000001"), make("0000000002"), make("0000000003")
    debit(before, "9999.00")
    drain()
    debit(again, "9999.00")
    drain()
    run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")  # that was last night
    debit(after, "9500.00")
    drain()
    debit(after, "100.00")
    make("0000000004", cif_fc=0)  # never had anything
    debit(make("0000000005"), "9999.00")  # new, and used up already
    debit(again, "1.00")  # was null then
    debit(make("0000000006"), "9000.00")  # not null
    run_night()
    assert found(FindingKind.NEWLY_NULL) == [
        ("0000000002", None, 400, None, "USD 400.00 left, was USD 10,000.00"),
        ("0000000005", None, 1, None, "USD 1.00 left"),
    ]


def test_an_allotment_reserves_up_to_its_last_day_and_is_given_up_by_the_night_after_it() -> None:
    item = make("0000000001").import_items.get()
    company = Company.objects.create(iec="0000000009", name="Pune Mills")
    passed, last, linked, by_hand, earlier, open_ended = (
        Allotment.objects.create(company=company, last_day=last_day)
        for last_day in (
            business_date() - timedelta(1),
            business_date(),
            business_date() - timedelta(9),
            None,
            business_date() - timedelta(9),
            None,
        )
    )
    AllotmentLine.objects.bulk_create(
        AllotmentLine(allotment=allotment, import_item=item, quantity=10, cif_fc=100 * n)
        for n, allotment in enumerate((passed, last, linked, by_hand, earlier, open_ended), 1)
    )
    linked.bills_of_entry.add(debit(item.license, 1).bill_of_entry)
    AllotmentRelease.objects.create(allotment=by_hand, released_by="meera")
    AllotmentRelease.objects.create(allotment=earlier, released_at=timezone.now() - timedelta(days=3))
    run = run_night()
    assert (run.licenses_drifted, run.finding_counts["allotment given up"]) == (0, 2)  # followed before it looked
    assert LicenseBalance.objects.get().allotted_cif == 200 + 600
    told = {1: f"100.00 for 10.000 KGS; its last day was {day(-1)}", 4: "400.00 for 10.000 KGS; given up by meera"}
    assert found(FindingKind.GIVEN_UP) == [
        ("0000000001", 1, 100 * n, 10, f"allotment {n} to Pune Mills: USD {words}") for n, words in told.items()
    ]
    run_night()  # by hand, on the same day
    assert found(FindingKind.GIVEN_UP) == []
    assert AllotmentRelease.objects.count() == 3


def test_a_run_by_hand_gives_nothing_up() -> None:
    item = make("0000000001").import_items.get()
    run_night()
    company = Company.objects.create(iec="0000000009", name="Pune Mills")
    Allotment.objects.create(company=company, last_day=business_date() - timedelta(1)).lines.create(
        import_item=item, cif_fc=1
    )
    run_night()
    assert not AllotmentRelease.objects.exists()


def test_overdrawn_licenses_and_items() -> None:
    of_license, of_item, own, both = (make(f"000000000{n}") for n in range(1, 5))
    debit(of_license, "10250.00", quantity=1)
    debit(of_item, 1, quantity=120)
    own.import_items.update(cif_fc=1000)
    debit(own, "1030.00", quantity=1)
    both.import_items.update(cif_fc=1000)
    debit(both, "123456.00", quantity=101)
    run_night()
    assert found(FindingKind.OVERDRAWN) == [
        ("0000000001", None, 250, None, "USD 250.00 more used than was earned"),
        ("0000000002", 1, None, 20, "20.000 KGS more used than its quantity"),
        ("0000000003", 1, 30, None, "USD 30.00 more used than its value"),
        ("0000000004", 1, 122456, 1, "USD 1,22,456.00 and 1.000 KGS more used than its value and quantity"),
        ("0000000004", None, 113456, None, "USD 1,13,456.00 more used than was earned"),
    ]


def test_a_restriction_that_is_overused_is_told_once() -> None:
    license = make("0000000001", norm="E5")
    name = ItemName.objects.create(
        name="cocoa", sion_norm=SionNorm.objects.get(code="E5"), restriction_percentage="10.00"
    )
    for serial_number in (2, 3):
        item = ImportItem.objects.create(license=license, serial_number=serial_number, quantity=100)
        item.item_names.add(name)
    debit(license, "1300.00", serial_number=2)
    by_sheet = make("0000000002")
    by_sheet.import_items.update(restriction_percentage="2.50")
    debit(by_sheet, "250.01")
    run_night()
    assert found(FindingKind.RESTRICTION_OVERUSED) == [
        ("0000000001", None, 300, None, "10 % by norm E5: 1,000.00 allowed, 1,300.00 used; limits items 2, 3"),
        (
            "0000000002",
            None,
            Decimal("0.01"),
            None,
            "2.5 % by the condition sheet: 250.00 allowed, 250.01 used; limits item 1",
        ),
    ]
    assert found(FindingKind.OVERDRAWN) == []


def test_licenses_in_quarantine_with_their_error() -> None:
    license = make("0000000001", cif_fc="9999999999999.99")
    ExportItem.objects.create(license=license, cif_fc=1)
    run = run_night()
    [(number, _, _, _, said)] = found(FindingKind.QUARANTINED)
    assert number == "0000000001"
    assert re.fullmatch(r"cannot be recomputed, tried 2 times: .*numeric field overflow", said)
    assert gather(run).is_worrying


def test_licenses_whose_norm_is_unknown() -> None:
    make("0000000001", norm=None)
    make("0000000002")
    make("0000000003", norm=None, cif_fc=1)  # null
    make("0000000004", norm=None, expires_in=-5)
    ExportItem.objects.create(license=make("0000000005", norm=None), cif_fc=1, norm=SionNorm.objects.get(code="E1"))
    run_night()
    assert [(row[0], row[4]) for row in found(FindingKind.NORM_UNKNOWN)] == [("0000000001", "USD 10,000.00 left")]


def test_debits_that_the_newest_ledger_does_not_show() -> None:
    license = make("0000000001")
    line = debit(license, "390.00", quantity=98)
    debit(license, "10.00")
    credit = debit(license, "5.00")
    BillOfEntryLine.objects.filter(pk=line.pk).update(disputed_since="2026-07-03")
    BillOfEntryLine.objects.filter(pk=credit.pk).update(disputed_since="2026-07-03", transaction_type="C")
    BillOfEntry.objects.filter(pk=line.bill_of_entry_id).update(port=Port.objects.create(code="INNSA1"), number="777")
    run_night()
    assert found(FindingKind.DISPUTED) == [
        (
            "0000000001",
            1,
            390,
            98,
            "BE 777 of 01 Jun 2026, INNSA1: USD 390.00 for 98.000 KGS; not in the ledger since 03 Jul 2026",
        )
    ]


def test_allotments_that_a_bill_without_a_line_for_them_released() -> None:
    one, other = make("0000000001"), make("0000000002")
    company = Company.objects.create(iec="0000000001", name="Surat Foods")
    allotment = Allotment.objects.create(company=company)
    for license, cif_fc in ((one, 400), (other, 70)):
        item = license.import_items.get()
        AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=100, cif_fc=cif_fc)
    ImportItem.objects.create(license=one, serial_number=2)
    AllotmentLine.objects.create(allotment=allotment, import_item=one.import_items.get(serial_number=2))  # of nothing
    run_night()
    assert found(FindingKind.RELEASED) == []  # it reserves still
    bill = debit(one, 390, quantity=98).bill_of_entry
    BillOfEntryLine.objects.create(
        bill_of_entry=bill, import_item=other.import_items.get(), transaction_type="C", cif_fc=70
    )
    allotment.bills_of_entry.add(bill)
    run_night()
    said = f"allotment {allotment.pk} to Surat Foods: USD 70.00 for 100.000 KGS; released by BE {bill.number}"
    assert found(FindingKind.RELEASED) == [("0000000002", 1, 70, 100, said)]


def tamper() -> None:
    """Make license 1 drift in two fields."""
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1, debited_cif = 2 WHERE license_id = 1")


@pytest.fixture
def told() -> ReconciliationRun:
    """A night with drift and findings; a company's name and a license number that are up to no good."""
    make("0000000001", expires_in=5)
    make("0000000002", expires_in=40, norm=None)
    debit(make("=1+2<b>"), "10250.00")
    drain()
    tamper()
    return run_night()


def show(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    call_command("night_report", *arguments)
    return capsys.readouterr().out


def test_as_text(told: ReconciliationRun, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [re.sub(r"\s+", " ", line).strip() for line in show(capsys=capsys).splitlines()]
    assert re.fullmatch(
        rf"Run 1 of {day(0)}, the night, \d\d:\d\d:\d\d to \d\d:\d\d:\d\d IST: "
        "3 licenses checked, 1 drifted, 1 repaired, 0 with an expiry",
        lines[0],
    )
    assert lines[1] == "flag to turn, 0 in quarantine."
    end = lines.index("", 3)
    drift = " ".join(lines[5:end])
    for said in (
        "balance_cif 1.00 10,000.00 edited directly: UPDATE of",
        "debited_cif 2.00 0.00 edited directly: UPDATE of",
    ):
        assert f"0000000001 {said} license balances" in drift
    assert lines[3:5] == ["Drift", "license item field stored expected cause"]
    assert lines[end:] == [
        "",
        "Overdrawn (1)",
        "license item",
        "=1+2<b> USD 250.00 more used than was earned",
        "",
        "Expiring with balance left (2)",
        "license item",
        f"0000000001 in 5 days, {day(5)}: USD 10,000.00 left",
        f"0000000002 in 40 days, {day(40)}: USD 10,000.00 left",
        "",
        "Null since the last night (1)",
        "license item",
        "=1+2<b> USD 0.00 left",
        "",
        "Norm unknown: restrictions by name cannot be applied (1)",
        "license item",
        "0000000002 USD 10,000.00 left",
        "",
        "Expiring with balance left: 1 within 7 days, 1 within 30 days, 2 within 60 days.",
    ]


def test_as_json(told: ReconciliationRun, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(show("--format", "json", capsys=capsys))
    assert report["run"]["licenses_checked"] == 3
    assert report["run"]["finding_counts"] == {"overdrawn": 1, "expiring": 2, "newly null": 1, "norm unknown": 1}
    assert report["expiring"] == {"7": 1, "30": 1, "60": 2}
    assert report["drift"][0].pop("evidence")["table"] == "ledger_licensebalance"
    assert report["drift"][0] == {
        "license_id": 1,
        "import_item_id": None,
        "license_number": "0000000001",
        "serial_number": None,
        "field": "balance_cif",
        "stored": "1.00",
        "expected": "10000.00",
        "cause": "edited directly",
        "repaired": True,
    }
    assert report["findings"]["overdrawn"] == [
        {
            "license_id": 3,
            "license_number": "=1+2<b>",
            "serial_number": None,
            "currency": "USD",
            "amount": "250.00",
            "quantity": None,
            "expiry_date": None,
            "details": {},
        }
    ]
    assert [run["id"] for run in report["trend"]] == [told.pk]


def test_as_csv_without_formulas(told: ReconciliationRun, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(show("--format", "csv", capsys=capsys))))
    assert {row["license_id"] for row in rows} == {"1", "2", "3"}
    assert [(row["kind"], row["license_number"]) for row in rows] == [
        ("drift", "0000000001"),
        ("drift", "0000000001"),
        ("overdrawn", "'=1+2<b>"),
        ("expiring", "0000000001"),
        ("expiring", "0000000002"),
        ("newly null", "'=1+2<b>"),
        ("norm unknown", "0000000002"),
    ]
    assert rows[0]["stored"] == "1.00"
    assert rows[2]["amount"] == "250.00"
    assert rows[3]["expiry_date"] == (business_date() + timedelta(days=5)).isoformat()


class Document(HTMLParser):
    """The tags and the text of an HTML document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_as_one_html_file_that_needs_no_other(told: ReconciliationRun, tmp_path: Path) -> None:
    file = tmp_path / "night.html"
    call_command("night_report", "--format", "html", "--output", str(file))
    text = file.read_text()
    document = Document(text)
    shown = " ".join(" ".join(document.text).split())
    assert "Needs a look. 3 licenses checked, 1 drifted, 1 repaired" in shown
    assert "=1+2<b> USD 250.00 more used than was earned" in shown
    assert "1 within 7 days, 1 within 30 days, 2 within 60 days" in shown
    tags = {tag for tag, _ in document.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "b"}
    assert {name for _, attributes in document.tags for name in attributes} & {"src", "href", "onclick"} == set()
    assert not re.search(r"https?://|url\(|@import", text)
    [bar] = [attributes for tag, attributes in document.tags if attributes.get("class") == "drifted"]
    [repaired] = [attributes for tag, attributes in document.tags if attributes.get("class") == "repaired"]
    assert (bar["height"], repaired["height"]) == ("120", "120")


def bars(run: ReconciliationRun) -> list[tuple[int, int]]:
    heights = re.findall(r'class="(?:drifted|repaired)"[^>]* height="(\d+)"', as_html(gather(run)))
    return [(int(drifted), int(repaired)) for drifted, repaired in zip(heights[::2], heights[1::2], strict=True)]


def test_the_chart_shows_the_last_runs() -> None:
    make("0000000001")
    drain()
    run = run_night()
    for drifted, repaired in ((0, 0), (1_000, 1_000), (10, 5), (1, 1)):
        run = ReconciliationRun.objects.create(
            business_date=business_date(),
            status=RunStatus.COMPLETE,
            finished_at=timezone.now(),
            licenses_drifted=drifted,
            licenses_repaired=repaired,
        )
    assert bars(run) == [(0, 0), (0, 0), (120, 120), (2, 2), (2, 2)]
    ReconciliationRun.objects.bulk_create(
        ReconciliationRun(business_date=business_date(), status=RunStatus.COMPLETE, finished_at=timezone.now())
        for _ in range(40)
    )
    assert len(bars(ReconciliationRun.objects.latest("pk"))) == 30
    assert len(bars(run)) == 5


def test_long_lists_are_cut_for_people_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(60):
        make(f"{number:010}", expires_in=5)
    run_night()
    text = show(capsys=capsys)
    assert "Expiring with balance left (60)" in text
    assert text.count("in 5 days") == 50
    assert "and 10 more; manage.py night_report --run 1 --format csv lists them all" in text
    assert show("--format", "csv", capsys=capsys).count("in 5 days") == 60


def test_which_run_is_shown(told: ReconciliationRun, capsys: pytest.CaptureFixture[str]) -> None:
    second = run_night()
    assert second.trigger == "manual"
    assert show(capsys=capsys).startswith("Run 2 of")
    assert show("--run", "1", capsys=capsys).startswith("Run 1 of")
    assert show("--date", business_date().isoformat(), capsys=capsys).startswith("Run 2 of")
    sql("UPDATE reconcile_reconciliationrun SET finished_at = NULL, status = 'running' WHERE id = 2")
    assert show(capsys=capsys).startswith("Run 1 of")
    assert "! The run is not over." in show("--run", "2", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "9"], "There is no run 9."),
        (["--date", "2020-02-29"], "No run of 29 Feb 2020 is over."),
        ([], "No run is over yet."),
        (["--mail"], "No run is over yet."),
        (["--mail", "--output", "x"], "argument --output: not allowed with argument --mail"),
        (["--date", "29.2.2020"], "'29.2.2020' is not a date like 2026-11-22"),
    ],
)
def test_no_such_run(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=re.escape(says)):
        call_command("night_report", *arguments)


def test_a_file_that_cannot_be_written(told: ReconciliationRun, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        call_command("night_report", "--output", str(tmp_path / "no" / "file"))


def test_drift_that_is_left_is_no_repair(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make("0000000001", expires_in=5)
    make("0000000002")
    drain()
    tamper()
    monkeypatch.setattr(night, "recompute", lambda *_, **__: Outcome(busy={1}))
    run = run_night()
    assert (run.licenses_drifted, run.licenses_repaired) == (1, 0)
    assert "not repaired" in show(capsys=capsys)


def test_a_night_without_findings_is_over_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be written down must not keep the next night from running (G7)."""
    make("0000000001", expires_in=5)
    monkeypatch.setattr(night, "find", lambda _: sql("SELECT 1 / 0"))
    run = run_night()
    assert (run.status, run.licenses_checked) == (RunStatus.COMPLETE, 1)
    assert "! What it found could not be written down: division by zero" in show(capsys=capsys)
    assert gather(run).is_worrying
    assert "Nothing else to report" not in as_html(gather(run))


def test_a_trigger_at_fault_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    make("0000000001")
    drain()
    [[name]] = sql(
        "SELECT tgname FROM pg_trigger"
        " WHERE tgrelid = 'license_exportitem'::regclass AND tgname LIKE '%capture_insert%'"
    )
    sql(f"ALTER TABLE license_exportitem DISABLE TRIGGER {name}")
    try:
        run = run_night()
    finally:
        sql(f"ALTER TABLE license_exportitem ENABLE ALWAYS TRIGGER {name}")
    assert gather(run).is_worrying
    assert "on license_exportitem: disabled. Every license is suspect." in show(capsys=capsys)


@pytest.fixture
def ages(settings: Any) -> None:
    settings.HISTORY_DAYS, settings.REPORT_DAYS = 100, 10


def test_what_is_old_is_deleted(told: ReconciliationRun, ages: None) -> None:
    def left() -> tuple[int, ...]:
        return tuple(model.objects.count() for model in (ReconciliationRun, Drift, Finding, ReconciliationChunk))

    assert left() == (1, 2, 5, 1)
    delete_what_is_old()
    assert left() == (1, 2, 5, 1)
    sql("UPDATE reconcile_reconciliationrun SET finished_at = now() - interval '11 days'")
    delete_what_is_old()
    assert left() == (1, 2, 0, 1)  # its drift is kept, and the chunk that it was found in
    sql("UPDATE reconcile_reconciliationrun SET finished_at = now() - interval '101 days'")
    delete_what_is_old()
    delete_what_is_old()
    assert left() == (1, 0, 0, 0)
    assert ReconciliationRun.objects.get().finding_counts == {
        "overdrawn": 1,
        "expiring": 2,
        "newly null": 1,
        "norm unknown": 1,
    }
    assert LicenseBalance.objects.count() == 3


def test_what_the_night_itself_changed_is_told_by_that_night_alone() -> None:
    license = make("0000000001")
    drain()
    run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 2")
    debit(license, "9999.00")
    sql("DELETE FROM ledger_licensechange")  # so that the night finds it
    call_command("sync_licenses")
    assert [row[0] for row in found(FindingKind.NEWLY_NULL)] == ["0000000001"]
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1 WHERE id = 2")
    run_night()
    assert found(FindingKind.NEWLY_NULL) == []


def test_a_balance_that_is_written_anew_is_not_newly_null() -> None:
    debit(make("0000000001"), "9999.00")
    run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")
    sql("TRUNCATE ledger_licensebalance")
    run_night()
    assert found(FindingKind.NEWLY_NULL) == []


def test_a_night_that_told_nothing_leaves_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    license = make("0000000001", expires_in=-1)
    run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 2")
    debit(license, "9999.00")
    with monkeypatch.context() as patch:
        patch.setattr(night, "find", lambda _: sql("SELECT 1 / 0"))
        run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1 WHERE id = 2")
    run_night()
    assert [row[0] for row in found(FindingKind.NEWLY_NULL)] == ["0000000001"]
    assert [row[0] for row in found(FindingKind.EXPIRED)] == ["0000000001"]


def test_an_expiry_date_that_was_corrected_into_the_past_is_told() -> None:
    license = make("0000000001", expires_in=100)
    run_night()
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")
    License.objects.filter(pk=license.pk).update(license_expiry_date=business_date() - timedelta(days=40))
    run_night()
    assert [row[4] for row in found(FindingKind.EXPIRED)] == [f"on {day(-40)} with USD 10,000.00 left"]


def test_what_the_run_cannot_vouch_for_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    quarantined, unchecked, pending, sure = (make(f"000000000{n}", expires_in=5) for n in range(1, 5))
    drain()
    ExportItem.objects.create(license=quarantined, cif_fc="9999999999999.99")
    drain()
    monkeypatch.setattr(night, "recompute", lambda *_, **__: Outcome())
    sql("INSERT INTO ledger_licensechange (license_id, source, operation) VALUES (%s, '', '')", pending.pk)
    find_drift = night.find_drift

    def fail_on_the_second(license_ids: list[int], faults: Any) -> Any:
        return sql("SELECT 1 / 0") if unchecked.pk in license_ids else find_drift(license_ids, faults)

    monkeypatch.setattr(night, "find_drift", fail_on_the_second)
    with pytest.raises(CommandError, match=r"1 chunks of the run failed: licenses 0000000002 to 0000000002: division"):
        call_command("sync_licenses", "--batch-size", "1")
    left = f"in 5 days, {day(5)}: USD 10,000.00 left"
    assert [(row[0], row[4]) for row in found(FindingKind.EXPIRING)] == [
        ("0000000001", f"{left} (in quarantine: may be wrong)"),
        ("0000000002", f"{left} (not checked: may be wrong)"),
        ("0000000003", f"{left} (changes pending: may be wrong)"),
        (sure.license_number, left),
    ]
    run = ReconciliationRun.objects.latest("pk")
    assert (
        "! 1 chunks of the run failed, their licenses were not checked: licenses 0000000002 to 0000000002: division by"
        in as_text(gather(run))
    )
    assert 'class="quiet"' not in as_html(gather(run))  # not a night without drift


def test_a_chunk_whose_workers_were_lost_each_time_is_told() -> None:
    make("0000000001")
    drain()
    run = night.start("manual")  # type: ignore[arg-type]
    assert run is not None
    sql("UPDATE reconcile_reconciliationchunk SET attempts = 3, leased_until = now() - interval '1 second'")
    with pytest.raises(CommandError, match="0000000001 to 0000000001: who worked on them was lost each time"):
        call_command("sync_licenses")


def test_what_may_be_duty_is_in_the_subject() -> None:
    debit(make("0000000001"), "10250.00")
    by_sheet = make("0000000002")
    by_sheet.import_items.update(restriction_percentage="2.50")
    debit(by_sheet, "250.01")
    assert subject(gather(run_night())).endswith(": 1 overdrawn, 1 restrictions overused")


def test_the_worst_amount_and_the_nearest_date_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    debit(make("0000000001", expires_in=9), "10001.00")
    debit(make("0000000002", expires_in=5), "19000.00")
    make("0000000003", expires_in=9)
    make("0000000004", expires_in=5)
    run_night()
    text = show(capsys=capsys)
    assert text.index("0000000002") < text.index("0000000001")
    assert text.index("0000000004") < text.index("0000000003")


def test_findings_that_are_no_longer_kept(told: ReconciliationRun, capsys: pytest.CaptureFixture[str]) -> None:
    Finding.objects.all().delete()
    text = show(capsys=capsys)
    assert "Overdrawn (1): no longer kept" in text
    assert "more;" not in text
    assert "within 7 days" not in text
    assert as_html(gather(told)).count("No longer kept.") == 4


def test_licenses_and_items_that_are_gone_are_told_apart() -> None:
    one, other = make("0000000001"), make("0000000002")
    for serial_number in (2, 3):
        ImportItem.objects.create(license=one, serial_number=serial_number)
    drain()
    one.import_items.filter(serial_number__gt=1).delete()
    other.delete()
    sql("DELETE FROM ledger_licensechange")
    call_command("sync_licenses")
    rows = list(Drift.objects.order_by("license_id", "import_item_id").values_list("license_id", "import_item_id"))
    assert rows == [(1, 2), (1, 3), (2, None), (2, 4)] or rows == [(1, 3), (1, 4), (2, 2), (2, None)]
    assert "id 2, gone" in as_text(gather(ReconciliationRun.objects.get()))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_number_is_cut(width: int) -> None:
    license = make("0000000001", cif_fc="9999999999999.99", expires_in=5)
    drain()
    tamper()
    run = run_night()
    text = as_text(gather(run), width)
    for whole in (license.license_number, " 99,99,99,99,99,999.99 ", "balance_cif", "debited_cif"):
        assert whole in text
    assert "…" not in text
