"""What an entry becomes, and what is said of one that is wrong."""

from typing import Any

import pytest
from django.test import Client

from ledger.engine import drain
from ledger.models import BillOfEntry, BillOfEntryLine
from license.models import ExportItem, ImportItem, ItemName, License, MatchRule, SionNorm, Source
from tests.conftest import assert_balances_follow_facts, sql
from tests.web.conftest import read
from tests.web.entry.conftest import (
    ALLOTMENT,
    BILL,
    NUMBER,
    bill_of,
    change,
    errors,
    facts,
    form,
    item,
    line,
    post,
    saved,
)


def test_a_new_license_begins_with_a_row_of_each(operator: Client) -> None:
    add = "/entry/license/license/add/"
    assert {"export_items-0-cif_fc", "import_items-0-quantity"} <= form(operator, add).keys()
    saved(post(operator, add, license_number="0318034063", license_date="05/03/2026"))
    entered = License.objects.get(license_number="0318034063")
    assert not entered.export_items.exists(), "a row that nobody has touched is none"
    assert not entered.import_items.exists()


def test_the_number_that_is_proposed_makes_no_item_by_itself(operator: Client) -> None:
    add = "/entry/license/license/add/"
    proposed = form(operator, add)
    number = "import_items-0-serial_number"
    assert (proposed[number], proposed[f"initial-{number}"]) == (["1"], ["1"])
    saved(post(operator, add, license_number="1", license_date="05/03/2026", **{"import_items-0-quantity": "5"}))
    saved(post(operator, add, license_number="2", license_date="05/03/2026", **{number: "2"}))
    entered = sql("SELECT serial_number, quantity::int FROM license_importitem ORDER BY id DESC LIMIT 2")
    assert entered == [(2, 0), (1, 5)]
    page = change(License.objects.get(license_number="0000000001"))
    assert f"initial-{number}" not in form(operator, page)  # an item that there is has no number to propose
    added = {**form(operator, page), "import_items-TOTAL_FORMS": 3, "_save": "Save"}
    for n, quantity in ((1, "0"), (2, "7")):
        row = {"serial_number": n + 1, "quantity": quantity, "cif_fc": "0", "cif_inr": "0"}
        added |= {f"import_items-{n}-{name}": value for name, value in row.items()}
        added[f"initial-import_items-{n}-serial_number"] = n + 1  # as the script proposes it
    saved(operator.post(page, added))
    assert [item.serial_number for item in ImportItem.objects.filter(license__license_number="0000000001")] == [1, 3]


def test_numbers_stand_in_a_form_as_on_the_pages_and_mean_the_same(operator: Client) -> None:
    ExportItem.objects.filter(license__license_number=NUMBER).update(cif_fc="111302.61")
    ImportItem.objects.filter(license__license_number=NUMBER, serial_number=2).update(
        quantity="123456.5", restriction_percentage="7.25"
    )
    drain()
    shown = form(operator, change(License.objects.get(license_number=NUMBER)))
    fields = ("export_items-0-cif_fc", "import_items-1-quantity", "import_items-1-restriction_percentage")
    assert [shown[field] for field in fields] == [["1,11,302.61"], ["1,23,456.5"], ["7.25"]]
    before = items()
    saved(post(operator, change(License.objects.get(license_number=NUMBER))))
    assert items() == before


def items() -> list[Any]:
    return [sql(f"SELECT * FROM license_{table} ORDER BY 1") for table in ("exportitem", "importitem")]


