"""A small world of licenses, and every way to write to it: what any session of a state machine may do at any time.

Rows are named by ids that stay, from ranges so small that writes meet each other and undo each other. A row that is not
there, or a rule of the tables that forbids the write, makes it none: the world refuses, and nothing is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import F
from hypothesis import strategies as st

from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry, BillOfEntryLine
from license.models import ExportItem, ImportItem, ItemName, License
from tests.conftest import sql

TODAY = "(statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date"
# Items 1 and 2 are license 1's, 3 to 5 those of licenses 2 to 4; license 5 and item 6 are not there yet. Name 1
# restricts three licenses, allotment 1 reserves on three, and allotment 3 on none.
WORLD = f"""
    INSERT INTO license_sionnorm (id, code) VALUES (1, 'E1'), (2, 'E5');
    INSERT INTO license_company (id, iec) VALUES (1, '0000000001');
    INSERT INTO license_itemname (id, name, sion_norm_id, restriction_percentage)
        VALUES (1, 'milk', 2, 10), (2, 'sugar', 1, 5), (3, 'spare', NULL, 0);
    INSERT INTO license_license (id, license_number, license_date, license_expiry_date)
        SELECT n, n, '2026-01-01', (ARRAY[NULL, {TODAY} - 1, {TODAY}, {TODAY} + 1])[n] FROM generate_series(1, 4) AS n;
    INSERT INTO license_exportitem (license_id, norm_id, cif_fc) VALUES (1, 2, 1000), (2, 2, 1000), (3, 2, 400), (4, 1, 1000);
    INSERT INTO license_importitem (id, license_id, serial_number, quantity, cif_fc)
        VALUES (1, 1, 1, 5, 0), (2, 1, 2, 5, 400), (3, 2, 1, 5, 0), (4, 3, 1, 5, 0), (5, 4, 1, 5, 1000);
    INSERT INTO license_importitem_item_names (importitem_id, itemname_id) VALUES (1, 1), (2, 2), (3, 1), (4, 1), (5, 2);
    INSERT INTO ledger_billofentry (id, number) VALUES (1, '1'), (2, '2');
    INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc) VALUES (1, 1, 1, 100), (2, 3, 1, 100);
    INSERT INTO ledger_allotment (id, company_id) VALUES (1, 1), (2, 1), (3, 1);
    INSERT INTO ledger_allotmentline (allotment_id, import_item_id, quantity, cif_fc)
        VALUES (1, 1, 1, 100), (1, 3, 1, 100), (1, 4, 1, 100), (2, 5, 1, 400);
    INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (2, 2);
"""  # noqa: E501 (a table of rows)

LICENSES, ITEMS, NAMES, NORMS, BILLS, ALLOTMENTS = range(1, 6), range(1, 7), range(1, 4), (1, 2), (1, 2), range(1, 4)
GREATEST = Decimal("9999999999999.99")
GREATEST_QUANTITY = Decimal("999999999999.999")

licenses, items, names, norms, bills, allotments = (
    st.sampled_from(ids) for ids in (LICENSES, ITEMS, NAMES, NORMS, BILLS, ALLOTMENTS)
)
amounts = st.sampled_from([Decimal(text) for text in ("0", "100", "400", "1000")])
percentages = st.sampled_from([Decimal(text) for text in ("0", "5", "10")])
types = st.sampled_from("DDC")


@dataclass(frozen=True)
class Write:
    """One write: how, and what. A call makes it, in the transaction that is open, or else in one of its own."""

    how: Callable[..., Any]
    what: dict[str, Any]

    def __call__(self) -> None:
        self.how(**self.what)

    def __repr__(self) -> str:
        return f"{self.how.__name__}({', '.join(f'{name}={value}' for name, value in self.what.items())})"


WAYS: dict[str, list[st.SearchStrategy[Write]]] = {
    "licenses": [], "items": [], "names": [], "bills": [], "reservations": [], "links": [], "fail": []
}  # fmt: skip
"""By what they write to; or that the recompute fails for what they write."""


def way(to: str, /, **what: st.SearchStrategy[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds a function to the ways to write, with what its arguments may be."""

    def add(how: Callable[..., Any]) -> Callable[..., Any]:
        @st.composite
        def this_way(draw: st.DrawFn) -> Write:
            return Write(how, draw(st.fixed_dictionaries(what)))

        WAYS[to].append(this_way())
        return how

    return add


