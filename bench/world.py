"""What parts share that measure on the world of world.sql. Importing it sets Django up: with DJANGO_SETTINGS_MODULE, if
that is set before (peers.settings has the peers' app besides)."""

import os
import sys
import time
from collections.abc import Callable, Iterable

import django

from harness import HERE, PATHS

sys.path[:0] = [path for path in PATHS if path not in sys.path]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
django.setup()

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from ledger.capture import CAPTURED  # noqa: E402
from reconcile.audit import audit_all, together  # noqa: E402

OUR_FACTS = tuple(fact.model._meta.db_table for fact in CAPTURED)


def create() -> None:
    """All tables, ours and the peers', where autovacuum never comes by chance, and a session without parallel helpers:
    what is compared has one process each."""
    call_command("migrate", verbosity=0)
    if apps.is_installed("peers"):
        with connection.schema_editor() as editor:  # they hang on our tables, and `migrate` would make them first
            for model in apps.get_app_config("peers").get_models():
                editor.create_model(model)
    run("SET max_parallel_workers_per_gather = 0")
    run("SET jit = off")
    for (table,) in rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(license|ledger|peers)_'"):
        run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")


def grow(licenses: int) -> None:
    """The world has that many licenses; nothing is pending, the new ones have no balance yet, all is vacuumed."""
    for statement in (HERE / "world.sql").read_text().split(";\n"):
        if statement.strip():
            run(statement, {"n": licenses})


def falsify() -> None:
    """Every balance of a license and of an item differs from its facts, and no change says so."""
    with transaction.atomic():
        run("SET LOCAL ledger.engine = 'on'")
        run("UPDATE ledger_licensebalance SET balance_cif = balance_cif + 1")
        run("UPDATE ledger_importitembalance SET available_value = available_value + 1")
    run("VACUUM ANALYZE ledger_licensebalance, ledger_importitembalance")


def lose() -> None:
    """Every license's credit has changed, and what said so is gone from the outbox: the trail alone knows of it."""
    with transaction.atomic():
        run("UPDATE license_exportitem SET cif_fc = cif_fc + 1")
        run("DELETE FROM ledger_licensechange")
    run("VACUUM ANALYZE license_exportitem, ledger_licensechange, ledger_trailstatement, ledger_trailentry")


def capture(*, is_on: bool, tables: Iterable[str] = OUR_FACTS) -> None:
    """Switch our capture triggers of these tables on or off."""
    for table in tables:
        for (name,) in rows(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE '%%capture%%'", [table]
        ):
            run(f"ALTER TABLE {table} {'ENABLE ALWAYS' if is_on else 'DISABLE'} TRIGGER {name}")


def assert_fresh(licenses: int) -> None:
    """Every balance equals its facts, and nothing is pending; or nothing was measured."""
    found = together(audit_all([]))
    if found.differences or found.pending or found.licenses_checked != licenses:
        raise SystemExit(f"not fresh: {len(found.differences)} differences, {found.pending} changes, {found.drift[:3]}")


def check(*, is_so: bool, what: str) -> None:
    """What was to be measured did happen; or the part ends."""
    if not is_so:
        raise SystemExit(f"nothing was measured: {what}")


def seconds(do: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def run(statement: str, parameters: object = None) -> int:
    """How many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def rows(query: str, parameters: object = None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()