def test_from_an_entry_to_a_balance(operator: Client) -> None:
    license = {
        "license_number": "318034063", "license_date": "05/03/2026", "license_expiry_date": "2027-03-04",
        "notification_number": "98 / 2009-Cus", "currency": "usd",
        "export_items-TOTAL_FORMS": 1, "export_items-0-norm": SionNorm.objects.get().pk,
        "export_items-0-cif_fc": "1,11,302.61", "export_items-0-net_quantity": "0", "export_items-0-fob_inr": "0",
        "export_items-0-cif_inr": "0",
        "import_items-TOTAL_FORMS": 1, "import_items-0-serial_number": 1, "import_items-0-quantity": "1,000.500",
        "import_items-0-cif_fc": "0", "import_items-0-cif_inr": "0", "import_items-0-unit": "KGS",
        "import_items-0-item_names": [ItemName.objects.get().pk],
    }  # fmt: skip
    saved(post(operator, "/entry/license/license/add/", **license))
    entered = License.objects.get(license_number="0318034063")
    assert (entered.license_date.isoformat(), entered.license_expiry_date.isoformat()) == ("2026-03-05", "2027-03-04")
    assert (entered.notification_number, entered.currency, entered.is_expiry_presumed) == ("098/2009", "USD", False)
    assert entered.export_items.get().source == Source.MANUAL
    first = item(1, "0318034063")
    assert list(first.item_names.all()) == [ItemName.objects.get()]
    saved(post(operator, BILL, number="4711", date="05-03-2026", lines=[line(first, "20,000", "40.5")]))
    saved(post(operator, ALLOTMENT, company=1, lines=[line(first, "1000", "10")]))
    drain()
    assert_balances_follow_facts()
    figures = read(operator.get("/licenses/0318034063/")).texts("//ul[@class='tiles figures']/li")
    assert figures == ["90,302.61 Balance, USD", "1,11,302.61 Credit", "20,000.00 Debited", "1,000.00 Allotted"]
    [bill] = BillOfEntry.objects.all()
    assert (bill.date.isoformat(), bill.lines.get().source, bill.lines.get().transaction_type) == (
        "2026-03-05",
        "manual",
        "D",
    )
    assert read(operator.get("/entry/")).texts("//ul[@class='actionlist']/li/a")[1] == "BE 4711 of 05 Mar 2026"


@pytest.mark.parametrize(
    ("model", "typed", "kept"),
    [
        ("company", {"iec": "388021221", "name": "Surat Foods"}, {"iec": "0388021221"}),
        ("port", {"code": "innsa1"}, {"code": "INNSA1"}),
        ("hscode", {"code": "1511.90"}, {"code": "151190"}),
        ("sionnorm", {"code": "e126"}, {"code": "E126"}),
        (
            "itemname",
            {"name": "Palm oil", "restriction_percentage": "7.5", "match_rules-TOTAL_FORMS": 1,
             "match_rules-0-words": "Palm  OIL", "match_rules-0-hs_prefix": "15.11"},
            {"name": "Palm oil", "match_rules__words": "palm oil", "match_rules__hs_prefix": "1511"},
        ),
    ],
)  # fmt: skip
def test_what_lists_hold(model: str, typed: dict[str, Any], kept: dict[str, str], operator: Client) -> None:
    saved(post(operator, f"/entry/license/{model}/add/", **typed))
    from django.apps import apps

    entered = apps.get_model("license", model).objects.get(**kept)
    assert str(entered) in operator.get(f"/entry/license/{model}/", {"q": str(entered)[-4:]}).content.decode()
    saved(post(operator, change(entered)))  # and once more, untouched
    if model == "itemname":
        nothing = {"match_rules-0-words": "", "match_rules-0-hs_prefix": ""}
        assert errors(post(operator, change(entered), **nothing)) == [
            "A rule says something: words, the beginning of an HS code, or both."
        ]
    assert apps.get_model("license", model).objects.filter(**kept).count() == 1