REFUSALS = ("23", "55P03")
"""SQLSTATEs by which the database refuses a write: a constraint; a row that another session holds and does not let go
of, for which nobody here waits."""


def is_refused(write: Callable[[], Any]) -> bool:
    """Make a write, and say whether the database refused it."""
    try:
        write()
    except DatabaseError as error:
        if not getattr(error.__cause__, "sqlstate", "").startswith(REFUSALS):
            raise
        return True
    return False


def write_in_savepoint(write: Write, *, is_kept: bool) -> None:
    """Make a write within the open transaction, and keep it or roll it back. What is refused, is refused here: foreign
    keys are otherwise checked at the end, for all writes together."""

    def write_and_check() -> None:
        with transaction.atomic():
            write()
            connection.check_constraints()
            transaction.set_rollback(not is_kept)

    is_refused(write_and_check)


# ── Licenses and what they earned ─────────────────────────────────────────────────────────────────────────────────────


@way("licenses", license=licenses, status=st.sampled_from(["GE", "CO"]))
def update_status(license: int, status: str) -> None:
    License.objects.filter(pk=license).update(purchase_status=status)


@way("licenses", license=licenses, notification=st.sampled_from(["", "098/2009"]))
def save_notification(license: int, notification: str) -> None:
    if row := License.objects.filter(pk=license).first():
        row.notification_number = notification
        row.save()


@way("licenses", license=licenses, days=st.sampled_from(["NULL", "-1", "0", "1", "2"]))
def set_expiry(license: int, days: str) -> None:
    """To so many days from today."""
    sql(f"UPDATE license_license SET license_expiry_date = {TODAY} + {days}::integer WHERE id = %s", license)


@way("licenses", license=licenses)
def upsert_license(license: int) -> None:
    sql(
        "INSERT INTO license_license (id, license_number, license_date) VALUES (%s, %s, '2026-01-01')"
        " ON CONFLICT (id) DO UPDATE SET purchase_status = 'GE', notification_number = ''",
        license,
        license,
    )


@way("licenses", license=licenses)
def delete_license(license: int) -> None:
    """With all that hangs on it, table by table."""
    License.objects.filter(pk=license).delete()


@way("licenses", license=licenses, norm=norms, cif_fc=amounts)
def create_credit(license: int, norm: int, cif_fc: Decimal) -> None:
    ExportItem.objects.create(license_id=license, norm_id=norm, cif_fc=cif_fc)


@way("licenses", license=licenses, cif_fc=amounts)
def update_credits(license: int, cif_fc: Decimal) -> None:
    sql("UPDATE license_exportitem SET cif_fc = %s WHERE license_id = %s", cif_fc, license)


@way("licenses", license=licenses, norm=norms | st.none())
def update_norm_of_credits(license: int, norm: int | None) -> None:
    ExportItem.objects.filter(license_id=license).update(norm_id=norm)


@way("licenses", license=licenses, to=licenses)
def move_credit(license: int, to: int) -> None:
    sql(
        "UPDATE license_exportitem SET license_id = %s"
        " WHERE id = (SELECT min(id) FROM license_exportitem WHERE license_id = %s)",
        to,
        license,
    )


@way("licenses", license=licenses)
def delete_credits(license: int) -> None:
    sql("DELETE FROM license_exportitem WHERE license_id = %s", license)


@way("fail", license=licenses)
def copy_too_great_credits(license: int) -> None:
    """Each fits its column. Their sum fits none: the recompute of this license fails."""
    copy("license_exportitem (license_id, cif_fc)", [(license, GREATEST), (license, GREATEST)])


