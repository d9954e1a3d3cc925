"""G1, no write is missed: every way to write × every fact table.

Each case is written twice: once to be rolled back, once to be committed. In the very transaction of the write the
outbox must hold exactly the changes that the table names, and they must mean exactly the licenses that it names. After
the rollback none is left; after the commit a drain makes every balance equal to what the oracle says. And the trail, told
from its beginning, ends with the facts.
"""
# ruff: noqa: C408, E501  (tables, to be read as such)

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pgtrigger
import pytest
from django.db import DatabaseError, connection, models, transaction

from ledger.capture import CAPTURED
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry, BillOfEntryLine
from ledger.sql import load
from license.models import ExportItem, ImportItem, ItemName, License
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.trail.replay import assert_trail_tells_facts

# Licenses A to D have the ids 1 to 4. A and B share an item name, a bill of entry and an allotment; C has others of
# its own, and D has nothing at all. Item 12 is A's too, and nothing hangs on it.
WORLD = """
    INSERT INTO license_sionnorm (id, code) VALUES (1, 'E1'), (2, 'E5');
    INSERT INTO license_company (id, iec) VALUES (1, '0000000001'), (2, '0000000002');
    INSERT INTO license_port (id, code) VALUES (1, 'INNSA1'), (2, 'INMUN1');
    INSERT INTO license_hscode (id, code) VALUES (1, '08011990'), (2, '17019990');
    INSERT INTO license_itemname (id, name, sion_norm_id, restriction_percentage)
        VALUES (1, 'milk', 2, 10), (2, 'sugar', 1, 5), (3, 'spare', 2, 10);
    INSERT INTO license_license (id, license_number, license_date, license_expiry_date, exporter_id, port_id)
        VALUES (1, 'A', '2026-01-01', '2040-01-01', 1, 1), (2, 'B', '2026-01-01', NULL, 1, 1),
            (3, 'C', '2026-01-01', NULL, 1, 1), (4, 'D', '2026-01-01', NULL, 1, 1);
    INSERT INTO license_exportitem (id, license_id, norm_id, cif_fc)
        VALUES (11, 1, 2, 10000), (21, 2, 2, 2000), (31, 3, 1, 3000);
    INSERT INTO license_importitem (id, license_id, serial_number, quantity, hs_code_id)
        VALUES (11, 1, 1, 100, 1), (12, 1, 2, 50, 1), (21, 2, 1, 100, 1), (31, 3, 1, 100, 1);
    INSERT INTO license_importitem_item_names (id, importitem_id, itemname_id) VALUES (1, 11, 1), (2, 21, 1), (3, 31, 2);
    INSERT INTO ledger_billofentry (id, number, company_id, port_id) VALUES (1, '1', 1, 1), (2, '2', 1, 1), (3, '3', 1, 1), (4, '4', 1, 1);
    INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id, quantity, cif_fc)
        VALUES (1, 1, 11, 1, 100), (2, 1, 21, 2, 200), (3, 2, 31, 3, 300);
    INSERT INTO ledger_allotment (id, company_id) VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1);
    INSERT INTO ledger_allotmentline (id, allotment_id, import_item_id, quantity, cif_fc)
        VALUES (1, 1, 11, 1, 10), (2, 1, 21, 2, 20), (3, 2, 31, 3, 30), (4, 4, 31, 4, 40), (5, 5, 31, 1, 50), (6, 6, 31, 1, 60);
    INSERT INTO ledger_allotmentrelease (id, allotment_id) VALUES (1, 5), (2, 6);
    INSERT INTO ledger_allotment_bills_of_entry (id, allotment_id, billofentry_id) VALUES (1, 2, 2), (2, 4, 4);
    SELECT setval(pg_get_serial_sequence(t, 'id'), 100) FROM unnest(ARRAY[
        'license_exportitem', 'license_importitem', 'license_importitem_item_names', 'ledger_billofentry',
        'ledger_billofentryline', 'ledger_allotment', 'ledger_allotmentline', 'ledger_allotment_bills_of_entry',
        'ledger_allotmentrelease']) AS t;
"""
EVERYTHING = "ABCD"
LETTERS = dict(enumerate("ABCDEF", 1))


@pytest.fixture
def world(database: None) -> Iterator[None]:
    """The world above, with nothing pending."""
    sql(WORLD)
    drain()
    assert_balances_follow_facts()
    yield
    if connection.connection is not None:
        connection.rollback()


def pending() -> list[str]:
    """The whole outbox, oldest first, such as `UPDATE license_license license_id=1`."""
    changes = []
    for operation, source, *ids in sql(
        "SELECT operation, source, license_id, import_item_id, allotment_id, item_name_id"
        " FROM public.ledger_licensechange ORDER BY id"
    ):
        names = zip(("license_id", "import_item_id", "allotment_id", "item_name_id"), ids, strict=True)
        changes.append(" ".join([operation, source, *(f"{name}={id_}" for name, id_ in names if id_ is not None)]))
    return changes


def every_change() -> list[int]:
    return [change for (change,) in sql("SELECT id FROM public.ledger_licensechange")]


