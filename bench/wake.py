"""`make wake`: what the wake-up of the relay costs writers: 8 clients insert single debits on one license, by pgbench.

SECONDS_EACH=5 and ROUNDS=5 say for how long. The ways take turns; only the ratios within one run mean anything.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import django
import psycopg

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / "backend"), str(CHECKOUT / "deploy" / "local")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
django.setup()

from django.core.management import call_command  # noqa: E402

from embedded.binaries import find_postgres_bindir  # noqa: E402
from ledger.sql import load  # noqa: E402

SECONDS_EACH = int(os.environ.get("SECONDS_EACH", "5"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
CLIENTS = 8
URL = os.environ["DATABASE_URL"]
WORLD = """
    INSERT INTO license_license (id, license_number, license_date) VALUES (1, '1', '2026-01-01');
    INSERT INTO license_importitem (id, license_id, serial_number) VALUES (1, 1, 1);
    INSERT INTO ledger_billofentry (number) SELECT g FROM generate_series(1, 1000000) AS g;
"""
INSERT = """
INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (nextval('bench_bill'), 1, 1);
"""


def main() -> None:
    call_command("migrate", verbosity=0)
    with psycopg.connect(URL, autocommit=True) as session, tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(INSERT)
        script.flush()
        session.execute(WORLD)
        session.execute("CREATE SEQUENCE bench_bill MAXVALUE 1000000 CYCLE")
        [trigger, function] = session.execute(
            "SELECT tgname, pg_get_functiondef(tgfoid) FROM pg_trigger "
            "WHERE tgrelid = 'ledger_billofentryline'::regclass AND tgname LIKE '%capture_insert%'"
        ).fetchone()
        bare = function.replace(load("wake_relay"), "")
        assert_different(bare, function)
        always = function.replace("NOT pg_try_advisory_xact_lock_shared((x'4C63'::bigint << 48) | 1)", "true")
        assert_different(always, function)
        ways = {
            "no trigger": (f"ALTER TABLE ledger_billofentryline DISABLE TRIGGER {trigger}", bare),
            "outbox alone": ("SELECT", bare),
            "relay awake, or none": ("SELECT", function),
            "NOTIFY at every write": ("SELECT", always),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(ROUNDS):
            for way in list(ways)[:: 1 if number % 2 else -1]:
                before, body = ways[way]
                session.execute(body)
                session.execute("TRUNCATE ledger_billofentryline, ledger_licensechange")
                session.execute(f"ALTER TABLE ledger_billofentryline ENABLE ALWAYS TRIGGER {trigger}")
                session.execute(before)
                rates[way].append(measure(script.name))
        of = statistics.median(rates["outbox alone"])
        print(f"{CLIENTS} writers on one license, {ROUNDS} rounds of {SECONDS_EACH} s")
        for way, each in rates.items():
            print(
                f"{way:22}: {statistics.median(each) / of:.2f} x outbox alone "
                f"(median {statistics.median(each):.0f} inserts a second, {min(each):.0f} to {max(each):.0f})"
            )


def assert_different(one: str, other: str) -> None:
    if one == other:
        raise SystemExit("the trigger's text has changed: this script must follow")


def measure(script: str) -> float:
    done = subprocess.run(
        [find_postgres_bindir() / "pgbench", "--no-vacuum", f"--file={script}", f"--client={CLIENTS}", "--jobs=2",
         f"--time={SECONDS_EACH}", "--protocol=prepared", URL],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])


if __name__ == "__main__":
    main()