@way("licenses", item=items)
def merge_too_great_debits(item: int) -> None:
    execute(
        "MERGE INTO ledger_billofentryline AS line USING (VALUES (1), (2)) AS bill (id)"
        " ON line.bill_of_entry_id = bill.id AND line.import_item_id = %(item)s AND line.transaction_type = 'D'"
        " WHEN MATCHED THEN UPDATE SET quantity = %(quantity)s"
        " WHEN NOT MATCHED THEN INSERT (bill_of_entry_id, import_item_id, quantity)"
        " VALUES (bill.id, %(item)s, %(quantity)s)",
        item=item,
        quantity=GREATEST_QUANTITY,
    )


@way("licenses")
def correct_what_is_too_great() -> None:
    sql("UPDATE license_exportitem SET cif_fc = 1000 WHERE cif_fc = %s", GREATEST)
    sql("UPDATE ledger_billofentryline SET quantity = 1 WHERE quantity = %s", GREATEST_QUANTITY)


# ── Import items, their names and restrictions ────────────────────────────────────────────────────────────────────────


@way("items", item=items, license=licenses, cif_fc=amounts)
def create_item(item: int, license: int, cif_fc: Decimal) -> None:
    ImportItem.objects.create(id=item, license_id=license, serial_number=item, quantity=5, cif_fc=cif_fc)


@way("items", item=items, license=licenses)
def move_item(item: int, license: int) -> None:
    sql("UPDATE license_importitem SET license_id = %s, serial_number = id + 10 WHERE id = %s", license, item)


@way("items", some=st.sets(items, min_size=2, max_size=3), license=licenses)
def update_items_of_many(some: set[int], license: int) -> None:
    """One statement that moves some items to one license."""
    ImportItem.objects.filter(pk__in=some).update(license_id=license, serial_number=F("id") + 20)


@way("items", item=items, quantity=st.integers(0, 3), cif_fc=amounts)
def save_item(item: int, quantity: int, cif_fc: Decimal) -> None:
    if row := ImportItem.objects.filter(pk=item).first():
        row.quantity, row.cif_fc = quantity, cif_fc
        row.save()


@way("items", item=items, percentage=percentages | st.none())
def restrict_item(item: int, percentage: Decimal | None) -> None:
    if row := ImportItem.objects.filter(pk=item).first():
        row.restriction_percentage = percentage
        ImportItem.objects.bulk_update([row], ["restriction_percentage"])


@way("items", item=items)
def delete_item(item: int) -> None:
    ImportItem.objects.filter(pk=item).delete()


@way("names", name=names, percentage=percentages)
def restrict_name(name: int, percentage: Decimal) -> None:
    ItemName.objects.filter(pk=name).update(restriction_percentage=percentage)


@way("names", name=names, norm=norms | st.none())
def save_norm_of_name(name: int, norm: int | None) -> None:
    if row := ItemName.objects.filter(pk=name).first():
        row.sion_norm_id = norm
        row.save()


@way("names", name=names)
def delete_name(name: int) -> None:
    ItemName.objects.filter(pk=name).delete()


@way("names", name=names)
def merge_name(name: int) -> None:
    """Makes it if it is gone, else changes its norm."""
    execute(
        "MERGE INTO license_itemname AS name USING (VALUES (%(id)s)) AS file (id) ON name.id = file.id"
        " WHEN MATCHED THEN UPDATE SET sion_norm_id = 2"
        " WHEN NOT MATCHED THEN INSERT (id, name, sion_norm_id, restriction_percentage) VALUES (%(id)s, %(id)s, 2, 5)",
        id=name,
    )


@way("names", item=items, some=st.sets(names, max_size=2), verb=st.sampled_from(["add", "remove", "set", "clear"]))
def link_names(item: int, some: set[int], verb: str) -> None:
    if row := ImportItem.objects.filter(pk=item).first():
        change_links(row.item_names, verb, some)


@way("names", name=names, some=st.sets(items, max_size=3), verb=st.sampled_from(["add", "remove", "set", "clear"]))
def link_items(name: int, some: set[int], verb: str) -> None:
    if row := ItemName.objects.filter(pk=name).first():
        change_links(row.import_items, verb, some)


# ── Bills of entry and allotments ─────────────────────────────────────────────────────────────────────────────────────