def meant() -> str:
    """The licenses that the outbox means, in this very transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', 'public', true)")
        cursor.execute(load("resolve_changes"), {"change_ids": every_change()})
        return "".join(sorted({LETTERS[license_id] for _, license_id in cursor.fetchall()}))


def check(write: Callable[[], Any], changes: list[str], licenses: str) -> None:
    """`write` leaves these changes, in any order, and they mean these licenses; none after a rollback."""
    with transaction.atomic():
        write()
        assert (sorted(pending()), meant()) == (sorted(changes), licenses)
        assert_it_was_this_transaction()
        transaction.set_rollback(True)
    assert pending() == []
    write()
    assert sorted(pending()) == sorted(changes)
    assert_trail_tells_facts()
    drain()
    assert_balances_follow_facts()


def assert_it_was_this_transaction() -> None:
    assert sql(
        "SELECT DISTINCT transaction_id = pg_current_xact_id(), created_at BETWEEN now() AND clock_timestamp()"
        " FROM public.ledger_licensechange"
    ) in ([], [(True, True)])


# ── The fact tables ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Fact:
    """A fact table with a row to insert, one to update and one to delete, the ids that each change then names, and the
    licenses that it means."""

    model: type[models.Model]
    new: dict[str, Any]
    new_names: str
    new_means: str
    changed: dict[str, Any]
    changed_names: str
    changed_means: str
    gone: int
    gone_names: str
    gone_means: str

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    def __str__(self) -> str:
        return self.table


NAME_LINK, BILL_LINK = ImportItem.item_names.through, Allotment.bills_of_entry.through
# fmt: off
FACTS = [
    #    table            row to insert                                            names, means            row to update, to what                    names, means                      to delete, names, means
    Fact(License,         dict(id=5, license_number="E", license_date="2026-01-02"), "license_id=5", "E",  dict(id=1, purchase_status="CO"),         "license_id=1", "A",                4, "license_id=4", "D"),
    Fact(ExportItem,      dict(id=12, license_id=1, norm_id=1, cif_fc=5),  "license_id=1", "A",            dict(id=11, cif_fc=5000),                 "license_id=1", "A",                21, "license_id=2", "B"),
    Fact(ImportItem,      dict(id=22, license_id=2, serial_number=9),      "license_id=2", "B",            dict(id=11, quantity=5),                  "license_id=1", "A",                12, "license_id=1", "A"),
    Fact(NAME_LINK,       dict(id=9, importitem_id=12, itemname_id=1),     "import_item_id=12", "A",       dict(id=1, itemname_id=2),                "import_item_id=11", "A",           2, "import_item_id=21", "B"),
    Fact(ItemName,        dict(id=9, name="new", sion_norm_id=2),          "item_name_id=9", "",           dict(id=1, restriction_percentage=20),    "item_name_id=1", "AB",             3, "item_name_id=3", ""),
    Fact(BillOfEntryLine, dict(id=9, bill_of_entry_id=2, import_item_id=21, cif_fc=7), "import_item_id=21", "B", dict(id=1, cif_fc=150),            "import_item_id=11", "A",           2, "import_item_id=21", "B"),
    Fact(AllotmentLine,   dict(id=9, allotment_id=3, import_item_id=12, cif_fc=7), "import_item_id=12", "A", dict(id=1, cif_fc=15),                 "import_item_id=11", "A",           2, "import_item_id=21", "B"),
    Fact(BILL_LINK,       dict(id=9, allotment_id=1, billofentry_id=1),    "allotment_id=1", "AB",         dict(id=1, allotment_id=1),               "allotment_id=1 allotment_id=2", "ABC", 2, "allotment_id=4", "C"),
    Fact(AllotmentRelease, dict(id=9, allotment_id=1),                     "allotment_id=1", "AB",         dict(id=1, allotment_id=3),               "allotment_id=3 allotment_id=5", "C", 2, "allotment_id=6", "C"),
]
# fmt: on


def changes_of(operation: str, fact: Fact, names: str) -> list[str]:
    return [f"{operation} {fact.table} {name}" for name in names.split()]


# ── The ways to write ─────────────────────────────────────────────────────────────────────────────────────────────────


def changed_object(fact: Fact) -> models.Model:
    row = fact.model.objects.get(pk=fact.changed["id"])
    for column, value in fact.changed.items():
        setattr(row, column, value)
    return row


def changed_columns(fact: Fact) -> list[str]:
    return [column for column in fact.changed if column != "id"]


def insert(fact: Fact, then: str = "") -> None:
    columns, places = ", ".join(fact.new), ", ".join(["%s"] * len(fact.new))
    sql(f"INSERT INTO public.{fact.table} ({columns}) VALUES ({places}) {then}", *fact.new.values())


def copy(fact: Fact) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY public.{fact.table} ({', '.join(fact.new)}) FROM STDIN") as data,
    ):
        data.write_row(list(fact.new.values()))


def merge(fact: Fact, id_: int, then: str, *parameters: Any) -> None:
    sql(f"MERGE INTO public.{fact.table} AS t USING (VALUES ({id_})) AS s (id) ON t.id = s.id {then}", *parameters)


def merge_insert(fact: Fact) -> None:
    columns, places = ", ".join(fact.new), ", ".join(["%s"] * len(fact.new))
    then = f"WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({places})"
    merge(fact, fact.new["id"], then, *fact.new.values())


def merge_update(fact: Fact) -> None:
    merge(fact, fact.changed["id"], f"WHEN MATCHED THEN UPDATE SET {setting(fact)}", *changed_values(fact))


def setting(fact: Fact) -> str:
    return ", ".join(f"{column} = %s" for column in changed_columns(fact))


def changed_values(fact: Fact) -> list[Any]:
    return [fact.changed[column] for column in changed_columns(fact)]


def update(fact: Fact, source: str = "", where: str = "id = %s") -> None:
    statement = f"UPDATE public.{fact.table} AS t SET {setting(fact)} {source} WHERE {where}"
    sql(statement, *changed_values(fact), fact.changed["id"])


def upsert_existing(fact: Fact) -> None:
    """Inserts a whole row whose id is taken."""
    sql(
        f"INSERT INTO public.{fact.table} SELECT (jsonb_populate_record(t, %s)).* FROM public.{fact.table} AS t"
        " WHERE id = %s ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in changed_columns(fact)),
        json.dumps(fact.changed),
        fact.changed["id"],
    )


def bulk_upsert(fact: Fact, row: models.Model) -> None:
    columns = changed_columns(fact)
    fact.model.objects.bulk_create([row], update_conflicts=True, unique_fields=["id"], update_fields=columns)


def delete(fact: Fact) -> None:
    sql(f"DELETE FROM public.{fact.table} WHERE id = %s", fact.gone)


def delete_using(fact: Fact) -> None:
    sql(f"DELETE FROM public.{fact.table} AS t USING (VALUES (%s)) AS gone (id) WHERE t.id = gone.id", fact.gone)


def delete_in_cte(fact: Fact) -> None:
    sql(
        f"WITH gone AS (DELETE FROM public.{fact.table} WHERE id = %s RETURNING id) SELECT count(*) FROM gone",
        fact.gone,
    )


def gone(fact: Fact) -> Any:
    return fact.model.objects.filter(pk=fact.gone)


WAYS_TO_INSERT: dict[str, Callable[[Fact], Any]] = {
    "save": lambda fact: fact.model(**fact.new).save(),
    "bulk_create": lambda fact: fact.model.objects.bulk_create([fact.model(**fact.new)]),
    "bulk_create(update_conflicts)": lambda fact: bulk_upsert(fact, fact.model(**fact.new)),
    "INSERT": insert,
    "INSERT ON CONFLICT DO UPDATE": lambda fact: insert(fact, "ON CONFLICT (id) DO UPDATE SET id = excluded.id"),
    "COPY": copy,
    "MERGE": merge_insert,
}
WAYS_TO_UPDATE: dict[str, Callable[[Fact], Any]] = {
    "save": lambda fact: changed_object(fact).save(),
    "update": lambda fact: fact.model.objects.filter(pk=fact.changed["id"]).update(**fact.changed),
    "bulk_update": lambda fact: fact.model.objects.bulk_update([changed_object(fact)], changed_columns(fact)),
    "bulk_create(update_conflicts)": lambda fact: bulk_upsert(fact, changed_object(fact)),
    "UPDATE": update,
    "UPDATE FROM": lambda fact: update(fact, "FROM generate_series(1, 3)", "t.id = %s"),
    "INSERT ON CONFLICT DO UPDATE": upsert_existing,
    "MERGE": merge_update,
}
WAYS_TO_DELETE: dict[str, Callable[[Fact], Any]] = {
    "delete": lambda fact: gone(fact).get().delete(),
    "QuerySet.delete": lambda fact: gone(fact).delete(),
    "DELETE": delete,
    "DELETE USING": delete_using,
    "DELETE in a CTE": delete_in_cte,
    "MERGE": lambda fact: merge(fact, fact.gone, "WHEN MATCHED THEN DELETE"),
}

every_fact = pytest.mark.parametrize("fact", FACTS, ids=str)


@pytest.mark.parametrize("way", WAYS_TO_INSERT)
@every_fact
def test_insert(world: None, way: str, fact: Fact) -> None:
    check(lambda: WAYS_TO_INSERT[way](fact), changes_of("INSERT", fact, fact.new_names), fact.new_means)


@pytest.mark.parametrize("way", WAYS_TO_UPDATE)
@every_fact
def test_update(world: None, way: str, fact: Fact) -> None:
    check(lambda: WAYS_TO_UPDATE[way](fact), changes_of("UPDATE", fact, fact.changed_names), fact.changed_means)


@pytest.mark.parametrize("way", WAYS_TO_DELETE)
@every_fact
def test_delete(world: None, way: str, fact: Fact) -> None:
    check(lambda: WAYS_TO_DELETE[way](fact), changes_of("DELETE", fact, fact.gone_names), fact.gone_means)


def test_one_statement_that_inserts_updates_and_deletes(world: None) -> None:
    check(
        lambda: sql("""
            MERGE INTO ledger_billofentryline AS line
            USING (VALUES (1, 11), (2, 21), (9, 31)) AS file (id, item) ON line.id = file.id
            WHEN MATCHED AND line.id = 1 THEN UPDATE SET cif_fc = 150
            WHEN MATCHED THEN DELETE
            WHEN NOT MATCHED THEN INSERT (id, bill_of_entry_id, import_item_id, cif_fc) VALUES (9, 3, file.item, 1)
        """),
        [
            "UPDATE ledger_billofentryline import_item_id=11",
            "DELETE ledger_billofentryline import_item_id=21",
            "INSERT ledger_billofentryline import_item_id=31",
        ],
        "ABC",
    )


def test_one_statement_that_inserts_and_updates(world: None) -> None:
    check(
        lambda: sql("""
            INSERT INTO license_importitem (license_id, serial_number, quantity)
            VALUES (1, 1, 7), (2, 1, 100), (3, 2, 8) ON CONFLICT (license_id, serial_number)
            DO UPDATE SET quantity = excluded.quantity
        """),
        # item 21 of B has 100 already
        ["UPDATE license_importitem license_id=1", "INSERT license_importitem license_id=3"],
        "AC",
    )


def test_many_rows_are_one_change_for_each_id(world: None) -> None:
    check(
        lambda: sql(
            "UPDATE ledger_allotmentline SET cif_fc = cif_fc + 1, import_item_id = 12 WHERE import_item_id = 11"
        ),
        [f"UPDATE ledger_allotmentline import_item_id={item}" for item in (11, 12)],
        "A",
    )
    check(
        lambda: sql(
            "INSERT INTO license_exportitem (license_id, cif_fc) SELECT 1 + mod(n, 2), n FROM generate_series(1, 9) n"
        ),
        [f"INSERT license_exportitem license_id={license}" for license in (1, 2)],
        "AB",
    )


# ── TRUNCATE ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LINES = "ledger_billofentryline ledger_allotmentline"
BELOW_IMPORT_ITEM = f"license_importitem_item_names {LINES}"
BELOW_LICENSE = f"license_exportitem license_importitem {BELOW_IMPORT_ITEM}"
BILL_LINKS = "ledger_allotment_bills_of_entry"
OF_ALLOTMENT = f"{BILL_LINKS} ledger_allotmentrelease"
# fmt: off
TRUNCATED = {
    # table                           the captured tables that lose their rows
    "license_license":               f"license_license {BELOW_LICENSE}",
    "license_exportitem":             "license_exportitem",
    "license_importitem":            f"license_importitem {BELOW_IMPORT_ITEM}",
    "license_importitem_item_names":  "license_importitem_item_names",
    "license_itemname":               "license_itemname license_importitem_item_names",
    "ledger_billofentryline":         "ledger_billofentryline",
    "ledger_allotmentline":           "ledger_allotmentline",
    "ledger_allotment_bills_of_entry": BILL_LINKS,
    "ledger_allotmentrelease":        "ledger_allotmentrelease",
    # parents that are not captured themselves
    "ledger_billofentry":            f"ledger_billofentryline {BILL_LINKS}",
    "ledger_allotment":              f"ledger_allotmentline {OF_ALLOTMENT}",
    "license_sionnorm":               "license_exportitem license_itemname license_importitem_item_names",
    "license_company":               f"license_license {BELOW_LICENSE} {OF_ALLOTMENT}",
    "license_port":                  f"license_license {BELOW_LICENSE} {BILL_LINKS}",
    "license_hscode":                f"license_importitem {BELOW_IMPORT_ITEM}",
}
# fmt: on


@pytest.mark.parametrize("table", TRUNCATED)
def test_truncate(world: None, table: str) -> None:
    changes = [f"TRUNCATE {truncated}" for truncated in TRUNCATED[table].split()]
    check(lambda: sql(f"TRUNCATE {table} CASCADE"), changes, EVERYTHING)


# ── Links from both sides, and what the ORM deletes along ─────────────────────────────────────────────────────────────


def item(id_: int) -> Any:
    return ImportItem.objects.get(pk=id_).item_names


def name(id_: int) -> Any:
    return ItemName.objects.get(pk=id_).import_items


def allotment(id_: int) -> Any:
    return Allotment.objects.get(pk=id_).bills_of_entry


def bill(id_: int) -> Any:
    return BillOfEntry.objects.get(pk=id_).allotments


# fmt: off
RELATED = {
    # write                                                            changes                                                licenses
    "item.item_names.add":          (lambda: item(12).add(1),          "INSERT link item=12",                                 "A"),
    "item.item_names.add, again":   (lambda: item(11).add(1),          "",                                                    ""),
    "item.item_names.remove":       (lambda: item(11).remove(1),       "DELETE link item=11",                                 "A"),
    "item.item_names.set":          (lambda: item(11).set([2]),        "DELETE link item=11, INSERT link item=11",            "A"),
    "item.item_names.set, the same": (lambda: item(11).set([1]),       "",                                                    ""),
    "item.item_names.clear":        (lambda: item(31).clear(),         "DELETE link item=31",                                 "C"),
    "name.import_items.add":        (lambda: name(1).add(12, 31),      "INSERT link item=12, INSERT link item=31",            "AC"),
    "name.import_items.remove":     (lambda: name(1).remove(21),       "DELETE link item=21",                                 "B"),
    "name.import_items.set":        (lambda: name(1).set([11, 31]),    "DELETE link item=21, INSERT link item=31",            "BC"),
    "name.import_items.clear":      (lambda: name(1).clear(),          "DELETE link item=11, DELETE link item=21",            "AB"),
    "allotment.bills_of_entry.add": (lambda: allotment(1).add(1, 2),   "INSERT bills allotment=1",                            "AB"),
    "allotment.bills_of_entry.remove": (lambda: allotment(2).remove(2), "DELETE bills allotment=2",                           "C"),
    "allotment.bills_of_entry.set": (lambda: allotment(2).set([1]),    "DELETE bills allotment=2, INSERT bills allotment=2",  "C"),
    "allotment.bills_of_entry.clear": (lambda: allotment(2).clear(),   "DELETE bills allotment=2",                            "C"),
    "bill.allotments.add":          (lambda: bill(3).add(1, 2),        "INSERT bills allotment=1, INSERT bills allotment=2",  "ABC"),
    "bill.allotments.remove":       (lambda: bill(2).remove(2),        "DELETE bills allotment=2",                            "C"),
    "bill.allotments.set":          (lambda: bill(2).set([1]),         "DELETE bills allotment=2, INSERT bills allotment=1",  "ABC"),
    "bill.allotments.clear":        (lambda: bill(2).clear(),          "DELETE bills allotment=2",                            "C"),
    "delete a license":             (lambda: License.objects.get(pk=1).delete(), "DELETE license license=1, DELETE export license=1, DELETE import license=1, DELETE link item=11, DELETE boe item=11, DELETE allotline item=11", "A"),
    "delete a query of licenses":   (lambda: License.objects.filter(pk__in=[2, 4]).delete(), "DELETE license license=2, DELETE license license=4, DELETE export license=2, DELETE import license=2, DELETE link item=21, DELETE boe item=21, DELETE allotline item=21", "BD"),
    "delete an import item":        (lambda: ImportItem.objects.get(pk=11).delete(), "DELETE import license=1, DELETE link item=11, DELETE boe item=11, DELETE allotline item=11", "A"),
    "delete an item name":          (lambda: ItemName.objects.get(pk=1).delete(), "DELETE name name=1, DELETE link item=11, DELETE link item=21", "AB"),
    "delete a bill of entry":       (lambda: BillOfEntry.objects.get(pk=1).delete(), "DELETE boe item=11, DELETE boe item=21",   "AB"),
    "delete a linked bill of entry": (lambda: BillOfEntry.objects.get(pk=2).delete(), "DELETE boe item=31, DELETE bills allotment=2", "C"),
    "delete an allotment":          (lambda: Allotment.objects.get(pk=1).delete(), "DELETE allotline item=11, DELETE allotline item=21", "AB"),
    "give an allotment up":         (lambda: AllotmentRelease.objects.create(allotment_id=1), "INSERT release allotment=1", "AB"),
    "take an allotment up again":   (lambda: AllotmentRelease.objects.get(pk=1).delete(), "DELETE release allotment=5",      "C"),
    "delete an allotment that was given up": (lambda: Allotment.objects.get(pk=5).delete(), "DELETE allotline item=31, DELETE release allotment=5", "C"),
    "delete a linked allotment":    (lambda: Allotment.objects.get(pk=2).delete(), "DELETE allotline item=31, DELETE bills allotment=2", "C"),
}
# fmt: on
SHORT = {
    "license": License,
    "export": ExportItem,
    "import": ImportItem,
    "link": NAME_LINK,
    "name": ItemName,
    "boe": BillOfEntryLine,
    "allotline": AllotmentLine,
    "bills": BILL_LINK,
    "release": AllotmentRelease,
}  # fmt: skip
COLUMNS = {"license": "license_id", "item": "import_item_id", "name": "item_name_id", "allotment": "allotment_id"}


def spelled_out(changes: str) -> list[str]:
    whole = []
    for change in changes.split(", ") if changes else []:
        operation, table, named = change.split()
        column, id_ = named.split("=")
        whole.append(f"{operation} {SHORT[table]._meta.db_table} {COLUMNS[column]}={id_}")
    return whole


@pytest.mark.parametrize("write", RELATED)
def test_links_and_cascades_of_the_orm(world: None, write: str) -> None:
    how, changes, licenses = RELATED[write]
    check(how, spelled_out(changes), licenses)


# ── Moves and swaps: the license that loses and the one that gains ────────────────────────────────────────────────────

# fmt: off
MOVES = {
    # what moves            how                                                                      changes                              licenses
    "an export item":      ("UPDATE license_exportitem SET license_id = 2 WHERE id = 11",            "UPDATE export license=1, UPDATE export license=2", "AB"),
    "an import item":      ("UPDATE license_importitem SET license_id = 2, serial_number = 5 WHERE id = 11", "UPDATE import license=1, UPDATE import license=2", "AB"),
    "a debit line":        ("UPDATE ledger_billofentryline SET import_item_id = 31 WHERE id = 1",    "UPDATE boe item=11, UPDATE boe item=31", "AC"),
    "an allotment line":   ("UPDATE ledger_allotmentline SET import_item_id = 31 WHERE id = 1",      "UPDATE allotline item=11, UPDATE allotline item=31", "AC"),
    "an allotment line to a released allotment": ("UPDATE ledger_allotmentline SET allotment_id = 2 WHERE id = 1", "UPDATE allotline item=11", "A"),
    "a link of a name":    ("UPDATE license_importitem_item_names SET importitem_id = 31 WHERE id = 1", "UPDATE link item=11, UPDATE link item=31", "AC"),
    "a release":           ("UPDATE ledger_allotmentrelease SET allotment_id = 1 WHERE id = 1", "UPDATE release allotment=1, UPDATE release allotment=5", "ABC"),
    "a link of a bill":    ("UPDATE ledger_allotment_bills_of_entry SET allotment_id = 1 WHERE id = 1", "UPDATE bills allotment=1, UPDATE bills allotment=2", "ABC"),
    "two lines to D":      ("INSERT INTO license_importitem (id, license_id, serial_number) VALUES (41, 4, 1); UPDATE ledger_billofentryline SET import_item_id = 41 WHERE id <> 1", "INSERT import license=4, UPDATE boe item=21, UPDATE boe item=31, UPDATE boe item=41", "BCD"),
    "two values, swapped": ("UPDATE ledger_billofentryline SET cif_fc = 300 - cif_fc WHERE id IN (1, 2)", "UPDATE boe item=11, UPDATE boe item=21", "AB"),
    "two owners, swapped": ("UPDATE license_exportitem SET license_id = 3 - license_id WHERE id IN (11, 21)", "UPDATE export license=1, UPDATE export license=2", "AB"),
    "two items, swapped":  ("UPDATE ledger_billofentryline SET import_item_id = 42 - import_item_id WHERE id IN (1, 3)", "UPDATE boe item=11, UPDATE boe item=31", "AC"),
}
# fmt: on


@pytest.mark.parametrize("what", MOVES)
def test_what_moves_names_both_licenses(world: None, what: str) -> None:
    statement, changes, licenses = MOVES[what]
    check(lambda: sql(statement), spelled_out(changes), licenses)


def test_a_moved_object_that_is_saved_names_both_licenses(world: None) -> None:
    line = BillOfEntryLine.objects.get(pk=1)
    line.import_item_id = 31
    check(line.save, spelled_out("UPDATE boe item=11, UPDATE boe item=31"), "AC")


def test_a_row_that_takes_the_values_of_another_is_seen(world: None) -> None:
    """As sets, without the id of each row, the old values and the new ones are the same; their sums are not."""
    sql("""
        UPDATE ledger_billofentryline SET quantity = 0, cif_fc = 100 WHERE id = 1;
        INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id, cif_fc) VALUES (8, 2, 11, 100), (9, 3, 11, 200);
    """)
    drain()
    take = "UPDATE ledger_billofentryline SET cif_fc = CASE WHEN id = 1 THEN 200 ELSE cif_fc END WHERE id IN (1, 8, 9)"
    check(lambda: sql(take), spelled_out("UPDATE boe item=11"), "A")


# ── Sessions in which triggers are often silent ───────────────────────────────────────────────────────────────────────

IGNORE_ALL = """
    SELECT set_config('pgtrigger.ignore', array_agg(word)::text, true) FROM (
        SELECT unnest(ARRAY[tgname, relname || ':' || tgname]) AS word
        FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal
    ) AS words
