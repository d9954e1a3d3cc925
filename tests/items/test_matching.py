"""Match rules: which names fit, against a plain reading of the rule; and that links are only ever added."""

import re

import pytest
from django.core.management import CommandError
from hypothesis import given
from hypothesis import strategies as st

from ledger.engine import drain
from license import matching
from license.matching import Matcher, Rule
from license.models import HSCode, ImportItem, ItemName, License, MatchRule
from tests.conftest import assert_balances_follow_facts
from tests.items.conftest import FIRST, SECOND, run, state


@pytest.mark.parametrize(
    ("words", "hs_prefix", "description", "hs_code", "fits"),
    [
        ("palm oil", "", "Refined PALM Oil", "", True),
        ("palm oil", "", "Oil of palm, refined", "", True),
        ("palm oil", "", "Palmolein oil", "", False),
        ("palm oil", "", "palm", "", False),
        ("palm*", "", "Palmolein oil", "", True),
        ("palm*", "", "palm", "", True),
        ("palm*", "", "napalm", "", False),
        ("oil", "", "palm-oil/refined", "", True),
        ("oil", "", "palm_oil", "", True),
        ("oil", "", "soil", "", False),
        ("straße", "", "STRASSE", "", False),  # kept folded: 'strasse'
        ("strasse", "", "Straße", "", True),
        ("", "1511", "anything", "15119020", True),
        ("", "1511", "", "1511.90.20", True),
        ("", "1511", "1511", "", False),
        ("", "1511", "", "151", False),
        ("", "15119020", "", "1511", False),
        ("palm", "1511", "Palm", "15119020", True),
        ("palm", "1511", "Palm", "1512", False),
        ("palm", "1511", "Sun", "1511", False),
        ("palm", "", "", "", False),
    ],
)
def test_a_rule_fits(words: str, hs_prefix: str, description: str, hs_code: str, fits: bool) -> None:
    rule = Rule(1, 1, "name", words, hs_prefix)
    assert Matcher([rule]).match(description, hs_code) == ((rule,) if fits else ())


rule_parts = st.tuples(
    st.lists(st.sampled_from(["palm", "palm*", "pa*", "oil", "kernel", "ker*"]), max_size=3, unique=True).map(" ".join),
    st.sampled_from(["", "", "15", "1511", "08", "15119020"]),
).filter(any)
descriptions = st.lists(st.sampled_from(["Palm", "PALMOLEIN", "oil", "kernels", "KERNEL", "pa", "x"]), max_size=5)


@given(
    st.lists(st.tuples(st.integers(1, 3), rule_parts), max_size=6),
    descriptions.map(" ".join),
    st.sampled_from(["", "15", "1511", "1511.90.20", "08021200"]),
)
def test_the_index_finds_what_a_plain_reading_finds(
    rows: list[tuple[int, tuple[str, str]]], description: str, hs_code: str
) -> None:
    rules = [Rule(n, name, str(name), *parts) for n, (name, parts) in enumerate(rows)]

    def holds(rule: Rule) -> bool:
        patterns = (rf"\b{word[:-1]}\w*" if word.endswith("*") else rf"\b{word}\b" for word in rule.words.split())
        has_words = all(re.search(pattern, description, re.IGNORECASE) for pattern in patterns)
        return has_words and hs_code.replace(".", "").startswith(rule.hs_prefix)

    fitting = [rule for rule in rules if holds(rule)]
    first_of_each_name = {rule.item_name_id: rule for rule in reversed(fitting)}
    assert set(Matcher(rules).match(description, hs_code)) == set(first_of_each_name.values())


def test_of_several_rules_of_a_name_the_oldest_is_told() -> None:
    oldest, *others = (
        Rule(n, 1, "Palm Oil", *parts) for n, parts in enumerate([("", "15"), ("pal*", ""), ("oil", "")])
    )
    assert Matcher([oldest, *others]).match("palm oil", "1511") == (oldest,)