@way("bills", bill=bills, item=items, type_=types, cif_fc=amounts)
def upsert_debit(bill: int, item: int, type_: str, cif_fc: Decimal) -> None:
    sql(
        "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, transaction_type, quantity, cif_fc)"
        " VALUES (%s, %s, %s, 1, %s) ON CONFLICT (bill_of_entry_id, import_item_id, transaction_type)"
        " DO UPDATE SET cif_fc = excluded.cif_fc",
        bill,
        item,
        type_,
        cif_fc,
    )


@way("bills", bill=bills, some=st.sets(items, min_size=1, max_size=3), cif_fc=amounts)
def bulk_create_debits(bill: int, some: set[int], cif_fc: Decimal) -> None:
    BillOfEntryLine.objects.bulk_create(
        [BillOfEntryLine(bill_of_entry_id=bill, import_item_id=item, quantity=1, cif_fc=cif_fc) for item in some],
        update_conflicts=True,
        unique_fields=["bill_of_entry", "import_item", "transaction_type"],
        update_fields=["quantity", "cif_fc"],
    )


@way("bills", bill=bills, updated=items, deleted=items, inserted=items, cif_fc=amounts)
def merge_debits(bill: int, updated: int, deleted: int, inserted: int, cif_fc: Decimal) -> None:
    """One statement that updates, deletes and inserts."""
    execute(
        "MERGE INTO ledger_billofentryline AS line"
        " USING (SELECT DISTINCT item FROM unnest(%(items)s::bigint[]) AS item) AS file"
        " ON line.bill_of_entry_id = %(bill)s AND line.import_item_id = file.item AND line.transaction_type = 'D'"
        " WHEN MATCHED AND file.item = %(deleted)s THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET cif_fc = %(cif_fc)s"
        " WHEN NOT MATCHED AND file.item = %(inserted)s THEN INSERT (bill_of_entry_id, import_item_id, cif_fc)"
        " VALUES (%(bill)s, file.item, %(cif_fc)s)",
        bill=bill,
        items=[updated, deleted, inserted],
        deleted=deleted,
        inserted=inserted,
        cif_fc=cif_fc,
    )


@way("bills", item=items, to=items)
def save_debit_of_other_item(item: int, to: int) -> None:
    if line := BillOfEntryLine.objects.filter(import_item_id=item).order_by("pk").first():
        line.import_item_id = to
        line.save()


@way("bills", item=items, type_=types)
def update_type_of_debits(item: int, type_: str) -> None:
    sql("UPDATE ledger_billofentryline SET transaction_type = %s WHERE import_item_id = %s", type_, item)


@way("bills", item=items)
def delete_debits(item: int) -> None:
    BillOfEntryLine.objects.filter(import_item_id=item).delete()


@way("reservations", allotment=allotments, some=st.sets(items, min_size=1, max_size=2), cif_fc=amounts)
def copy_reservations(allotment: int, some: set[int], cif_fc: Decimal) -> None:
    rows = [(allotment, item, 1, cif_fc) for item in sorted(some)]
    with transaction.atomic():
        AllotmentLine.objects.filter(allotment_id=allotment, import_item_id__in=some).delete()
        copy("ledger_allotmentline (allotment_id, import_item_id, quantity, cif_fc)", rows)


@way("reservations", allotment=allotments, item=items, cif_fc=amounts)
def save_reservation(allotment: int, item: int, cif_fc: Decimal) -> None:
    line = AllotmentLine.objects.filter(allotment_id=allotment, import_item_id=item).first()
    line = line or AllotmentLine(allotment_id=allotment, import_item_id=item)
    line.cif_fc = cif_fc
    line.save()


@way("reservations", item=items, to=items)
def move_reservations(item: int, to: int) -> None:
    sql("UPDATE ledger_allotmentline SET import_item_id = %s WHERE import_item_id = %s", to, item)


@way("reservations", item=items, allotment=allotments)
def update_allotment_of_reservations(item: int, allotment: int) -> None:
    AllotmentLine.objects.filter(import_item_id=item).update(allotment_id=allotment)


@way("reservations", item=items)
def delete_reservations(item: int) -> None:
    sql("DELETE FROM ledger_allotmentline WHERE import_item_id = %s", item)