"""
SESSIONS = {
    "the replica role": "SET LOCAL session_replication_role = replica",
    "pgtrigger.ignore": IGNORE_ALL,
    "no search path": "SELECT set_config('search_path', '', true)",
    "another outbox first": "CREATE TEMP TABLE ledger_licensechange (id int) ON COMMIT DROP; SET LOCAL search_path = pg_temp, public",
    "no right on the outbox": "SET LOCAL ROLE clerk",
}


@pytest.fixture
def clerk(database: None) -> Iterator[None]:
    """A role that may write facts and nothing else."""
    sql("CREATE ROLE clerk; GRANT USAGE ON SCHEMA public TO clerk; GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
    derived = "ledger_licensechange, ledger_licensebalance, ledger_importitembalance, ledger_quarantine"
    sql(f"REVOKE ALL ON {derived} FROM clerk")
    yield
    sql("DROP OWNED BY clerk; DROP ROLE clerk")


@pytest.mark.parametrize("session", SESSIONS)
@every_fact
def test_no_session_silences_capture(world: None, clerk: None, session: str, fact: Fact) -> None:
    with transaction.atomic():
        sql(SESSIONS[session])
        insert(fact)
        update(fact)
        delete(fact)
        sql("RESET ROLE")  # to look
        assert pending() == [
            *changes_of("INSERT", fact, fact.new_names),
            *changes_of("UPDATE", fact, fact.changed_names),
            *changes_of("DELETE", fact, fact.gone_names),
        ]
        transaction.set_rollback(True)
    with transaction.atomic():
        sql(SESSIONS[session])
        sql(f"TRUNCATE public.{fact.table} CASCADE")
        sql("RESET ROLE")
        assert pending() == [f"TRUNCATE {table}" for table in sorted_as(pending(), TRUNCATED[fact.table])]
        transaction.set_rollback(True)
    assert pending() == []


def sorted_as(changes: list[str], tables: str) -> list[str]:
    """The tables, in the order in which the changes name them."""
    order = [change.split()[1] for change in changes]
    return sorted(tables.split(), key=lambda table: order.index(table) if table in order else -1)


@every_fact
def test_pgtrigger_ignore_does_not_silence_the_orm(world: None, fact: Fact) -> None:
    with pgtrigger.ignore():
        changed_object(fact).save()
    assert sorted(pending()) == changes_of("UPDATE", fact, fact.changed_names)


def test_a_savepoint_that_is_rolled_back_takes_its_changes_along(world: None) -> None:
    with transaction.atomic():
        sql("UPDATE license_exportitem SET cif_fc = 1 WHERE id = 11")
        with transaction.atomic():
            sql("UPDATE license_exportitem SET cif_fc = 2 WHERE id = 21")
            transaction.set_rollback(True)
        with transaction.atomic():
            sql("UPDATE license_exportitem SET cif_fc = 3 WHERE id = 31")
            assert_it_was_this_transaction()
    assert pending() == spelled_out("UPDATE export license=1, UPDATE export license=3")


# ── What records nothing ──────────────────────────────────────────────────────────────────────────────────────────────

NOTHING = """
    UPDATE license_license SET scheme_code = '03', exporter_id = 2, port_id = 2, file_number = 'f', registration_number = 'r', registration_date = '2026-01-01'
    UPDATE license_license SET modified_at = now(), created_at = now(), ledger_date = '2026-01-01', license_date = '2026-01-03', is_expiry_presumed = true
    UPDATE license_license SET currency = 'EUR', license_number = license_number || '0'
    UPDATE license_exportitem SET description = 'd', net_quantity = 5, fob_inr = 5, cif_inr = 5, source = 'icegate'
    UPDATE license_importitem SET description = 'd', unit = 'KGS', hs_code_id = 2
    UPDATE license_itemname SET name = name || ' powder'
    UPDATE ledger_billofentryline SET cif_inr = 5, source = 'icegate', disputed_since = '2026-01-01'
    UPDATE ledger_billofentryline SET bill_of_entry_id = 3 WHERE id = 1
    UPDATE ledger_allotmentline SET cif_inr = 5
    UPDATE ledger_allotment_bills_of_entry SET billofentry_id = 3
    UPDATE ledger_billofentry SET number = number || '0', date = '2026-01-01', company_id = 2, port_id = NULL, exchange_rate = 80
    UPDATE ledger_allotment SET company_id = 2, type = 'ARO', item_name = 'n', required_quantity = 5, unit_price = 5, estimated_arrival_date = '2026-01-01'
    UPDATE license_company SET name = 'n', iec = '000000000' || (id + 5)
    UPDATE license_sionnorm SET code = code || '0'
    INSERT INTO ledger_billofentry (number) VALUES ('9')
    INSERT INTO ledger_allotment (company_id) VALUES (1)
    DELETE FROM ledger_billofentry WHERE id = 3
    DELETE FROM ledger_allotment WHERE id = 3
    UPDATE license_license SET license_expiry_date = license_expiry_date, purchase_status = purchase_status
    UPDATE license_exportitem SET cif_fc = cif_fc + 0.00, norm_id = norm_id
    UPDATE license_importitem SET quantity = 100.0 WHERE quantity = 100
    UPDATE license_itemname SET restriction_percentage = 5 * 2 WHERE restriction_percentage = 10
    UPDATE ledger_billofentryline SET import_item_id = import_item_id, transaction_type = 'D'
    INSERT INTO license_itemname (id, name) VALUES (1, 'milk') ON CONFLICT DO NOTHING
    INSERT INTO ledger_allotmentline (allotment_id, import_item_id) VALUES (1, 11) ON CONFLICT (allotment_id, import_item_id) DO UPDATE SET cif_inr = 9
    UPDATE license_license SET purchase_status = 'CO' WHERE id = 99
    DELETE FROM license_license WHERE id = 99
    DELETE FROM ledger_billofentryline WHERE false
    INSERT INTO license_exportitem (license_id) SELECT id FROM license_license WHERE false
    MERGE INTO license_license AS t USING (VALUES (99)) AS s (id) ON t.id = s.id WHEN MATCHED THEN DELETE
