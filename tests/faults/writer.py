"""A writer of the storm, a process of its own: `python tests/faults/writer.py SEED NUMBER`, until its input ends.

Prints a line of JSON for each operation that it has committed and for each error that it got. An operation that failed
is tried again until it is committed: what was asked of a user's program is done, sooner or later.
"""

import json
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("deploy/local", "")]

from django_setup import set_up_django  # noqa: E402

set_up_django()

import psycopg  # noqa: E402
from django.db import Error, connection, transaction  # noqa: E402

from ledger.models import Allotment, BillOfEntryLine  # noqa: E402
from license.models import ExportItem, ImportItem, ItemName, License  # noqa: E402
from tests.faults.world import Operation, operation, own_number  # noqa: E402

PAUSE_AFTER_ERROR_SECONDS = 0.2


def main() -> None:
    seed, writer = int(sys.argv[1]), int(sys.argv[2])
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    number = 0
    is_uncertain = False
    while not is_over.is_set():
        todo = operation(seed, writer, number)
        began = time.time()
        try:
            if not (is_uncertain and is_committed(todo)):
                with transaction.atomic():
                    do(todo)
                    run("INSERT INTO storm_journal VALUES (%s, %s)", writer, number)
        except (Error, psycopg.Error) as error:
            state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
            tell(error=type(error).__name__, sqlstate=state, text=str(error), kind=todo.kind, began=began)
            is_uncertain = state not in ("40P01", "40001")
            if is_uncertain:  # the session may be gone, and whether it has committed nobody says
                connection.close()
                is_over.wait(PAUSE_AFTER_ERROR_SECONDS)
            continue
        tell(number=number, kind=todo.kind, began=began)
        is_uncertain = False
        number += 1
        is_over.wait(todo.pause_seconds)


def tell(**what: object) -> None:
    print(json.dumps({**what, "ended": time.time()}), flush=True)


def is_committed(todo: Operation) -> bool:
    return bool(run("SELECT 1 FROM storm_journal WHERE writer = %s AND number = %s", todo.writer, todo.number))


def run(statement: str, *parameters: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def do(todo: Operation) -> None:
    DO[todo.kind](todo)


def save(todo: Operation) -> None:
    item = ExportItem.objects.get(pk=todo.own_export_item)
    item.cif_fc = todo.cif_fc
    item.save()


def update(todo: Operation) -> None:
    lines = BillOfEntryLine.objects.filter(bill_of_entry=todo.bill, import_item__in=todo.items)
    lines.update(quantity=todo.quantity, cif_fc=todo.cif_fc)


def bulk_create(todo: Operation) -> None:
    BillOfEntryLine.objects.bulk_create(
        [
            BillOfEntryLine(bill_of_entry_id=todo.bill, import_item_id=i, quantity=todo.quantity, cif_fc=todo.cif_fc)
            for i in todo.items
        ],
        update_conflicts=True,
        unique_fields=["bill_of_entry", "import_item", "transaction_type"],
        update_fields=["quantity", "cif_fc"],
    )


def raw(todo: Operation) -> None:
    """One row after the other, so that writers who come from opposite ends deadlock."""
    for license in todo.licenses:
        run("UPDATE license_exportitem SET cif_fc = cif_fc + %s WHERE id = %s", todo.cif_fc, license)
        time.sleep(0.002)


def copy_to(table: str, todo: Operation) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} (bill_of_entry_id, import_item_id, quantity, cif_fc) FROM STDIN") as copy,
    ):
        for item in todo.items:
            copy.write_row((todo.bill, item, todo.quantity, todo.cif_fc))


def copy(todo: Operation) -> None:
    run("DELETE FROM ledger_billofentryline WHERE bill_of_entry_id = %s", todo.bill)
    copy_to("ledger_billofentryline", todo)


def merge(todo: Operation) -> None:
    run(
        "CREATE TEMPORARY TABLE loaded (bill_of_entry_id bigint, import_item_id bigint, quantity numeric, "
        "cif_fc numeric) ON COMMIT DROP"
    )
    copy_to("loaded", todo)
    run("""
        MERGE INTO ledger_billofentryline AS line USING loaded
        ON line.bill_of_entry_id = loaded.bill_of_entry_id AND line.import_item_id = loaded.import_item_id
        WHEN MATCHED THEN UPDATE SET quantity = loaded.quantity, cif_fc = loaded.cif_fc
        WHEN NOT MATCHED THEN INSERT (bill_of_entry_id, import_item_id, quantity, cif_fc)
            VALUES (loaded.bill_of_entry_id, loaded.import_item_id, loaded.quantity, loaded.cif_fc)
    """)


def delete(todo: Operation) -> None:
    BillOfEntryLine.objects.filter(bill_of_entry=todo.bill).delete()


def allot(todo: Operation) -> None:
    for item in todo.items:
        Allotment.objects.get(pk=todo.allotment).lines.update_or_create(
            import_item_id=item, defaults={"quantity": todo.quantity, "cif_fc": todo.cif_fc}
        )


def release(todo: Operation) -> None:
    Allotment.objects.get(pk=todo.allotment).bills_of_entry.add(todo.bill)


def reserve_again(todo: Operation) -> None:
    Allotment.objects.get(pk=todo.allotment).bills_of_entry.clear()


def move(todo: Operation) -> None:
    run("UPDATE license_importitem SET license_id = %s WHERE id = %s", todo.licenses[-1], todo.own_import_item)


def restrict(todo: Operation) -> None:
    name = ItemName.objects.get(pk=todo.writer)
    name.restriction_percentage = todo.serial * 10
    name.save()


def add_license(todo: Operation) -> None:
    license, is_new = License.objects.get_or_create(
        license_number=own_number(todo), defaults={"license_date": "2026-01-01"}
    )
    if is_new:
        ExportItem.objects.create(license=license, cif_fc=todo.cif_fc)
        ImportItem.objects.create(license=license, serial_number=1, quantity=todo.quantity)


def delete_license(todo: Operation) -> None:
    License.objects.filter(license_number=own_number(todo)).delete()


DO = {
    "save": save,
    "QuerySet.update": update,
    "bulk_create": bulk_create,
    "raw SQL": raw,
    "COPY": copy,
    "COPY and MERGE": merge,
    "delete": delete,
    "allot": allot,
    "release": release,
    "reserve again": reserve_again,
    "move an item": move,
    "restrict a name": restrict,
    "add a license": add_license,
    "delete a license": delete_license,
}

if __name__ == "__main__":
    main()