@way("links", allotment=allotments, some=st.sets(bills), verb=st.sampled_from(["add", "remove", "set", "clear"]))
def link_bills(allotment: int, some: set[int], verb: str) -> None:
    if row := Allotment.objects.filter(pk=allotment).first():
        change_links(row.bills_of_entry, verb, some)


@way("links", bill=bills, some=st.sets(allotments), verb=st.sampled_from(["add", "remove", "set", "clear"]))
def link_allotments(bill: int, some: set[int], verb: str) -> None:
    if row := BillOfEntry.objects.filter(pk=bill).first():
        change_links(row.allotments, verb, some)


@way("links", allotment=allotments, to=allotments)
def move_links_of_allotment(allotment: int, to: int) -> None:
    sql("UPDATE ledger_allotment_bills_of_entry SET allotment_id = %s WHERE allotment_id = %s", to, allotment)


@way("links", allotment=allotments)
def give_up_or_take_up_again(allotment: int) -> None:
    if not AllotmentRelease.objects.filter(allotment=allotment).delete()[0]:
        sql(
            "INSERT INTO ledger_allotmentrelease (allotment_id) SELECT id FROM ledger_allotment WHERE id = %s",
            allotment,
        )


@way("bills", bill=bills)
def delete_bill_or_make_it(bill: int) -> None:
    """With its lines and its links to allotments, which then reserve again."""
    if not BillOfEntry.objects.filter(pk=bill).delete()[0]:
        BillOfEntry.objects.create(id=bill, number=bill)


@way("bills", allotment=allotments)
def delete_allotment_or_make_it(allotment: int) -> None:
    if not Allotment.objects.filter(pk=allotment).delete()[0]:
        Allotment.objects.create(id=allotment, company_id=1)


def change_links(links: Any, verb: str, some: set[int]) -> None:
    """Of a row, by one of the methods of its links. What does not exist cannot be linked."""
    some = set(links.model.objects.filter(pk__in=some).values_list("pk", flat=True))
    if verb == "set":
        links.set(some)
    elif verb == "clear":
        links.clear()
    else:
        getattr(links, verb)(*some)


def execute(statement: str, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def copy(table: str, rows: list[tuple[Any, ...]]) -> None:
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as to:
        for row in rows:
            to.write_row(row)


writes = st.one_of(*(way for ways in WAYS.values() for way in ways))
writes_to = {to: st.one_of(ways) for to, ways in WAYS.items()}
TRUNCATED = (
    "license_license", "license_exportitem", "license_importitem", "license_importitem_item_names", "license_itemname",
    "ledger_billofentryline", "ledger_allotmentline", "ledger_allotment_bills_of_entry", "ledger_billofentry",
)  # fmt: skip
"""The captured tables, and a parent of two that is not."""


# ── To put back what was there ────────────────────────────────────────────────────────────────────────────────────────

FACTS = (
    "license_license", "license_exportitem", "license_importitem", "license_itemname", "license_importitem_item_names",
    "ledger_billofentry", "ledger_billofentryline", "ledger_allotment", "ledger_allotmentline",
    "ledger_allotment_bills_of_entry",
)  # fmt: skip
Copy = list[list[str]]
"""The rows of each of these tables, as JSON."""


def copy_of_facts() -> Copy:
    [tables] = sql(f"""SELECT {", ".join(f"ARRAY(SELECT to_jsonb(t)::text FROM {table} AS t)" for table in FACTS)}""")
    return list(tables)


def put_back(kept: Copy) -> None:
    """Make the facts what they were, by deletes and inserts of the rows that are others: balances are then what they
    were, too, and whoever compares them with a stored one that is older or newer is misled most easily."""
    with transaction.atomic():
        for table, rows_then, rows_now in zip(FACTS, kept, copy_of_facts(), strict=True):
            row = f"jsonb_populate_record(NULL::{table}, row::jsonb)"
            gone, missing = sorted({*rows_now} - {*rows_then}), sorted({*rows_then} - {*rows_now})
            if gone:
                sql(f"DELETE FROM {table} WHERE id IN (SELECT ({row}).id FROM unnest(%s::text[]) AS row)", gone)
            if missing:
                sql(f"INSERT INTO {table} SELECT ({row}).* FROM unnest(%s::text[]) AS row", missing)
