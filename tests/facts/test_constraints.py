"""What the tables of facts refuse, and what they fill in: bulk writes and plain SQL skip Django's validation."""
# ruff: noqa: E501  (tables, to be read as such)

import pytest
from django.db import DataError, IntegrityError, transaction

from ledger.engine import drain
from ledger.models import BillOfEntryLine
from license.models import ImportItem, License
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.engine.sessions import make_licenses

pytestmark = pytest.mark.usefixtures("database")

# fmt: off
MINIMAL = {
    # table                            the least that an INSERT must say                         what the row then holds
    "license_company":                 ({"iec": "'0000000001'"},                                 {"name": "''"}),
    "license_port":                    ({"code": "'INNSA1'"},                                    {}),
    "license_hscode":                  ({"code": "'08011990'"},                                  {}),
    "license_sionnorm":                ({"code": "'E5'"},                                        {}),
    "license_itemname":                ({"name": "'milk'"},                                      {"sion_norm_id": "NULL", "restriction_percentage": "0"}),
    "license_license":                 ({"license_number": "'1'", "license_date": "'2026-01-01'"}, {
        "license_expiry_date": "NULL", "is_expiry_presumed": "false", "scheme_code": "'26'", "notification_number": "''",
        "currency": "'USD'", "ledger_date": "NULL", "ledger_as_of": "NULL", "purchase_status": "'GE'", "exporter_id": "NULL", "port_id": "NULL",
        "file_number": "''", "registration_number": "''", "registration_date": "NULL", "created_at": "now()", "modified_at": "now()"}),
    "license_exportitem":              ({"license_id": "1"}, {
        "norm_id": "NULL", "description": "''", "net_quantity": "0", "fob_inr": "0", "cif_fc": "0", "cif_inr": "0", "source": "'manual'"}),
    "license_importitem":              ({"license_id": "1", "serial_number": "1"}, {
        "hs_code_id": "NULL", "description": "''", "quantity": "0", "unit": "''", "cif_fc": "0", "cif_inr": "0", "restriction_percentage": "NULL"}),
    "license_importitem_item_names":   ({"importitem_id": "1", "itemname_id": "1"},              {}),
    "ledger_billofentry":              ({"number": "'1'"},                                       {"date": "NULL", "port_id": "NULL", "company_id": "NULL", "exchange_rate": "NULL"}),
    "ledger_billofentryline":          ({"bill_of_entry_id": "1", "import_item_id": "1"}, {
        "transaction_type": "'D'", "quantity": "0", "cif_fc": "0", "cif_inr": "0", "source": "'manual'", "disputed_since": "NULL", "entered_at": "now()"}),
    "ledger_allotment":                ({"company_id": "1"}, {
        "type": "'AT'", "item_name": "''", "required_quantity": "0", "unit_price": "NULL", "estimated_arrival_date": "NULL", "last_day": "NULL", "created_at": "now()"}),
    "ledger_allotmentline":            ({"allotment_id": "1", "import_item_id": "1"},            {"quantity": "0", "cif_fc": "0", "cif_inr": "0"}),
    "ledger_allotment_bills_of_entry": ({"allotment_id": "1", "billofentry_id": "1"},            {}),
    "ledger_allotmentrelease":         ({"allotment_id": "1"},                                   {"released_at": "now()", "released_by": "''"}),
    "ledger_quarantine":               ({"license_id": "1", "error": "'e'"},                     {"attempts": "1", "first_failed_at": "now()", "next_try_at": "now()"}),
}
# fmt: on
FACTS = [table for table in MINIMAL if table != "ledger_quarantine"]


def insert(table: str, **columns: str) -> None:
    names, values = zip(*(MINIMAL[table][0] | columns).items(), strict=True)
    sql(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(values)})")


@pytest.fixture
def facts(database: None) -> None:
    """One row of every table, with id 1."""
    for table in FACTS:
        insert(table)


@pytest.mark.parametrize("table", MINIMAL)
def test_a_minimal_plain_insert_gets_its_defaults(table: str) -> None:
    with transaction.atomic():  # now() stands still
        for parent in FACTS[: FACTS.index(table)] if table in FACTS else []:
            insert(parent)
        insert(table)
        given, defaults = MINIMAL[table]
        expected = given | defaults
        columns = {
            name for (name,) in sql("SELECT column_name FROM information_schema.columns WHERE table_name = %s", table)
        }
        assert columns - {"id"} == expected.keys()
        for column, value in expected.items():
            holds = f"BETWEEN {value} AND clock_timestamp()" if value == "now()" else f"IS NOT DISTINCT FROM {value}"
            assert one(f"SELECT {column} {holds} FROM {table}"), column


