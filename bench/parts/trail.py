"""What the trail of changes costs the writer, in time and on disk, beside no trail and beside django-pghistory."""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "peers.history.settings"

from harness import Record, sizes, take_turns  # isort: skip
from world import check, create, grow, rows, run, seconds  # isort: skip

import pghistory
import redis
from django.db import connection, transaction

from ledger.acting import acting
from ledger.icegate.load import Status, load
from ledger.icegate.parse import parse_file
from ledger.models import BillOfEntryLine
from ledger.trail import TRACKED
from license.models import Port
from peers.history import installed
from peers.installed import without_signals
from stack import CHECKOUT, pgbench

SIZE = sizes(
    small={"licenses": 2_000, "lines": 10_000, "rounds": 15, "saves": 200, "ledgers": 400, "seconds": 3},
    full={"licenses": 10_000, "lines": 10_000, "rounds": 31, "saves": 1_000, "ledgers": 2_000, "seconds": 10},
)
LICENSES, LINES, SAVES = SIZE["licenses"], SIZE["lines"], SIZE["saves"]
CLIENTS = 4
BILLS = 200_000
TABLE = "ledger_billofentryline"
OURS = ["ledger_trailstatement", "ledger_trailentry"]
THEIRS = ["pghistory_context", *installed.TABLES]
FACTS = [fact.table for fact in TRACKED]
BARE, TRAIL, PEER = "no trail", "the trail", "django-pghistory"
WAYS = (BARE, TRAIL, PEER)
SAMPLE = CHECKOUT / "samples" / "dfia-2025.csv"
NUMBERS = ("0310482917", "0310482944", "0310497706", "0311020358")
"""Of its licenses, one of which has lost its zero there."""
INSERT = f"INSERT INTO {TABLE} (bill_of_entry_id, import_item_id, quantity, cif_fc)"
DEBIT = f"""\\set item random(1, {8 * LICENSES})
INSERT INTO {TABLE} (bill_of_entry_id, import_item_id, quantity, cif_fc) VALUES (nextval('bench_bill'), :item, 1, 1.25);
"""


def main() -> None:
    record = Record("trail", "The trail of changes", SIZE)
    create()
    installed.install()
    trail(is_on=False)
    record.notes.append(kept())
    grow(LICENSES)
    run("INSERT INTO ledger_billofentry (number) SELECT 'bench ' || g FROM generate_series(1, %s) AS g", [BILLS])
    [(first, last)] = rows("SELECT min(id), max(id) FROM ledger_billofentry WHERE number LIKE 'bench%'")
    run(f"CREATE SEQUENCE bench_bill MINVALUE {first} MAXVALUE {last} CYCLE")
    for table in [*OURS, *THEIRS]:
        run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    run("VACUUM ANALYZE")
    with without_signals("ledger"):
        lines = [(first + index, index + 1) for index in range(LINES)]
        for what, unit, count, prepare, write in (
            ("A new line, saved by itself", "µs", SAVES, nothing, partial(save_new, lines[:SAVES])),
            ("A changed line, saved by itself", "µs", SAVES, partial(insert, SAVES), save_changed),
            (f"INSERT of {LINES:,} lines, one statement", "ms", LINES, nothing, partial(insert, LINES)),
            (f"UPDATE of {LINES:,} lines, one statement", "ms", LINES, partial(insert, LINES), update),
            (f"COPY of {LINES:,} lines", "ms", LINES, nothing, partial(copy, lines)),
        ):
            compare(record, what, unit, count, prepare, write)
        for what, waits in (("", True), (", no commit waits for the disk", False)):
            many_writers(record, f"{CLIENTS} writers, single inserts{what}", waits_for_disk=waits)
        run("DROP SEQUENCE bench_bill")
        ledgers(record)
    record.save()


# --- what is compared -------------------------------------------------------------------------------------------------
def compare(record: Record, what: str, unit: str, count: int, prepare: Callable, write: Callable) -> None:
    """Time, and what is left on disk besides the rows themselves."""
    per_row: dict[str, list[float]] = {TRAIL: [], PEER: []}

    def measured(way: str) -> float:
        begin()
        prepare()
        with switched(way):
            before = size_of(way)
            took = write(way)
            check_kept(way, count)
            if way in per_row:
                per_row[way].append((size_of(way) - before) / count)
        return took * (1e6 / count if unit == "µs" else 1e3)

    took = take_turns({way: partial(measured, way) for way in WAYS}, SIZE["rounds"])
    record.measured(what, unit, took)
    record.measured(f"{what}: on disk, with indexes", "bytes a row", per_row)


