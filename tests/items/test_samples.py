"""The samples fit the sample ledgers, and bring restrictions to them."""

from pathlib import Path

import pytest

from ledger.engine import drain
from license.headings import ITEM_COLUMNS, NAME_COLUMNS
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.items.conftest import run, state

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
LEDGERS = [SAMPLES / name for name in ("dfia-2025.csv", "dfia-2025-printed.txt", "advance-2025.htm")]


@pytest.mark.usefixtures("clean")
def test_samples() -> None:
    run("import_icegate", *LEDGERS)
    drain()
    available = dict(sql("SELECT import_item_id, available_value FROM ledger_importitembalance"))
    for name in ("item-names.csv", "items.csv"):
        run("import_items", SAMPLES / name)
    out = run("match_items")
    drain()
    assert_balances_follow_facts()
    lowered = [
        item
        for item, value in sql("SELECT import_item_id, available_value FROM ledger_importitembalance")
        if value < available[item]
    ]
    assert len(lowered) > 10
    assert one("SELECT count(*) FROM ledger_importitembalance WHERE overdrawn_value > 0") > 0
    assert "Linked: names 0," not in out
    before = state()
    for name in ("item-names.csv", "items.csv"):
        assert run("import_items", SAMPLES / name).endswith("Changed: nothing.\n")
    assert state() == before


def test_the_page_for_users_names_every_column() -> None:
    page = (ROOT / "docs" / "import-items.md").read_text(encoding="utf-8")
    for field in (*ITEM_COLUMNS, *NAME_COLUMNS):
        assert f"`{field}`" in page