ROW = {"import_items-TOTAL_FORMS": 1, "import_items-0-serial_number": 1}
RULE = {"name": "Oil", "match_rules-TOTAL_FORMS": 1}
LINE = ("a line",)
DJANGOS = ("onstraint", "Ensure", "Enter a", "valid choice", "This field", "duplicate")
GONE = "What was chosen is not there, or no longer: choose again."
BAD = {
    "not a date": ("license/license", {"license_date": "13/13/2026"}, "This is not a date; write it as DD/MM/YYYY."),
    "a year": ("license/license", {"license_date": "01/01/0206"}, "The year is 206; correct it."),
    "expired before": (
        "license/license", {"license_date": "05/03/2026", "license_expiry_date": "04/03/2026"},
        "It cannot expire before its license date.",
    ),
    "a long number": ("license/license", {"license_number": "12345678901"}, "“12345678901” has 11 digits; at most 10"),
    "there already": (
        "license/license", {"license_number": "310000008"}, "License with this License number already exists.",
    ),
    "a currency": ("license/license", {"currency": "U$D"}, "“U$D” is not a currency; it has three letters"),
    "serial 0": ("license/license", {**ROW, "import_items-0-serial_number": 0}, "Serial number cannot be less than 1."),
    "serial x": (
        "license/license", {**ROW, "import_items-0-serial_number": "x"}, "Serial number is not a whole number.",
    ),
    "serial out of range": (
        "license/license", {**ROW, "import_items-0-serial_number": 3_000_000_000},
        "Serial number cannot be more than 2147483647.",
    ),
    "serial twice": (
        "license/license",
        {"import_items-TOTAL_FORMS": 2, **{
            f"import_items-{n}-{name}": value
            for n in (0, 1)
            for name, value in (("serial_number", "7"), ("quantity", "0"), ("cif_fc", "0"), ("cif_inr", "0"))
        }},
        "Two rows have the same serial number.",
    ),
    "percentage": (
        "license/license", {**ROW, "import_items-0-restriction_percentage": 101},
        "Condition sheet percentage cannot be more than 100.",
    ),
    "iec": ("license/company", {"iec": "ABC"}, "it has 10 digits or the form ABCDE1234F."),
    "prefix": ("license/itemname", {**RULE, "match_rules-0-hs_prefix": "151"}, "“151” has 3 digits; write 2, 4, 6"),
    "words": ("license/itemname", {**RULE, "match_rules-0-words": "***"}, "“***” is not a list of words"),
    "other case": ("license/itemname", {"name": "CASHEW"}, "There is an item name that differs in its capitals alone"),
    "negative": (*LINE, {"cif_fc": "-1"}, "CIF FC cannot be negative."),
    "decimals": (*LINE, {"cif_fc": "1.005"}, "CIF FC has more than 2 decimals; round it."),
    "digits": (*LINE, {"cif_inr": "12345678901234"}, "is too large; at most 13 digits may stand before the point."),
    "quantity": (
        *LINE, {"quantity": "1234567890123"}, "Quantity is too large; at most 12 digits may stand before the point.",
    ),
    "no quantity": (*LINE, {"quantity": ""}, "Quantity is missing."),
    "a rate": ("ledger/billofentry", {"exchange_rate": "1234567890.1234"}, "Exchange rate has more than 12 digits."),
    "grouped wrong": (*LINE, {"cif_fc": "1,50"}, "“1,50” "),
    "no number": (*LINE, {"quantity": "NaN"}, "“NaN” is not a"),
    "too large": (*LINE, {"cif_fc": "99999999999999"}, "is too large; at most 13 digits may stand before the point."),
    "no item": (*LINE, {"import_item": ""}, "Import item is missing."),
    "no such item": (*LINE, {"import_item": "77"}, GONE),
    "no such choice": (
        "license/license", {"purchase_status": "XX"}, GONE,
    ),
    "no such port": ("license/license", {"port": "77"}, GONE),
    "no such name": (
        "license/license", {**ROW, "import_items-0-item_names": ["77"]},
        GONE,
    ),
    "no such allotment": (
        "ledger/billofentry", {"allotments": ["x"]}, GONE,
    ),
    "too long": ("license/license", {"file_number": "x" * 51}, "File number has 51 characters; at most 50 are kept."),
    "no text": ("license/license", {"file_number": "a\0b"}, "File number has a character that cannot be kept"),
    "no number of a license": ("license/license", {"license_number": ""}, "License number is missing."),
    "no date": ("license/license", {"license_date": ""}, "License date is missing."),
    "same rule": (
        "license/itemname",
        {"name": "Oil", "match_rules-TOTAL_FORMS": 2, "match_rules-0-words": "oil", "match_rules-1-words": "oil"},
        "Two rows have the same words and HS prefix.",
    ),
    "twice": (
        "ledger/billofentry", {"lines": [{"import_item": 2, "cif_fc": "1", "quantity": "0"}] * 2},
        f"{NUMBER} / 2 · Sugar stands 2 times; write it once, with the sum.",
    ),
    "same bill": (
        "ledger/billofentry", {"number": "0001"}, "Bill of entry with this Number, Date and Port already exists.",
    ),
    "number": ("ledger/billofentry", {"number": "47 11!"}, "“47 11!” is not a number of a document"),
}  # fmt: skip
"""By what is wrong: where, what is typed (a row of a bill of entry, where it is only that), and what is said."""


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_said_to_people(bad: str, operator: Client) -> None:
    where, typed, said = BAD[bad]
    if where == "a line":
        where, typed = "ledger/billofentry", {"lines": [{"import_item": 1, "cif_fc": "1", "quantity": "0"} | typed]}
    good = {
        "license/license": {
            "license_number": "0310000077", "license_date": "05/03/2026",
            **{f"import_items-0-{name}": "0" for name in ("quantity", "cif_fc", "cif_inr")},
        },
        "license/company": {}, "license/itemname": {}, "ledger/billofentry": {"number": "0002"},
    }[where]  # fmt: skip
    if where == "ledger/billofentry":
        BillOfEntry.objects.create(number="0001")
        typed = {"lines": [], **typed}
    before = facts()
    response = post(operator, f"/entry/{where}/add/", **(good | typed))
    assert any(said in error for error in errors(response)), errors(response)
    assert not any(words in response.content.decode() for words in DJANGOS)
    assert facts() == before