def test_what_plain_sql_has_written_is_drained(facts: None) -> None:
    drain()
    assert_balances_follow_facts()


# ── Amounts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

MONEY, QUANTITY, PERCENTAGE = "9999999999999.99", "999999999999.999", "999.99"
# fmt: off
GREATEST = {
    "license_itemname":       {"restriction_percentage": PERCENTAGE},
    "license_exportitem":     {"net_quantity": QUANTITY, "fob_inr": MONEY, "cif_fc": MONEY, "cif_inr": MONEY},
    "license_importitem":     {"quantity": QUANTITY, "cif_fc": MONEY, "cif_inr": MONEY, "restriction_percentage": PERCENTAGE},
    "ledger_billofentry":     {"exchange_rate": "99999999.9999"},
    "ledger_billofentryline": {"quantity": QUANTITY, "cif_fc": MONEY, "cif_inr": MONEY},
    "ledger_allotment":       {"required_quantity": QUANTITY, "unit_price": QUANTITY},
    "ledger_allotmentline":   {"quantity": QUANTITY, "cif_fc": MONEY, "cif_inr": MONEY},
}
# fmt: on
AMOUNTS = [(table, column) for table, columns in GREATEST.items() for column in columns]


def test_every_number_of_every_fact_is_known_here() -> None:
    columns = sql("SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'numeric'")
    assert sorted(AMOUNTS) == sorted(column for column in columns if column[0] in FACTS)


@pytest.mark.parametrize(("table", "column"), AMOUNTS)
def test_amounts_are_within_their_column(facts: None, table: str, column: str) -> None:
    for good in ("0", GREATEST[table][column]):
        sql(f"UPDATE {table} SET {column} = {good}")
    before = sql(f"SELECT * FROM {table}")
    step = (
        "0.0001"
        if "." in GREATEST[table][column][-5:-4]
        else "0.001"
        if "." in GREATEST[table][column][-4:-3]
        else "0.01"
    )
    for bad in (f"-{step}", "-1", "'NaN'"):
        with pytest.raises(IntegrityError):
            sql(f"UPDATE {table} SET {column} = {bad}")
    for bad in (f"{column} + {step}", "'Infinity'", "'-Infinity'"):
        with pytest.raises(DataError):
            sql(f"UPDATE {table} SET {column} = {bad}")
    assert sql(f"SELECT * FROM {table}") == before


def test_bulk_writes_are_refused_too(facts: None) -> None:
    with pytest.raises(IntegrityError):
        BillOfEntryLine.objects.update(cif_fc=-1)
    with pytest.raises(IntegrityError):
        ImportItem.objects.bulk_create([ImportItem(license_id=1, serial_number=2, quantity=-1)])


# ── Choices, keys, links ──────────────────────────────────────────────────────────────────────────────────────────────

# fmt: off
REFUSED = [
    # table                    columns
    ("license_license",        {"license_number": "'2'", "purchase_status": "'XX'"}),
    ("license_license",        {"license_number": "'2'", "purchase_status": "''"}),
    ("license_exportitem",     {"source": "'guess'"}),
    ("ledger_billofentryline", {"transaction_type": "'X'"}),
    ("ledger_billofentryline", {"transaction_type": "'d'"}),
    ("ledger_billofentryline", {"transaction_type": "'C'", "source": "'guess'"}),
    ("ledger_allotment",       {"type": "'ARE'"}),
    ("license_company",        {"iec": "'123'"}),
    ("license_company",        {"iec": "'000000000a'"}),
    ("license_company",        {"iec": "'००००००००००'"}),
    ("license_company",        {"iec": "E'000000000\\n'"}),
    ("license_importitem",     {"serial_number": "0"}),
    ("license_importitem",     {"serial_number": "-1"}),
    # keys that are taken
    ("license_company",        {}),
    ("license_port",           {}),
    ("license_hscode",         {}),
    ("license_sionnorm",       {}),
    ("license_itemname",       {}),
    ("license_license",        {}),
    ("license_importitem",     {}),
    ("license_importitem_item_names", {}),
    ("ledger_billofentry",     {}),
    ("ledger_billofentryline", {}),
    ("ledger_allotmentline",   {}),
    ("ledger_allotment_bills_of_entry", {}),
    ("ledger_allotmentrelease", {}),
    # nothing where something must be
    ("license_license",        {"license_number": "NULL"}),
    ("license_license",        {"license_number": "'2'", "notification_number": "NULL"}),
    ("license_exportitem",     {"cif_fc": "NULL"}),
    ("ledger_billofentryline", {"transaction_type": "NULL"}),
]
# fmt: on


