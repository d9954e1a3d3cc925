"""What our triggers cost 8 writers on one license, who wait for each other as little as PostgreSQL lets them."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Record, ratios, sizes, take_turns
from stack import Trigger, connect, pgbench, set_up, up, wait_until_followed

CLIENTS = 8
BILLS = 1_000_000
WORLD = f"""
    INSERT INTO license_license (id, license_number, license_date) VALUES (1, '1', '2026-01-01');
    INSERT INTO license_importitem (id, license_id, serial_number) SELECT g, 1, g FROM generate_series(1, 4) AS g;
    INSERT INTO ledger_billofentry (number) SELECT g FROM generate_series(1, {BILLS}) AS g;
    CREATE SEQUENCE bench_bill MAXVALUE {BILLS} CYCLE;
"""
INSERT = (
    "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) "
    "VALUES (nextval('bench_bill'), {}, 1);\n"
)
SINGLE = (INSERT.format(1), 1)
FOUR = ("BEGIN;\n" + "".join(INSERT.format(item) for item in (1, 2, 3, 4)) + "END;\n", 4)
WAYS_TO_WRITE = {
    "single inserts": (*SINGLE, True),
    "transactions of four inserts": (*FOUR, True),
    "single inserts, no commit waits for the disk": (*SINGLE, False),
    "transactions of four inserts, no commit waits for the disk": (*FOUR, False),
}
BARE, OUTBOX, OURS, RUNNING, ALWAYS, TOTALS = (
    "no trigger",
    "outbox alone",
    "our triggers",
    "our triggers, worker and relay at work",
    "NOTIFY at every write",
    "totals by row triggers",
)


def main() -> None:
    size = sizes(small={"seconds": 3, "rounds": 3}, full={"seconds": 15, "rounds": 7})
    record = Record("writers", "Eight writers on one license", size)
    set_up()
    from peers import row_totals

    with connect() as session:
        session.execute(WORLD)
        session.execute("VACUUM ANALYZE")
        trigger = Trigger(session)

        def empty() -> None:
            session.execute("TRUNCATE ledger_billofentryline, ledger_licensechange")
            session.execute("TRUNCATE ledger_licensechange")

        def write(script: str, inserts: int, waits_for_disk: bool) -> tuple[float, int]:
            rate, count = pgbench(script, clients=CLIENTS, seconds=size["seconds"], waits_for_disk=waits_for_disk)
            check(
                "lines", session.execute("SELECT count(*) FROM ledger_billofentryline").fetchone()[0], count * inserts
            )
            return rate, count * inserts

        def with_function(function: str | None) -> Callable[..., float]:
            def measure(*script: Any) -> float:
                trigger.install(function)
                empty()
                rate, lines = write(*script)
                pending = session.execute("SELECT count(*) FROM ledger_licensechange").fetchone()[0]
                check("changes", pending, lines if function else 0)
                return rate

            return measure

        def with_totals(*script: Any) -> float:
            trigger.install(None)
            empty()
            row_totals.install(session.cursor())
            try:
                rate, _ = write(*script)
                check("licenses with wrong totals", row_totals.wrong(session.cursor()), [])
            finally:
                row_totals.remove(session.cursor())
            return rate

        def with_engine(*script: Any) -> float:
            trigger.install(trigger.function)
            empty()
            with up():
                rate, lines = write(*script)
                wait_until_followed(session)
            debited = session.execute("SELECT debited_cif FROM ledger_licensebalance").fetchone()[0]
            check("the balance's debits", debited, lines)
            return rate

        ways = {
            BARE: with_function(None),
            OUTBOX: with_function(trigger.outbox_alone),
            OURS: with_function(trigger.function),
            RUNNING: with_engine,
            ALWAYS: with_function(trigger.notify_always),
            TOTALS: with_totals,
        }
        for what, script in WAYS_TO_WRITE.items():
            bound = {way: partial(measure, *script) for way, measure in ways.items()}
            rates = take_turns(bound, size["rounds"])
            record.measured(f"{CLIENTS} writers, {what}", "transactions a second", rates)
            record.goal(f"{CLIENTS} writers on one license, {what}: with our triggers, nobody at work, to without any",
                        ratios(rates[OURS], rates[BARE]), at_least=0.9)  # fmt: skip
    record.save()


def check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"{what}: {found} where {expected} were expected")


if __name__ == "__main__":
    main()