def test_what_only_the_database_refuses_is_said_in_the_form(operator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(2), cif_fc=5)
    name = ItemName.objects.get()
    for words in "ab":
        MatchRule.objects.create(item_name=name, words=words)
    exchanged = {
        License.objects.first(): {"import_items-0-serial_number": 2, "import_items-1-serial_number": 1},
        bill: {"lines-0-import_item": 2, "lines-1-import_item": 1},
        name: {"match_rules-0-words": "b", "match_rules-1-words": "a"},
    }
    before = facts()
    for of, typed in exchanged.items():
        assert any("two rows exchange" in error for error in errors(post(operator, change(of), **typed))), of
    twice = {**form(operator, change(bill)), "lines-INITIAL_FORMS": 0, "_save": "Save"}  # entered by somebody else
    assert any("meanwhile" in error for error in errors(operator.post(change(bill), twice)))
    assert facts() == before


@pytest.mark.parametrize("odd", ["\0", "x", "9" * 30, "9" * 5000, "1.5", "²"])
def test_what_no_form_sends_is_refused_and_breaks_nothing(odd: str, operator: Client) -> None:
    before = facts()
    for page, field in (
        (BILL, "port"), (BILL, "allotments"), (BILL, "lines-0-import_item"),
        (change(ItemName.objects.get()), "sion_norm"),
    ):  # fmt: skip
        assert errors(post(operator, page, number="1", **{field: odd})), (page, field)
    assert facts() == before


def test_an_address_that_makes_no_sense_is_refused_and_breaks_nothing(administrator: Client) -> None:
    choice = "/entry/autocomplete/?app_label=license&model_name=license&field_name=exporter&term="
    for refused in (
        f"{choice}%00", "/entry/pick/item/?term=%00", "/entry/ledger/allotment/?type__exact=%00",
        "/entry/auth/user/?is_active__exact=%00", "/entry/license/company/?name__regex=(",
        "/entry/auth/user/?username__regex=(", "/entry/auth/group/?name__regex=(",
        "/entry/auth/user/?_to_field=password",
    ):  # fmt: skip
        assert administrator.get(refused).status_code == 400, refused
    assert read(administrator.get("/entry/ledger/allotment/?type__exact=AT")).text("//*[@id='changelist']")
    assert administrator.get("/entry/auth/user/?is_active__exact=1&groups__id__exact=1").status_code == 200
