"""What the writers of the storm write, and what must then stand in the tables of facts.

An operation follows from the seed, the writer and its number alone, so a seed can be replayed. Writers meet on
licenses, items and shared export items, but what one of them sets nobody else sets, and what they share they only add
to: from what each has committed follows every fact, whoever came first.
"""

import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

WRITERS = 4
LICENSES = range(1, 1001)
HOT = range(1, 13)
"""Where writers meet. The others are written so rarely that a change of theirs which is lost stays lost."""
SERIALS = range(1, 4)
BILLS = range(5)
ALLOTMENTS = range(3)

KINDS = {  # and how often
    "save": 4,
    "QuerySet.update": 3,
    "bulk_create": 3,
    "raw SQL": 6,
    "COPY": 2,
    "COPY and MERGE": 3,
    "delete": 1,
    "allot": 2,
    "release": 1,
    "reserve again": 1,
    "move an item": 2,
    "restrict a name": 1,
    "add a license": 1,
    "delete a license": 1,
}

JOURNAL = "writer int, number int, PRIMARY KEY (writer, number)"
WORLD = f"""
    CREATE TABLE public.storm_journal ({JOURNAL});
    INSERT INTO license_sionnorm (id, code) VALUES (1, 'E1');
    INSERT INTO license_itemname (id, name, sion_norm_id, restriction_percentage)
        SELECT w, 'name ' || w, 1, 10 FROM generate_series(1, {WRITERS}) AS w;
    INSERT INTO license_license (id, license_number, license_date)
        SELECT l, lpad(l::text, 10, '0'), '2026-01-01' FROM generate_series(1, {len(LICENSES)}) AS l;
    INSERT INTO license_exportitem (id, license_id, norm_id, cif_fc)
        SELECT l, l, 1, 100000 FROM generate_series(1, {len(LICENSES)}) AS l;
    INSERT INTO license_exportitem (id, license_id, cif_fc)
        SELECT w * 10000 + l, l, 0
        FROM generate_series(1, {WRITERS}) AS w, generate_series(1, {len(LICENSES)}) AS l;
    INSERT INTO license_importitem (id, license_id, serial_number, quantity, cif_fc)
        SELECT l * 10 + s, l, s, 1000, CASE s WHEN 2 THEN 500 ELSE 0 END
        FROM generate_series(1, {len(LICENSES)}) AS l, generate_series(1, {len(SERIALS)}) AS s;
    INSERT INTO license_importitem (id, license_id, serial_number, quantity)
        SELECT 100000 + w, 1, 10 + w, 1000 FROM generate_series(1, {WRITERS}) AS w;
    INSERT INTO license_importitem_item_names (importitem_id, itemname_id)
        SELECT l * 10 + 1, 1 + l % {WRITERS} FROM generate_series(1, {len(LICENSES)}) AS l;
    INSERT INTO license_company (id, iec) VALUES (1, '0000000001');
    INSERT INTO ledger_billofentry (id, number)
        SELECT w * 100 + b, w || '-' || b
        FROM generate_series(1, {WRITERS}) AS w, generate_series(0, {len(BILLS)}) AS b;
    INSERT INTO ledger_billofentry (id, number) VALUES (9000, 'too much'), (9001, 'too much as well');
    INSERT INTO ledger_allotment (id, company_id)
        SELECT w * 100 + a, 1 FROM generate_series(1, {WRITERS}) AS w, generate_series(0, {len(ALLOTMENTS)}) AS a;
    SELECT setval(pg_get_serial_sequence(t, 'id'), 1000000) FROM unnest(ARRAY[
        'license_license', 'license_exportitem', 'license_importitem', 'license_itemname', 'license_sionnorm',
        'license_company', 'ledger_billofentry', 'ledger_allotment'
    ]) AS t;
"""


@dataclass(frozen=True)
class Operation:
    """One transaction of a writer. Each kind uses of the rest what it needs."""

    writer: int
    number: int
    kind: str
    licenses: tuple[int, ...]
    """In the order in which this writer takes them: every other one goes the opposite way."""
    serial: int
    bill: int
    allotment: int
    cif_fc: Decimal
    quantity: Decimal
    pause_seconds: float

    @property
    def items(self) -> list[int]:
        return [license * 10 + self.serial for license in self.licenses]

    @property
    def own_export_item(self) -> int:
        return self.writer * 10_000 + self.licenses[-1]

    @property
    def own_import_item(self) -> int:
        return 100_000 + self.writer


