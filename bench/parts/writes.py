"""What capturing a change costs the writer: in bulk, and in a single save of the ORM."""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "peers.settings"

from harness import Record, ratios, sizes, take_turns  # isort: skip
from world import capture, check, create, grow, rows, run, seconds  # isort: skip

import redis
from computedfields.models import update_dependent
from django.db import connection, transaction
from django.db.models import Model

from ledger import hints
from ledger.engine import recompute
from ledger.keys import Keys
from ledger.models import BillOfEntryLine
from peers import models as computed
from peers import row_totals, today
from peers.installed import fill_computedfields, without_signals

SIZE = sizes(
    small={"licenses": 2_000, "lines": 10_000, "bulk_rounds": 15, "saves": 50, "save_rounds": 15},
    full={"licenses": 10_000, "lines": 10_000, "bulk_rounds": 31, "saves": 100, "save_rounds": 51},
)
LICENSES, LINES, SAVES = SIZE["licenses"], SIZE["lines"], SIZE["saves"]
TABLE = "ledger_billofentryline"
SUMS_ARE_WRONG = """
SELECT count(*) FROM peers_importitem AS item
WHERE debited_value <> (SELECT coalesce(sum(cif_fc), 0) FROM peers_billofentryline WHERE import_item_id = item.id)
"""
Places = Sequence[tuple[int, int]]
"""(bill of entry, import item) of each line to write."""


def main() -> None:
    record = Record("writes", "Writes", SIZE)
    create()
    grow(LICENSES)
    recompute(range(1, LICENSES + 1))
    with connection.cursor() as cursor:
        row_totals.install(cursor)
        row_totals.enable(cursor, is_on=False)
    fill_computedfields(list(range(1, LICENSES + 1)))
    today.fill(range(1, LICENSES + 1))
    bills = LINES + SAVES
    run("INSERT INTO ledger_billofentry (number) SELECT 'bench ' || g FROM generate_series(1, %s) AS g", [bills])
    run("INSERT INTO peers_billofentry SELECT id, number FROM ledger_billofentry WHERE number LIKE 'bench%'")
    run("VACUUM ANALYZE")
    in_bulk(record)
    single(record)
    record.save()