@pytest.mark.parametrize(("table", "columns"), REFUSED)
def test_a_row_is_refused(facts: None, table: str, columns: dict[str, str]) -> None:
    before = sql(f"SELECT * FROM {table}")
    with pytest.raises(IntegrityError):
        insert(table, **columns)
    assert sql(f"SELECT * FROM {table}") == before


@pytest.mark.parametrize("date", ["NULL", "'2026-01-01'"])
@pytest.mark.parametrize("port", ["NULL", "1"])
def test_a_bill_of_entry_is_one_by_number_date_and_port_where_unknown_is_a_value(
    facts: None, date: str, port: str
) -> None:
    insert("ledger_billofentry", number="'9'", date=date, port_id=port)
    with pytest.raises(IntegrityError):
        insert("ledger_billofentry", number="'9'", date=date, port_id=port, company_id="1")
    insert("ledger_billofentry", number="'9'", date="'2026-01-02'", port_id=port)
    insert("ledger_billofentry", number="'8'", date=date, port_id=port)
    assert one("SELECT count(*) FROM ledger_billofentry") == 4


def test_what_is_different_enough_is_let_in(facts: None) -> None:
    insert("ledger_billofentryline", transaction_type="'C'")
    insert("license_importitem", serial_number="2")
    insert("license_exportitem")
    insert("license_company", iec="'AAAAA0000A'")
    drain()
    assert_balances_follow_facts()


LINKS = [
    ("license_exportitem", "license_id"),
    ("license_exportitem", "norm_id"),
    ("license_importitem", "license_id"),
    ("ledger_billofentryline", "import_item_id"),
    ("ledger_billofentryline", "bill_of_entry_id"),
    ("ledger_allotmentline", "import_item_id"),
    ("ledger_allotmentline", "allotment_id"),
    ("license_importitem_item_names", "itemname_id"),
    ("ledger_allotment_bills_of_entry", "billofentry_id"),
    ("ledger_allotmentrelease", "allotment_id"),
]


@pytest.mark.parametrize(("table", "column"), LINKS)
def test_a_link_into_the_void_fails_at_commit(facts: None, table: str, column: str) -> None:
    drain()
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(f"UPDATE {table} SET {column} = 99")  # deferred: parents may come later in the transaction
    assert sql("SELECT * FROM ledger_licensechange") == []
    assert one(f"SELECT count(*) FROM {table} WHERE {column} = 99") == 0


def test_children_may_come_before_their_parents_in_a_transaction(database: None) -> None:
    with transaction.atomic():
        sql("INSERT INTO license_importitem (license_id, serial_number) VALUES (5, 1)")
        sql("INSERT INTO license_license (id, license_number, license_date) VALUES (5, '5', '2026-01-01')")
    drain()
    assert_balances_follow_facts()


def test_a_license_that_is_in_use_is_not_deleted_by_halves(facts: None) -> None:
    with pytest.raises(IntegrityError):
        sql("DELETE FROM license_license")
    assert License.objects.count() == 1


def test_balances_and_outbox_have_no_foreign_keys(database: None) -> None:
    """A foreign key would let the engine and writers wait for each other."""
    assert (
        sql("""
            SELECT conrelid::regclass::text, conname FROM pg_constraint
            WHERE contype = 'f' AND conrelid::regclass::text ~ '^ledger_(licensechange|quarantine|.*balance)$'
        """)
        == []
    )


@pytest.mark.parametrize("when", ["infinity", "-infinity", "10000-01-01", "0001-01-01 BC"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("license_license", "license_date"),
        ("license_license", "license_expiry_date"),
        ("license_license", "ledger_date"),
        ("license_license", "ledger_as_of"),
        ("license_license", "registration_date"),
        ("ledger_billofentry", "date"),
        ("ledger_billofentryline", "disputed_since"),
        ("ledger_allotment", "estimated_arrival_date"),
    ],
)
def test_a_date_that_programs_cannot_read_is_refused(database: None, table: str, column: str, when: str) -> None:
    make_licenses(1)
    sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id) VALUES (1, 1)")
    with pytest.raises(IntegrityError, match=f"{column}_readable"):
        sql(f"UPDATE {table} SET {column} = '{when}'")