def save_new(places: Sequence[tuple[int, int]], way: str) -> float:
    return save_each(
        (BillOfEntryLine(bill_of_entry_id=bill, import_item_id=item, quantity=1, cif_fc=1) for bill, item in places),
        way,
    )


def save_changed(way: str) -> float:
    lines = list(BillOfEntryLine.objects.filter(quantity=1))
    for line in lines:
        line.cif_fc += 1
    return save_each(lines, way)


def save_each(lines: Sequence[BillOfEntryLine] | Iterator[BillOfEntryLine], way: str) -> float:
    """Seconds, of all of them: each in a request and a transaction of its own."""
    start = time.perf_counter()
    for line in lines:
        with somebody(way), transaction.atomic():
            line.save()
    return time.perf_counter() - start


def insert(count: int, way: str = BARE) -> float:
    def write() -> None:
        with somebody(way):
            run(f"{INSERT} SELECT nextval('bench_bill'), g, 1, 1.25 FROM generate_series(1, {count}) AS g")

    return seconds(write)


def update(way: str) -> float:
    def write() -> None:
        with somebody(way):
            run(f"UPDATE {TABLE} SET cif_fc = cif_fc + 1 WHERE quantity = 1")

    return seconds(write)


def copy(places: Sequence[tuple[int, int]], _way: str) -> float:
    text = "".join(f"{bill}\t{item}\t1\t1.25\n" for bill, item in places)

    def write() -> None:
        statement = f"COPY {TABLE} (bill_of_entry_id, import_item_id, quantity, cif_fc) FROM STDIN"
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(statement) as lines:
            lines.write(text)

    return seconds(write)


