"""Name sheets: item names and their match rules."""

from decimal import Decimal

import pytest
from django.core.management import CommandError
from django.db import IntegrityError, transaction

from ledger.engine import drain
from license.models import ItemName, MatchRule
from tests.conftest import sql
from tests.items.conftest import Write, run, state

HEADING = "item_name,norm,restriction_percentage,words,hs_prefix\n"
FULL = (
    HEADING
    + "Palm Oil,E5,10,Oil PALM,1511\n"
    + "Palm Oil,,,palmolein*,\n"
    + "Cashew,e132,3,,0801\n"
    + "Packing Film,,,,\n"
    + "Palm Oil,e5,10.00,palm oil,1511\n"
)
NAMES = [
    ("Cashew", "E132", Decimal("3.00")),
    ("Packing Film", None, Decimal("0.00")),
    ("Palm Oil", "E5", Decimal("10.00")),
]
RULES = [
    ("Palm Oil", "oil palm", "1511"),
    ("Palm Oil", "palmolein*", ""),
    ("Palm Oil", "palm oil", "1511"),
    ("Cashew", "", "0801"),
]
pytestmark = pytest.mark.usefixtures("clean")


def test_names_and_rules(csv_file: Write) -> None:
    out = run("import_items", csv_file(FULL))
    assert (state()["names"], state()["rules"]) == (NAMES, RULES)
    assert state()["norms"] == [("E132",), ("E5",)]
    assert out == "Name sheet, 5 rows read, 0 unchanged.\nChanged: names created 3, rules added 4.\n"


def test_twice_is_once(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    drain()
    before = state()
    out = run("import_items", csv_file(FULL))
    assert state() == before
    assert before["changes"] == []
    assert out == "Name sheet, 5 rows read, 5 unchanged.\nChanged: nothing.\n"


def test_a_dry_run_changes_nothing(csv_file: Write) -> None:
    before = state()
    out = run("import_items", "--dry-run", csv_file(HEADING + "Palm Oil,E5,10,oil palm,1511\n"))
    assert state() == before
    assert out.splitlines() == [
        "'Palm Oil' name: none -> created",
        "'Palm Oil' norm: none -> E5",
        "'Palm Oil' restriction_percentage: 0.00 % -> 10.00 %",
        "'Palm Oil' rule: none -> words 'oil palm' and HS 1511",
        "Name sheet, 1 rows read, 0 unchanged.",
        "Dry run, nothing is changed. It would change: names created 1, rules added 1.",
    ]


def test_only_what_differs_is_written(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    drain()
    run("import_items", csv_file(HEADING + "Cashew,,5,,\nPalm Oil,,,,\n"))
    assert state()["names"][0] == ("Cashew", "E132", Decimal("5.00"))
    assert state()["rules"] == RULES
    assert state()["changes"] == [("license_itemname", "UPDATE")]


def test_rules_of_a_sheet_replace_those_of_its_names(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    out = run("import_items", csv_file(HEADING + "Palm Oil,,,palm kernel,\nPalm Oil,,,oil palm,1511\n"))
    assert state()["rules"] == [RULES[0], RULES[3], ("Palm Oil", "palm kernel", "")]
    assert "Changed: rules added 1, rules removed 2." in out


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",E5,10,,", "items.csv:2: column A (item_name) is blank; the item name is needed"),
        ("Cocoa,E5,101,,", "column C (restriction_percentage) '101' is more than 100 %"),
        ("Cocoa,E5,-,,", "'-' is not a percentage"),
        ("Cocoa,-,1,,", "'-' is not a norm"),
        ("Cocoa,,,,802", "column E (hs_prefix) '802' has 3 digits"),
        ("Cocoa,,,*,", "column D (words) '*' is not a list of words"),
        ("Cocoa;Milk,,,,", "holds ';' or '|'"),
        ("palm oil,,,,", "'palm oil' is written 'Palm Oil' elsewhere; write it so"),
        ("Milk,,,,\nMILK,,,,", "items.csv:3: column A (item_name) 'MILK' is written 'Milk' elsewhere"),
        ("Milk,E1,,,\nMilk,E5,,,", "items.csv:3: column B (norm) 'E5' is not what an earlier row says"),
        ("Milk,,1,,\nMilk,,2,,", "'2.00' is not what an earlier row says of this name ('1.00')"),
    ],
)
def test_a_file_with_any_error_changes_nothing(csv_file: Write, row: str, message: str) -> None:
    ItemName.objects.create(name="Palm Oil")
    before = state()
    with pytest.raises(CommandError) as error:
        run("import_items", csv_file(HEADING + row + "\nFine,E126,3,fine,0101\n"))
    assert message in str(error.value)
    assert "1 error;" in str(error.value)
    assert state() == before


@pytest.mark.parametrize("rule", [{}, {"words": "", "hs_prefix": ""}, {"hs_prefix": "15x"}])
def test_the_database_refuses_rules_that_say_nothing(rule: dict[str, str]) -> None:
    name = ItemName.objects.create(name="Palm Oil")
    with pytest.raises(IntegrityError), transaction.atomic():
        MatchRule.objects.create(item_name=name, **rule)


def test_rules_go_with_their_name(csv_file: Write) -> None:
    run("import_items", csv_file(FULL))
    ItemName.objects.get(name="Palm Oil").delete()
    assert sql("SELECT hs_prefix FROM license_matchrule") == [("0801",)]