def in_bulk(record: Record) -> None:
    for what, places in (
        ("each of another item", places_of(LINES, items=LINES)),
        ("a hundred of each item", places_of(LINES, items=LINES // 100)),
    ):
        text = "".join(f"{bill}\t{item}\t1\t1.25\n" for bill, item in places)
        for name, write in (("COPY", partial(copy, text)), ("bulk_create", partial(bulk_create, places))):
            ways = {
                "no trigger": partial(bulk, write, places, way="bare"),
                "capture": partial(bulk, write, places, way="capture"),
                "totals by row triggers": partial(bulk, write, places, way="totals"),
            }
            if name == "bulk_create":
                ways["django-computedfields, update_dependent"] = partial(bulk_computed, places)
            took = take_turns(ways, SIZE["bulk_rounds"])
            record.measured(f"{name} of {LINES:,} lines, {what}", "ms", took)
            record.goal(
                f"{name} of {LINES:,} lines, {what}: with capture, to without",
                ratios(took["capture"], took["no trigger"]),
                at_most=1.25,
            )


def single(record: Record) -> None:
    chance = random.Random(1)  # the same lines in each run
    for what, do in (
        ("A new line, saved by itself", partial(create_lines, is_apart=True)),
        ("A changed line, saved by itself", partial(change_lines, is_apart=True)),
        ("New lines, saved one after the other", partial(create_lines, is_apart=False)),
    ):
        ways = {
            "neither capture nor nudge": partial(saves, do, chance, way="bare"),
            "capture and nudge": partial(saves, do, chance, way="capture"),
            "capture alone": partial(saves, do, chance, way="capture without signals"),
            "totals by row triggers": partial(saves, do, chance, way="totals"),
            "recompute of the license right after the save": partial(saves, do, chance, way="recompute"),
            "batch of today right after the save": partial(saves, do, chance, way="today"),
            "table of django-computedfields, without it": partial(saves, do, chance, way="computed, bare"),
            "django-computedfields": partial(saves, do, chance, way="computed"),
        }
        took = take_turns(ways, SIZE["save_rounds"])
        record.measured(what, "µs", took)
        if what == "New lines, saved one after the other":
            continue  # no goal: there the nudges compete with the saves for the one interpreter
        with_us, without = took["capture and nudge"], took["neither capture nor nudge"]
        record.goal(f"{what}: with capture and nudge, to without", ratios(with_us, without), at_most=1.25)
        medians = {way: statistics.median(values) for way, values in took.items()}
        added = medians["capture and nudge"] - medians["neither capture nor nudge"]
        for peer, base in (
            ("django-computedfields", "table of django-computedfields, without it"),
            ("recompute of the license right after the save", "neither capture nor nudge"),
        ):
            record.goal(
                f"{what}: what {peer} adds, to what we add (medians)",
                [(medians[peer] - medians[base]) / max(added, 1)],
                at_least=10,
            )
        peers = ("totals by row triggers", "recompute of the license right after the save", "django-computedfields")
        record.measured(f"{what}: the whole save, against ours", "µs", {
            "capture and nudge": with_us, **{peer: took[peer] for peer in peers}
        })  # fmt: skip


# --- in bulk ----------------------------------------------------------------------------------------------------------
def bulk(write: Callable[[], None], places: Places, *, way: str) -> float:
    """ms, commit included."""
    with switched(way):
        took = seconds(write) * 1000
        [(lines,)] = rows(f"SELECT count(*) FROM {TABLE} WHERE quantity = 1")
        check_write(lines, LINES, items=len({item for _, item in places}), way=way)
        undo()
    run(f"VACUUM ANALYZE {TABLE}, ledger_licensechange, row_totals.item, row_totals.license")
    return took


def copy(text: str) -> None:
    statement = f"COPY {TABLE} (bill_of_entry_id, import_item_id, quantity, cif_fc) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(statement) as lines:
        lines.write(text)


def bulk_create(places: Places) -> None:
    BillOfEntryLine.objects.bulk_create(
        BillOfEntryLine(bill_of_entry_id=bill, import_item_id=item, quantity=1, cif_fc=Decimal("1.25"))
        for bill, item in places
    )


def bulk_computed(places: Places) -> float:
    """ms: bulk_create, and then as its documentation says."""

    def write() -> None:
        lines = computed.BillOfEntryLine.objects.bulk_create(
            computed.BillOfEntryLine(bill_of_entry_id=bill, import_item_id=item, quantity=1, cif_fc=Decimal("1.25"))
            for bill, item in places
        )
        update_dependent(computed.BillOfEntryLine.objects.filter(pk__in=[line.pk for line in lines]))

    took = seconds(write) * 1000
    check_computed(LINES)
    return took


# --- one by one -------------------------------------------------------------------------------------------------------
def saves(do: Callable[[type, Places], float], chance: random.Random, *, way: str) -> float:
    """µs a save, each in a transaction of its own: the mean of a round."""
    model = computed.BillOfEntryLine if way.startswith("computed") else BillOfEntryLine
    places = places_of(SAVES, items=SAVES, chance=chance)
    after = None
    if way in ("recompute", "today"):
        license_of = dict(rows("SELECT id, license_id FROM license_importitem"))
        again = {"recompute": recompute, "today": today.sync}[way]

        def after(line: BillOfEntryLine) -> None:
            again([license_of[line.import_item_id]])

    with switched(way):
        took = do(model, places, after, hints.flush if way == "capture" else nudge)
        if model is BillOfEntryLine:
            [(lines,)] = rows(f"SELECT count(*) FROM {TABLE} WHERE quantity = 1")
            check_write(lines, SAVES, items=SAVES, way=way)
            undo()
        else:
            check_computed(SAVES, is_followed=way == "computed")
    if way == "recompute":
        with switched("bare"):
            recompute({license_of[item] for _, item in places})
    return took


def create_lines(model: type, places: Places, after: Callable | None, between: Callable, *, is_apart: bool) -> float:
    lines = (
        model(bill_of_entry_id=bill, import_item_id=item, quantity=1, cif_fc=Decimal("1.25")) for bill, item in places
    )
    return statistics.mean(each_save(lines, after, between if is_apart else None))


def change_lines(model: type, places: Places, after: Callable | None, between: Callable, *, is_apart: bool) -> float:
    """Lines of quantity 0 and no value, which nobody sees, become those that `create_lines` makes."""
    lines = model.objects.bulk_create(model(bill_of_entry_id=bill, import_item_id=item) for bill, item in places)
    hints.flush()
    run("DELETE FROM ledger_licensechange")
    for line in lines:
        line.quantity, line.cif_fc = Decimal(1), Decimal("1.25")
    return statistics.mean(each_save(lines, after, between if is_apart else None))


def each_save(lines: Iterable[Model], after: Callable | None, between: Callable | None) -> Iterator[float]:
    """µs of each save, and of what comes after it. Between two, unmeasured, each way waits for the thread that nudges
    to send a message: what is measured then begins with equally cold caches."""
    for line in lines:
        start = time.perf_counter()
        with transaction.atomic():  # with all that receivers of its signals do
            line.save()
        if after:
            after(line)
        yield (time.perf_counter() - start) * 1e6
        if between:
            between()


def nudge() -> None:
    """What a save with signals does, and the wait for the message."""
    hints.announce(Keys())
    hints.flush()


# --- both -------------------------------------------------------------------------------------------------------------
def places_of(count: int, *, items: int, chance: random.Random | None = None) -> list[tuple[int, int]]:
    """So many places for new lines, of so many different items: the first, or by chance."""
    [(first, last)] = rows("SELECT min(id), max(id) FROM ledger_billofentry WHERE number LIKE 'bench%'")
    chosen = chance.sample(range(1, 8 * LICENSES + 1), items) if chance else range(1, items + 1)
    check(is_so=last - first + 1 >= count, what="there are too few bills of entry")
    return [(first + index, chosen[index % items]) for index in range(count)]


@contextmanager
def switched(way: str) -> Iterator[None]:
    """Only what belongs to this way is on."""
    with ExitStack() as stack:
        if way not in ("capture", "computed"):
            stack.enter_context(without_signals("ledger"))
        if way != "computed":
            stack.enter_context(without_signals("computedfields"))
        capture(is_on=way.startswith("capture"), tables=[TABLE])
        with connection.cursor() as cursor:
            row_totals.enable(cursor, is_on=way == "totals")
        try:
            yield
        finally:
            capture(is_on=True, tables=[TABLE])
            with connection.cursor() as cursor:
                row_totals.enable(cursor, is_on=False)


def check_write(lines: int, wanted: int, *, items: int, way: str) -> None:
    """The lines are there, and what the way promises has been done."""
    [(changes,)] = rows("SELECT count(*) FROM ledger_licensechange")
    check(is_so=lines == wanted, what=f"{lines} lines were written")
    check(is_so=changes == (items if way.startswith("capture") else 0), what=f"{way} left {changes} changes")
    if way == "totals":
        with connection.cursor() as cursor:
            check(is_so=not row_totals.wrong(cursor), what="totals are wrong")
    broker = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])
    check(is_so=hints.flush(), what="hints were not sent")
    check(is_so=way != "capture" or wanted == LINES or broker.llen("recompute") > 0, what="no hint was sent")
    broker.delete("recompute")


def undo() -> None:
    """The facts are what they were; so are totals by row triggers, where they are on."""
    run(f"DELETE FROM {TABLE} WHERE quantity = 1")
    run("DELETE FROM ledger_licensechange")


def check_computed(wanted: int, *, is_followed: bool = True) -> None:
    [(lines,)] = rows("SELECT count(*) FROM peers_billofentryline WHERE quantity = 1")
    [(wrong,)] = rows(SUMS_ARE_WRONG)
    check(is_so=(lines, wrong) == (wanted, 0 if is_followed else wanted), what=f"{lines} lines, {wrong} wrong items")
    with_new = computed.BillOfEntryLine.objects.filter(quantity=1)
    items = list(with_new.values_list("import_item_id", flat=True))
    run("DELETE FROM peers_billofentryline WHERE quantity = 1")
    if is_followed:
        update_dependent(computed.ImportItem.objects.filter(pk__in=items))
    [(wrong,)] = rows(SUMS_ARE_WRONG)
    check(is_so=not wrong, what=f"{wrong} items stay wrong")
    run("VACUUM ANALYZE peers_billofentryline, peers_importitem, peers_license")


if __name__ == "__main__":
    main()