def many_writers(record: Record, what: str, *, waits_for_disk: bool) -> None:
    def measured(way: str) -> float:
        begin()
        with switched(way):
            rate, count = pgbench(DEBIT, clients=CLIENTS, seconds=SIZE["seconds"], waits_for_disk=waits_for_disk)
            check_kept(way, count)
        return rate

    rates = take_turns({way: partial(measured, way) for way in WAYS}, max(3, SIZE["rounds"] // 2))
    record.measured(what, "transactions a second", rates)


def ledgers(record: Record) -> None:
    """Into a database that has none. What is kept of it is counted by rows of facts, whatever their table."""
    run(f"TRUNCATE {', '.join(FACTS)} CASCADE")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(b"".join(sample(number) for number in range(SIZE["ledgers"] // len(NUMBERS))))
        file.flush()
        parsed = parse_file(file.name)
    check(is_so=not parsed.problems, what="the sample is not readable")
    per_row: dict[str, list[float]] = {TRAIL: [], PEER: []}

    def measured(way: str) -> float:
        without_triggers(f"TRUNCATE {', '.join(FACTS)} CASCADE")
        begin()
        with switched(way):
            before = size_of(way)
            start = time.perf_counter()
            with somebody(way):
                outcomes = load(parsed.ledgers)
            took = time.perf_counter() - start
            check(is_so={each.status for each in outcomes} == {Status.CREATED}, what="not all ledgers were loaded")
            count = sum(rows(f"SELECT count(*) FROM {table}")[0][0] for table in FACTS)
            check_kept(way, count, is_least=True)
            if way in per_row:
                per_row[way].append((size_of(way) - before) / count)
        redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).delete("recompute")
        return took

    took = take_turns({way: partial(measured, way) for way in WAYS}, max(3, SIZE["rounds"] // 2))
    what = f"{len(parsed.ledgers):,} ledgers are loaded"
    record.measured(what, "s", took)
    record.measured(f"{what}: on disk, with indexes", "bytes a row", per_row)


def sample(number: int) -> bytes:
    """The sample's ledgers as those of other licenses."""
    text = SAMPLE.read_text(encoding="utf-8-sig")
    for index, own in enumerate(NUMBERS):
        text = re.sub(rf"\b0?{own[1:]}\b", f"09{number:06d}{index:02d}", text)
    return text.encode()


# --- the ways ---------------------------------------------------------------------------------------------------------
def somebody(way: str) -> AbstractContextManager:
    """Who writes, said as the middleware of each says it."""
    if way == TRAIL:
        return acting("asha", via="POST /entry/ledger/billofentry/add/")
    return pghistory.context(user=1, url="/entry/ledger/billofentry/add/") if way == PEER else nullcontext()


@contextmanager
def switched(way: str) -> Iterator[None]:
    """Only what belongs to this way is on; what captures changes for the engine always is."""
    trail(is_on=way == TRAIL)
    installed.enable(is_on=way == PEER)
    try:
        yield
    finally:
        trail(is_on=False)
        installed.enable(is_on=False)


def trail(*, is_on: bool) -> None:
    for table, name in rows("SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE 'pgtrigger_trail_%%'"):
        run(f"ALTER TABLE {table} {'ENABLE ALWAYS' if is_on else 'DISABLE'} TRIGGER {name}")


def begin() -> None:
    """Nothing of the last round is left: no lines of it, no trail, no events, no changes."""
    trail(is_on=False)
    run(f"DELETE FROM {TABLE} WHERE quantity = 1")
    without_triggers(f"TRUNCATE ledger_licensechange, {', '.join([*OURS, *THEIRS])}")
    run(f"VACUUM ANALYZE {TABLE}")


def without_triggers(statement: str) -> None:
    """The trail refuses TRUNCATE to everybody but a restore."""
    trail(is_on=False)
    run("SET session_replication_role = replica")
    run(statement)
    run("SET session_replication_role = origin")


def size_of(way: str) -> int:
    """Bytes of what it keeps, with indexes."""
    tables = {TRAIL: OURS, PEER: THEIRS}.get(way, [])
    [(size,)] = rows(
        "SELECT coalesce(sum(pg_total_relation_size(name::regclass)), 0) FROM unnest(%s::text[]) AS name", [tables]
    )
    return int(size)


def entries(way: str) -> int:
    tables = {TRAIL: ["ledger_trailentry"], PEER: installed.TABLES}.get(way, [])
    return sum(rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)


def check_kept(way: str, wanted: int, *, is_least: bool = False) -> None:
    """An entry of each row: of one that is written twice, more."""
    found = entries(way)
    check(is_so=way == BARE or found == wanted or (is_least and found > wanted), what=f"{way} has kept {found} entries")


# --- what each keeps --------------------------------------------------------------------------------------------------
def kept() -> str:
    """Ten rows are written in each of several manners: how many of them each has kept."""
    writes = {
        "INSERT": ("INSERT INTO license_port (code) SELECT 'P' || g FROM generate_series(1, 10) AS g",),
        "INSERT, replica role": (
            "SET LOCAL session_replication_role = replica",
            "INSERT INTO license_port (code) SELECT 'Q' || g FROM generate_series(1, 10) AS g",
        ),
        "INSERT, every trigger of django-pgtrigger ignored": (
            "SELECT set_config('pgtrigger.ignore', array_agg(tgname)::text, true) FROM pg_trigger",
            "INSERT INTO license_port (code) SELECT 'R' || g FROM generate_series(1, 10) AS g",
        ),
        "UPDATE": ("UPDATE license_port SET code = code || 'x' WHERE code LIKE 'P%%'",),
        "UPDATE that changes nothing": ("UPDATE license_port SET code = code WHERE code LIKE 'P%%'",),
        "DELETE": ("DELETE FROM license_port WHERE code LIKE 'P%%'",),
        "TRUNCATE": (
            "DELETE FROM license_port WHERE code NOT LIKE 'R%%'",
            "SET CONSTRAINTS ALL IMMEDIATE",
            "TRUNCATE license_port CASCADE",
        ),
    }
    found = {way: [] for way in (TRAIL, PEER)}
    for way, counts in found.items():
        begin()
        for statements in writes.values():
            *first, last = statements
            with switched(way), transaction.atomic():
                for statement in first:
                    run(statement)
                was = entries(way)
                run(last)
                counts.append(entries(way) - was)
        Port.objects.all().delete()
    each = zip(writes, found[TRAIL], found[PEER], strict=True)
    counts = "; ".join(f"{what}, {ours} and {theirs}" for what, ours, theirs in each)
    return f"Of ten rows, {TRAIL} and {PEER} have kept: {counts}."


def nothing() -> None:
    pass


if __name__ == "__main__":
    main()