"""


@pytest.mark.parametrize("statement", [line.strip() for line in NOTHING.strip().splitlines()])
def test_what_no_balance_depends_on_records_nothing(world: None, statement: str) -> None:
    check(lambda: sql(statement), [], "")


def test_an_object_saved_as_it_is_records_nothing(world: None) -> None:
    def save_everything() -> None:
        for fact in FACTS:
            for row in fact.model.objects.all():
                row.save()

    check(save_everything, [], "")


# ── No column is forgotten ────────────────────────────────────────────────────────────────────────────────────────────

# Restrictions by name and by sheet, own values, markers, both first-item cases, an expired license, C lines.
RICHER = """
    UPDATE license_license SET license_expiry_date = '2020-01-01' WHERE id = 2;
    INSERT INTO license_license (id, license_number, license_date) VALUES (6, 'F', '2026-01-01');
    INSERT INTO license_exportitem (id, license_id, norm_id, cif_fc) VALUES (41, 4, 2, 5000);
    INSERT INTO license_importitem (id, license_id, serial_number, quantity, cif_fc, cif_inr, restriction_percentage) VALUES
        (41, 4, 1, 10, 70, 0, NULL), (42, 4, 2, 10, 0, 0, NULL), (43, 4, 3, 10, 0, 0, 10), (22, 2, 3, 10, 400, 5, NULL);
    INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id, transaction_type, quantity, cif_fc)
        VALUES (11, 2, 12, 'D', 3, 20), (12, 2, 21, 'C', 4, 40), (43, 2, 43, 'D', 1, 50);
    INSERT INTO ledger_allotmentline (id, allotment_id, import_item_id, quantity, cif_fc) VALUES (11, 3, 12, 1, 9);
    INSERT INTO ledger_allotment_bills_of_entry (id, allotment_id, billofentry_id) VALUES (12, 3, 2);