def operation(seed: int, writer: int, number: int) -> Operation:
    dice = random.Random(f"{seed}, writer {writer}, operation {number}")
    chosen = {*dice.sample(HOT, dice.randint(1, 3)), *dice.sample(LICENSES, dice.randint(0, 3))}
    licenses = sorted(chosen, reverse=writer % 2 == 0)
    return Operation(
        writer=writer,
        number=number,
        kind=dice.choices(list(KINDS), list(KINDS.values()))[0],
        licenses=tuple(licenses),
        serial=dice.choice(SERIALS),
        bill=writer * 100 + dice.choice(BILLS),
        allotment=writer * 100 + dice.choice(ALLOTMENTS),
        cif_fc=Decimal(dice.randrange(0, 2_000_00)) / 100,
        quantity=Decimal(dice.randrange(0, 200_000)) / 1000,
        pause_seconds=dice.uniform(0, 0.1),
    )


@dataclass
class Facts:
    """What the writers left, as they see it or as the tables have it."""

    lines: dict[tuple[int, int], tuple[Decimal, Decimal]] = field(default_factory=dict)
    allotted: dict[tuple[int, int], tuple[Decimal, Decimal]] = field(default_factory=dict)
    links: set[tuple[int, int]] = field(default_factory=set)
    credits: dict[int, Decimal] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    percentages: dict[int, Decimal] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)


def foresee(operations: list[Operation]) -> Facts:
    """The facts after these operations: each writer's in its order, one writer after the other."""
    facts = Facts()
    facts.credits = {license: Decimal(100_000) for license in LICENSES}
    facts.credits |= {writer * 10_000 + license: Decimal(0) for writer in range(1, WRITERS + 1) for license in LICENSES}
    facts.places = {100_000 + writer: 1 for writer in range(1, WRITERS + 1)}
    facts.percentages = {writer: Decimal(10) for writer in range(1, WRITERS + 1)}
    facts.numbers = {f"{license:010}" for license in LICENSES}
    for done in operations:
        _foresee(done, facts)
    return facts


def _foresee(done: Operation, facts: Facts) -> None:  # noqa: C901 (a table of kinds)
    taken = (done.quantity, done.cif_fc)
    match done.kind:
        case "save":
            facts.credits[done.own_export_item] = done.cif_fc
        case "QuerySet.update":
            facts.lines |= {key: taken for key in facts.lines if key[0] == done.bill and key[1] in done.items}
        case "raw SQL":
            for license in done.licenses:
                facts.credits[license] += done.cif_fc
        case "bulk_create" | "COPY and MERGE":
            facts.lines |= {(done.bill, item): taken for item in done.items}
        case "COPY":
            facts.lines = {key: line for key, line in facts.lines.items() if key[0] != done.bill}
            facts.lines |= {(done.bill, item): taken for item in done.items}
        case "delete":
            facts.lines = {key: line for key, line in facts.lines.items() if key[0] != done.bill}
        case "allot":
            facts.allotted |= {(done.allotment, item): taken for item in done.items}
        case "release":
            facts.links.add((done.allotment, done.bill))
        case "reserve again":
            facts.links = {link for link in facts.links if link[0] != done.allotment}
        case "move an item":
            facts.places[done.own_import_item] = done.licenses[-1]
        case "restrict a name":
            facts.percentages[done.writer] = Decimal(done.serial * 10)
        case "add a license":
            facts.numbers.add(own_number(done))
        case "delete a license":
            facts.numbers.discard(own_number(done))


def own_number(done: Operation) -> str:
    """Of a license that this writer alone adds and deletes."""
    return f"9{done.writer}{done.serial:08}"


def read(sql: Any) -> Facts:
    """The facts that are in the tables, by a function that runs a statement."""
    line = "import_item_id, quantity, cif_fc"
    return Facts(
        lines={(a, b): (q, v) for a, b, q, v in sql(f"SELECT bill_of_entry_id, {line} FROM ledger_billofentryline")},
        allotted={(a, b): (q, v) for a, b, q, v in sql(f"SELECT allotment_id, {line} FROM ledger_allotmentline")},
        links=set(sql("SELECT allotment_id, billofentry_id FROM ledger_allotment_bills_of_entry")),
        credits=dict(sql("SELECT id, cif_fc FROM license_exportitem WHERE id < 1000000")),
        places=dict(sql("SELECT id, license_id FROM license_importitem WHERE serial_number > 10")),
        percentages=dict(sql("SELECT id, restriction_percentage FROM license_itemname")),
        numbers={number for (number,) in sql("SELECT license_number FROM license_license")},
    )
