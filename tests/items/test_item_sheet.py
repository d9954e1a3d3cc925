"""Item sheets: what they change, what they leave, and that a file with any error changes nothing at all."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, ImportItemBalance
from license import sheet_report
from license.models import Company, ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import assert_balances_follow_facts
from tests.items.conftest import FIRST, SECOND, Write, run, state

HEADING = "license_number,serial_number,description,hs_code,unit,item_names,restriction_percentage,norm\n"
FULL = (
    HEADING
    + "318034063,1,Refined palm oil,1511.90.20,KGS,Palm Oil,,e5\n"
    + "318034063,2,Cocoa powder,18050000,KGS,Palm Oil; Cocoa Powder,7.5%,\n"
    + "318034064,1,Almonds,8021200,,,0,\n"
)
FULL_STATE = [
    (FIRST, 1, "Refined palm oil", "15119020", "KGS", None, "Palm Oil"),
    (FIRST, 2, "Cocoa powder", "18050000", "KGS", Decimal("7.50"), "Cocoa Powder; Palm Oil"),
    (FIRST, 3, "", "", "", None, None),
    (SECOND, 1, "Almonds", "08021200", "", Decimal("0.00"), None),
    (SECOND, 2, "", "", "", None, None),
]
pytestmark = pytest.mark.usefixtures("licenses")


def test_everything_that_a_sheet_says(csv_file: Write) -> None:
    out = run("import_items", csv_file(FULL))
    after = state()
    assert after["items"] == FULL_STATE
    assert after["exports"] == [(FIRST, "export 1", "E5"), (SECOND, "export 1", None), (SECOND, "export 2", None)]
    assert after["HS codes"] == [("08021200",), ("15119020",), ("18050000",)]
    assert out.splitlines() == [
        "Item sheet, 3 rows read, 0 unchanged.",
        "Changed: descriptions 3, HS codes 3, units 2, condition sheet percentages 2, names linked 3, norms set 1.",
    ]


def test_twice_is_once(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    drain()
    before = state()
    assert before["changes"] == []
    out = run("import_items", csv_file(FULL))
    assert state() == before
    assert out == "Item sheet, 3 rows read, 3 unchanged.\nChanged: nothing.\n"


def test_a_dry_run_shows_what_would_change_and_changes_nothing(csv_file: Write) -> None:
    before = state()
    out = run("import_items", "--dry-run", csv_file(FULL))
    assert state() == before
    assert out.splitlines() == [
        f"{FIRST} item 1 description: none -> 'Refined palm oil'",
        f"{FIRST} item 1 hs_code: none -> '15119020'",
        f"{FIRST} item 1 unit: none -> 'KGS'",
        f"{FIRST} item 2 description: none -> 'Cocoa powder'",
        f"{FIRST} item 2 hs_code: none -> '18050000'",
        f"{FIRST} item 2 unit: none -> 'KGS'",
        f"{FIRST} item 2 restriction_percentage: none -> 7.50 %",
        f"{SECOND} item 1 description: none -> 'Almonds'",
        f"{SECOND} item 1 hs_code: none -> '08021200'",
        f"{SECOND} item 1 restriction_percentage: none -> 0.00 %",
        f"{FIRST} item 1 item_names: none -> Palm Oil",
        f"{FIRST} item 2 item_names: none -> Palm Oil; Cocoa Powder",
        f"{FIRST} export item 'export 1' norm: none -> E5",
        "Item sheet, 3 rows read, 0 unchanged.",
        (
            "Dry run, nothing is changed. It would change: descriptions 3, HS codes 3, units 2, "
            "condition sheet percentages 2, names linked 3, norms set 1."
        ),
    ]


def test_blank_cells_change_nothing_and_a_dash_clears(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    run("import_items", csv_file(HEADING + f"{FIRST},1,,,,,,\n{FIRST},2,,,,,-,\n{SECOND},1,,,,,none,\n"))
    cleared = [(*row[:5], None, *row[6:]) for row in FULL_STATE]
    assert state()["items"] == cleared


def test_what_people_linked_stays(csv_file: Write) -> None:
    item = ImportItem.objects.get(license__license_number=FIRST, serial_number=1)
    item.item_names.add(ItemName.objects.get(name="Cocoa Powder"))
    run("import_items", csv_file(FULL))
    assert state()["items"][0][-1] == "Cocoa Powder; Palm Oil"


def test_columns_that_no_balance_depends_on_leave_no_change(csv_file: Write) -> None:
    run("import_items", csv_file(HEADING + f"{FIRST},1,Palm oil,1511,KGS,,,\n"))
    assert state()["changes"] == []
    run("import_items", csv_file(HEADING + f"{FIRST},1,Palm oil,1511,KGS,,5,\n"))
    assert state()["changes"] == [("license_importitem", "UPDATE")]


def test_xlsx_and_csv_give_the_same(xlsx_file: Callable[..., Path]) -> None:
    heading = [
        "Lic. No.",
        "Sr.No",
        "Item Description",
        "HSN",
        "UOM",
        "Item Name",
        "Condition Sheet %",
        "SION",
        "Remarks",
    ]
    rows: list[list[Any]] = [
        heading,
        [318034063.0, 1.0, "Refined palm oil", 15119020, "KGS", "Palm Oil", None, "e5", "x"],
        ["0318034063", "1" + "\xa0", None],
        [(318034063, "0000000000"), 2, "Cocoa  powder ", 18050000.0, "KGS", "Palm Oil|Cocoa Powder", (0.075, "0.0%")],
        ["318034064", 1, "Almonds", 8021200, None, None, 0],
    ]
    with pytest.raises(CommandError, match=r"row 3: license 0318034063 item 1 stands in row 2 already"):
        run("import_items", xlsx_file(rows))
    del rows[2]
    out = run("import_items", xlsx_file(rows))
    assert state()["items"] == FULL_STATE
    assert "columns with an unknown heading are not read: Remarks" in out


def test_norms_make_a_restriction_bite(csv_file: Write) -> None:
    def available() -> list[Decimal]:
        drain()
        assert_balances_follow_facts()
        items = ImportItemBalance.objects.filter(license__license_number=FIRST).order_by("import_item")
        return list(items.values_list("available_value", flat=True))

    used = ImportItem.objects.get(license__license_number=FIRST, serial_number=2)
    allotment = Allotment.objects.create(company=Company.objects.create(iec="0000000001"))
    AllotmentLine.objects.create(allotment=allotment, import_item=used, cif_fc=Decimal(300))
    assert available() == [9700, 9700, 9700]
    heading = "license_number,serial_number,item_names,norm,restriction_percentage\n"
    run("import_items", csv_file(heading + f"{FIRST},1,Palm Oil,,\n{FIRST},2,Palm Oil,,\n"))
    assert available() == [9700, 9700, 9700]  # the norm is not known yet
    run("import_items", csv_file(heading + f"{FIRST},,,E5,\n"))
    assert available() == [700, 700, 9700]  # 10 % of 10000, less what both have used
    run("import_items", csv_file(heading + f"{FIRST},2,,,0\n"))
    assert available() == [1000, 9700, 9700]  # its condition sheet frees the second, its use leaves the pool
    run("import_items", csv_file(heading + f"{FIRST},2,,,-\n"))
    assert available() == [700, 700, 9700]


@pytest.mark.parametrize(
    ("norms", "after", "note"),
    [
        ([None], ["E1"], ""),
        ([None, None], ["E1", "E1"], ""),
        (["E1"], ["E1"], ""),
        (["E5"], ["E1"], "the norm E5 gives way to E1"),
        (["E5", None], ["E5", "E1"], "an export item ('export 0') has the norm E5, which stays"),
        (["E5", "E1"], ["E5", "E1"], "an export item ('export 0') has the norm E5, which stays"),
        ([], [], "has no export item that could have a norm"),
    ],
)
def test_norms_of_export_items(csv_file: Write, norms: list[str | None], after: list[str], note: str) -> None:
    ExportItem.objects.filter(license__license_number=SECOND).delete()
    known = {code: SionNorm.objects.get_or_create(code=code)[0] for code in ("E1", "E5")}
    license = License.objects.get(license_number=SECOND)
    for n, norm in enumerate(norms):
        ExportItem.objects.create(license=license, description=f"export {n}", norm=known[norm] if norm else None)
    out = run("import_items", csv_file(HEADING + f"{SECOND},1,,,,,,e1\n{SECOND},2,,,,,,E1\n"))
    assert [norm for number, _, norm in state()["exports"] if number == SECOND] == after
    assert note in out
    assert ("items.csv:2: column H (norm)" in out) == bool(note)


BAD_ROWS = [
    (f"{FIRST},x,,,,,,", "items.csv:2: column B (serial_number) 'x' is not a serial number"),
    (f"{FIRST},9,a,,,,,", "column B (serial_number) license 0318034063 has no import item 9; load its ledger first"),
    ("0399999999,1,a,,,,,", "column A (license_number) license 0399999999 is not known; load its ledger first"),
    (",1,a,,,,,", "column A (license_number) is blank"),
    (f"{FIRST},,a,,,,,", "column B (serial_number) is blank; a row without a serial number can say only the norm"),
    (f"{FIRST},,,,,,-,", "column B (serial_number) is blank"),
    (f"{FIRST},1,,12,,,,", "column D (hs_code) '12' is not an HS code"),
    (f"{FIRST},1,,,,Palm Oyl,,", "column F (item_names) 'Palm Oyl' is not a known item name; did you mean 'Palm Oil'?"),
    (f"{FIRST},1,,,,PALM OIL,,", "did you mean 'Palm Oil'?"),
    (f"{FIRST},1,,,,Xyz,,", "'Xyz' is not a known item name; load a name sheet that defines it first"),
    (f"{FIRST},1,,,,,101,", "column G (restriction_percentage) '101' is more than 100 %"),
    (f"{FIRST},1,,,,,NaN,", "'NaN' is not a percentage"),
    (f"{FIRST},1,,,,,1_0,", "'1_0' is not a percentage"),
    (f"{FIRST},1,,,,,\u0967\u0966,", "is not a percentage"),
    (f"{FIRST},1,{'x' * 1001},,,,,", "has 1,001 characters; at most 1,000 are kept"),
    (f"{FIRST},1,a,,,,,E5,stray", "column I 'stray' stands under no heading"),
    (f"{FIRST},1,a,,,,,E5\n{FIRST},2,,,,,,E1", "items.csv:3: column H (norm) 'E1' is not 'E5' of line 2"),
    (f"{FIRST},1,a,,,,,\n{FIRST},1,b,,,,,", "items.csv:3: license 0318034063 item 1 stands in line 2 already"),
    (f"{FIRST},,,,,,,E5\n{FIRST},,,,,,,E5", "items.csv:3: license 0318034063 without a serial number stands in line 2"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS, ids=[message[:40] for _, message in BAD_ROWS])
def test_a_file_with_any_error_changes_nothing(csv_file: Write, row: str, message: str) -> None:
    before = state()
    good = f"{SECOND},2,Fine,1511,KGS,Palm Oil,5,E132\n"
    with pytest.raises(CommandError) as error:
        run("import_items", csv_file(HEADING + row + "\n" + good))
    assert message in str(error.value)
    assert str(error.value).startswith("items.csv has 1 error; nothing is changed.\nitems.csv:")
    assert error.value.returncode == 1
    assert state() == before


def test_all_errors_are_listed_up_to_a_limit(csv_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row, _ in BAD_ROWS if "\n" not in row]
    with pytest.raises(CommandError) as error:
        run("import_items", csv_file(HEADING + f"{FIRST},1,,1,,Nope,200,\n0399999999,1,,1,,,,\n"))
    assert len(str(error.value).splitlines()) == 6
    monkeypatch.setattr(sheet_report, "MOST_LISTED", 2)
    with pytest.raises(CommandError) as error:
        run("import_items", csv_file(HEADING + "\n".join(f"{FIRST},9{n},,,,,," for n in range(len(rows)))))
    assert str(error.value).splitlines()[0] == f"items.csv has {len(rows)} errors; nothing is changed."
    assert str(error.value).splitlines()[-1] == f"… and {len(rows) - 2} more."
    assert len(str(error.value).splitlines()) == 4


def test_a_fraction_is_not_taken_for_a_percentage_in_silence(csv_file: Write) -> None:
    out = run("import_items", csv_file(HEADING + f"{FIRST},1,,,,,0.1,\n"))
    assert "items.csv:2: column G (restriction_percentage) is taken as 0.10 %, not as a fraction of 1." in out


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("missing.csv", None, "missing.csv: the file does not exist"),
        ("empty.csv", "", "empty.csv: the file is empty"),
        ("other.csv", "a,b\n1,2\n", "neither that of an item sheet"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(CommandError, match=why) as error:
        run("import_items", tmp_path / name)
    assert len(str(error.value).splitlines()) == 1