"""
# docs/rules.md, column by column. An id counts where it is the key of a balance.
COUNTS = {
    "license_license": {"id", "notification_number", "purchase_status", "license_expiry_date"},
    "license_exportitem": {"license_id", "norm_id", "cif_fc"},
    "license_importitem": {
        "id", "license_id", "serial_number", "quantity", "cif_fc", "cif_inr", "restriction_percentage",
    },
    "license_importitem_item_names": {"importitem_id", "itemname_id"},
    "license_itemname": {"sion_norm_id", "restriction_percentage"},
    "license_sionnorm": set(),
    "ledger_billofentryline": {"import_item_id", "transaction_type", "quantity", "cif_fc"},
    "ledger_allotmentline": {"allotment_id", "import_item_id", "quantity", "cif_fc"},
    "ledger_allotment_bills_of_entry": {"allotment_id"},
    "ledger_allotmentrelease": {"allotment_id"},
    "ledger_allotment": set(),
    "ledger_billofentry": set(),
    "license_company": set(),
    "license_port": set(),
    "license_hscode": set(),
}  # fmt: skip
CANDIDATES = {
    "numeric": ["0", "0.01", "10", "{column} + 1", "NULL"],
    "integer": ["{column} + 1", "{column} - 1", "{column} + 7", "99"],
    "text": ["''", "'CO'", "'098/2009'", "'C'", "'ARO'", "'icegate'", "'EUR'", "'X' || {column}"],
    "date": ["'2000-01-01'", "'2050-01-01'", "NULL"],
    "boolean": ["NOT {column}"],
    "timestamp": ["'2000-01-01'"],
}


def kind(data_type: str) -> list[str]:
    for word, candidates in CANDIDATES.items():
        if word in data_type.replace("bigint", "integer").replace("character varying", "text"):
            return candidates
    raise AssertionError(f"say in CANDIDATES how to change a column of type {data_type}")


def all_expected() -> dict[int, set[Any]]:
    columns = """license_id, credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, is_expired,
        import_item_id, debited_quantity, debited_value, allotted_quantity, allotted_value, available_quantity,
        overdrawn_quantity, available_value, overdrawn_value"""
    rows: dict[int, set[Any]] = {}
    with connection.cursor() as cursor:
        query = f"SELECT {columns} FROM ({load('expected')}) AS e"
        cursor.execute("SELECT id FROM license_license")
        license_ids = [license_id for (license_id,) in cursor.fetchall()]
        cursor.execute(query, {"license_ids": license_ids, "today": "2026-11-22"})
        for license_id, *row in cursor.fetchall():
            rows.setdefault(license_id, set()).add(tuple(row))
    return rows


@contextmanager
def tried(statement: str) -> Iterator[bool]:
    """The statement, undone at the end. False: the database refused it."""
    is_done = False
    with transaction.atomic():
        try:
            with transaction.atomic():
                sql(statement)
                sql("SET CONSTRAINTS ALL IMMEDIATE")
                is_done = True
        except DatabaseError:
            pass
        yield is_done
        transaction.set_rollback(True)


def test_every_table_that_the_rules_read_is_known_here() -> None:
    tables = set(re.findall(r"(?:FROM|JOIN) ((?:license|ledger)_\w+)", load("expected")))
    assert tables <= COUNTS.keys()
    assert {table for table, columns in COUNTS.items() if columns} == {fact.model._meta.db_table for fact in CAPTURED}


@pytest.mark.parametrize("table", sorted(COUNTS))
def test_no_column_that_a_balance_depends_on_is_forgotten(world: None, table: str) -> None:
    sql(RICHER)
    drain()
    before = all_expected()
    counts: set[str] = set()
    forgotten: list[str] = []
    columns = sql("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", table)
    for column, data_type in columns:
        for value in kind(data_type):
            for (row,) in sql(f"SELECT id FROM {table} ORDER BY id"):
                statement = f"UPDATE {table} SET {column} = {value.format(column=column)} WHERE id = {row}"
                with tried(statement) as is_done:
                    if not is_done:
                        continue
                    after = all_expected()
                    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
                    if not differing:
                        continue
                    counts.add(column)
                    with connection.cursor() as cursor:
                        cursor.execute(load("resolve_changes"), {"change_ids": every_change()})
                        if not differing <= {license_id for _, license_id in cursor.fetchall()}:
                            forgotten.append(statement)
    assert forgotten == []
    # and the world above is rich enough to notice
    assert counts == COUNTS[table]


# ── Bulk after single rows ────────────────────────────────────────────────────────────────────────────────────────────


def test_bulk_after_single_rows_in_one_session_finishes(database: None) -> None:
    """A trigger that joins its two transition tables gets stuck here: by now its plan, made for single rows, is kept."""
    sql("""
        INSERT INTO license_license (id, license_number, license_date) SELECT n, n, '2026-01-01' FROM generate_series(1, 20) n;
        INSERT INTO license_importitem (id, license_id, serial_number) SELECT n, 1 + mod(n, 20), n FROM generate_series(1, 400) n;
        INSERT INTO ledger_billofentry (id, number) SELECT n, n FROM generate_series(1, 50) n;
        INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc)
            SELECT b, i, 1 FROM generate_series(1, 50) b, generate_series(1, 400) i;
        TRUNCATE ledger_licensechange;
        SET statement_timeout = '8s';
    """)
    for line in range(1, 51):
        sql("UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1 WHERE id = %s", line)
    sql("DELETE FROM ledger_licensechange")  # TRUNCATE would make the trigger plan anew
    sql("UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1")
    assert pending() == [f"UPDATE ledger_billofentryline import_item_id={item}" for item in range(1, 401)]
    assert one("SELECT sum(cif_fc) FROM ledger_billofentryline") == Decimal(40_050)