@pytest.fixture
def rules(licenses: list[License]) -> None:
    """Rules for the two names, and items that they fit."""
    palm, cocoa = ItemName.objects.get(name="Palm Oil"), ItemName.objects.get(name="Cocoa Powder")
    MatchRule.objects.create(item_name=palm, words="palm oil")
    MatchRule.objects.create(item_name=palm, hs_prefix="1511")
    MatchRule.objects.create(item_name=cocoa, words="cocoa")
    for license, serial, description, hs_code in [
        (FIRST, 1, "Refined palm oil", "15119020"),
        (FIRST, 2, "Cocoa butter in palm oil", ""),
        (SECOND, 1, "", "1511"),
        (SECOND, 2, "Sugar", ""),
    ]:
        ImportItem.objects.filter(license__license_number=license, serial_number=serial).update(
            description=description, hs_code=HSCode.objects.get_or_create(code=hs_code)[0] if hs_code else None
        )


def names() -> dict[tuple[str, int], str | None]:
    return {(row[0], row[1]): row[-1] for row in state()["items"]}


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("items_at_once", [1, 2, 5000])
def test_match_items_links_what_fits(items_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "ITEMS_AT_ONCE", items_at_once)
    out = run("match_items", "--unmatched")
    assert names() == {
        (FIRST, 1): "Palm Oil",
        (FIRST, 2): "Cocoa Powder; Palm Oil",
        (FIRST, 3): None,
        (SECOND, 1): "Palm Oil",
        (SECOND, 2): None,
    }
    assert out.splitlines() == [
        f"{FIRST} item 3 '' HS none fits no rule",
        f"{SECOND} item 2 'Sugar' HS none fits no rule",
        "Linked: names 4, of items 3.",
        "No rule fits 2 items without a name, 1 of them without description and HS code.",
    ]
    drain()
    assert_balances_follow_facts()
    assert run("match_items").splitlines()[0] == "Linked: names 0, of items 0."
    assert state()["changes"] == []


@pytest.mark.usefixtures("rules")
def test_a_dry_run_proposes_and_links_nothing() -> None:
    before = state()
    out = run("match_items", "--dry-run")
    assert state() == before
    assert out.splitlines() == [
        f"{FIRST} item 1 'Refined palm oil' HS 15119020 -> 'Palm Oil' by words 'palm oil'",
        f"{FIRST} item 2 'Cocoa butter in palm oil' HS none -> 'Palm Oil' by words 'palm oil'",
        f"{FIRST} item 2 'Cocoa butter in palm oil' HS none -> 'Cocoa Powder' by words 'cocoa'",
        f"{SECOND} item 1 '' HS 1511 -> 'Palm Oil' by HS 1511",
        "Dry run, nothing is linked. It would link: names 4, of items 3.",
        "No rule fits 2 items without a name, 1 of them without description and HS code.",
    ]


@pytest.mark.usefixtures("rules")
def test_items_that_people_named_are_left_alone() -> None:
    item = ImportItem.objects.get(license__license_number=FIRST, serial_number=1)
    item.item_names.add(ItemName.objects.get(name="Cocoa Powder"))
    run("match_items")
    assert names()[FIRST, 1] == "Cocoa Powder"


@pytest.mark.usefixtures("rules")
def test_items_that_people_name_or_delete_meanwhile_are_left_alone() -> None:
    [matches] = matching.propose()
    named, deleted = ImportItem.objects.filter(license__license_number=FIRST).order_by("serial_number")[:2]
    named.item_names.add(ItemName.objects.get(name="Cocoa Powder"))
    deleted.delete()
    assert matching.link(matches) == 1
    assert names() == {(FIRST, 1): "Cocoa Powder", (FIRST, 3): None, (SECOND, 1): "Palm Oil", (SECOND, 2): None}


@pytest.mark.usefixtures("rules")
def test_of_one_license() -> None:
    assert "Linked: names 1, of items 1." in run("match_items", "--license", SECOND.lstrip("0"))
    assert names()[FIRST, 1] is None
    with pytest.raises(CommandError, match="License 0000000009 is not known"):
        run("match_items", "--license", "9")
    with pytest.raises(CommandError, match="is not a license number"):
        run("match_items", "--license", "a b!")


@pytest.mark.usefixtures("licenses")
def test_without_rules_there_is_nothing_to_match() -> None:
    with pytest.raises(CommandError, match="load a name sheet"):
        run("match_items")
