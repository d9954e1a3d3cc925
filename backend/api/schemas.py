"""What the API says and is told. Money and quantities are text, exact to the last place; dates are ISO 8601."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from ninja import Field, Schema
from pydantic import BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema

Item = TypeVar("Item")

MOST_ROWS = 500
BIGINT_MAX = 2**63 - 1


def _exact(places: int, description: str) -> Any:
    schema = {"type": "string", "pattern": rf"^-?[0-9]+\.[0-9]{{{places}}}$", "description": description}

    def write(value: Decimal) -> str:
        return f"{value:.{places}f}"

    return (PlainSerializer(write, return_type=str), WithJsonSchema(schema, mode="serialization"))


def _typed(digits: int, places: int) -> Any:
    """Only text is exact: a number in JSON has gone through a float by the time it is here."""
    pattern = rf"[0-9]{{1,{digits}}}(\.[0-9]{{1,{places}}})?"

    def read(value: object) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f'write it as text like "1234.5", with at most {places} decimal places, not below 0')
        return Decimal(value)

    return (BeforeValidator(read), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"}, mode="validation"))


Money = Annotated[Decimal, *_exact(2, "In the currency of the license, two places.")]
Quantity = Annotated[Decimal, *_exact(3, "In the unit of the item, three places.")]
MoneyIn = Annotated[Decimal, *_typed(13, 2)]
QuantityIn = Annotated[Decimal, *_typed(12, 3)]
Id = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Words = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]*$")]
"""PostgreSQL has no text with a NUL."""


class Page(Schema, Generic[Item]):
    """So many of them, from the `offset`th on."""

    items: list[Item]
    count: int = Field(description="How many there are in all.")


class Paging(Schema):
    """Which part of a list."""

    limit: int = Field(100, ge=1, le=MOST_ROWS)
    offset: int = Field(0, ge=0, le=10_000_000)


class Balance(Schema):
    """What a license has left."""

    credit_cif: Money
    debited_cif: Money
    allotted_cif: Money
    balance_cif: Money
    overdrawn_cif: Money
    is_null: bool = Field(description="Less than 500.00 is left.")
    is_expired: bool


class License(Schema):
    """A license, with its balance as stored."""

    license_id: int = Field(description="By which a change names it, also when it is gone.")
    license_number: str
    license_date: date
    license_expiry_date: date | None
    currency: str
    exporter: str | None
    exporter_iec: str | None
    file_number: str
    balance: Balance | None = Field(description="Null: it is new, and computed in a moment.")
    state: list[str] = Field(description="What to know at a glance: overdrawn, change pending, in quarantine …")


class Previous(Schema):
    """What a license had left before a change."""

    balance_cif: Money
    overdrawn_cif: Money
    is_null: bool
    is_expired: bool


class Change(Schema):
    """One time that a balance was computed and had changed: of the license, or of one of its items alone."""

    position: int
    license_id: int
    license_number: str | None = Field(description="As it is now; null: the license is gone.")
    changed_at: datetime
    sources: list[str] = Field(
        description="The tables whose writes asked for it; empty: the night, or somebody by hand."
    )
    balance: Balance | None = Field(description="What it became; null: the license is gone.")
    previous: Previous | None = Field(description="What it was; null: there was none.")


class Changes(Schema):
    """A part of the feed."""

    items: list[Change]
    next: int = Field(description="What to send as `after` next time.")
    more: bool = Field(description="There is more already: ask again at once.")


class ImportItem(Schema):
    """What is left of an import item, and by which rule."""

    serial_number: int
    description: str
    hs_code: str | None
    unit: str
    quantity: Quantity
    debited_quantity: Quantity
    debited_value: Money
    allotted_quantity: Quantity
    allotted_value: Money
    available_quantity: Quantity
    overdrawn_quantity: Quantity
    available_value: Money
    overdrawn_value: Money
    rule: str = Field(description="Which rule decided the value, in words.")


class Entry(Schema):
    """A line of a statement."""

    kind: Literal["credit", "debit", "allotment"]
    document: str
    date: date | None
    source: str
    serial_number: int | None
    quantity: Quantity | None
    cif_fc: Money
    balance_cif: Money = Field(description="After it; below 0 it is overdrawn.")
    bill_of_entry_id: int | None
    allotment_id: int | None


class Explanation(Schema):
    """A license computed from its facts, in one snapshot, with all that its balance is made of."""

    license_number: str
    currency: str
    today: date = Field(description="In India.")
    balance: Balance
    stored_balance_cif: Money | None
    computed_at: datetime | None = Field(description="When what is stored was computed.")
    pending: int = Field(description="Changes of this license that what is stored does not follow yet.")
    quarantine: str | None = Field(description="Why it cannot be computed.")
    is_norm_unknown: bool
    items: list[ImportItem]
    statement: list[Entry]


class Found(Schema):
    """An import item that has something left, as stored."""

    license_number: str
    license_expiry_date: date | None
    exporter: str | None
    serial_number: int
    description: str
    hs_code: str | None
    unit: str
    norms: list[str]
    item_names: list[str]
    available_quantity: Quantity
    available_value: Money
    currency: str
    can_take: Quantity | None = Field(description="How much of the quantity that is asked for; null where none is.")


class FoundPage(Page[Found]):
    """What was found, whose license expires first first, and totals of all of it."""

    licenses: int
    quantities: dict[str, Quantity] = Field(description="By unit.")
    values: dict[str, Money] = Field(description="By currency, at most: of a license no more than its balance counts.")


class Share(Schema):
    """What an allotment reserves of an import item."""

    license_number: Annotated[str, StringConstraints(max_length=20, pattern=r"^[^\x00]*$")]
    serial_number: int = Field(ge=1, le=2**31 - 1)
    quantity: QuantityIn
    cif_fc: MoneyIn


class Wish(Schema):
    """What is wanted of an input, and how much."""

    item: Words = Field("", description="Words of its description, its name, or the beginning of its HS code.")
    norm: Words = ""
    unit: Words | None = None
    currency: Words | None = None
    quantity: QuantityIn
    unit_price: QuantityIn = Decimal(0)
    valid_on: date | None = Field(None, description="Licenses that have not expired on that day; today, if not said.")


class Proposed(Schema):
    """What an import item would give."""

    license_number: str
    serial_number: int
    license_expiry_date: date | None
    quantity: Quantity
    cif_fc: Money
    unit: str
    currency: str


class Proposal(Schema):
    """How what is wanted can be split over licenses. Nothing is reserved."""

    shares: list[Proposed]
    missing: Quantity = Field(description="How much of it is nowhere to be had.")


class Shares(Schema):
    """More for an allotment: all of it is reserved, or nothing."""

    shares: list[Share] = Field(min_length=1, max_length=200)
    confirmation: Words = Field("", description="Of an earlier answer that said what this overdraws.")
    key: UUID | None = Field(None, description="Sent again, nothing more is allotted: the answer is what was then.")


class NewAllotment(Shares):
    """An allotment to be made, with what it reserves."""

    company_iec: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{10}$")]
    type: Literal["AT", "ARO"] = "AT"
    item_name: Words = ""
    required_quantity: QuantityIn = Decimal(0)
    unit_price: QuantityIn | None = None
    estimated_arrival_date: date | None = None
    last_day: date | None = Field(None, description="The last on which it reserves.")


class AllotmentLine(Schema):
    """What an allotment reserves of an import item."""

    license_number: str
    serial_number: int
    quantity: Quantity
    cif_fc: Money
    currency: str


class Allotment(Schema):
    """An allotment as it is stored."""

    id: int
    company: str
    company_iec: str
    type: str
    item_name: str
    required_quantity: Quantity
    unit_price: Quantity | None
    estimated_arrival_date: date | None
    last_day: date | None
    created_at: datetime
    is_reserving: bool = Field(description="No bill of entry has taken its place, and it was not given up.")
    bills_of_entry: list[str]
    lines: list[AllotmentLine]


class Pending(Schema):
    """How far balances are behind."""

    changes: int
    oldest_seconds: float | None
    licenses: int = Field(description="How many licenses these changes mean.")
    quarantined: int
    relays: int


class Run(Schema):
    """A reconciliation."""

    id: int
    business_date: date
    trigger: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    licenses_checked: int
    licenses_drifted: int
    licenses_repaired: int
    licenses_expired: int
    licenses_quarantined: int
    findings: dict[str, int] = Field(description="How many of each kind.")


class Drift(Schema):
    """A field of a balance that was not what the facts said."""

    license_number: str
    serial_number: int | None
    field: str
    stored: str
    expected: str
    cause: str
    evidence: str = Field(description="Who wrote what and when, where the trail tells; else empty.")
    repaired: bool


class Finding(Schema):
    """What a run left for people to look at."""

    kind: str
    license_number: str
    serial_number: int | None
    currency: str
    amount: Money | None
    quantity: Quantity | None
    words: str


class BalanceAsOf(Schema):
    """What a license had left as of a date."""

    license_number: str
    exporter: str
    currency: str
    license_date: date
    license_expiry_date: date | None
    balance: Balance
    shown_balance_cif: Money | None = Field(description="What was shown at the moment that was known; null: nothing.")


class Statement(Schema):
    """A statement that wrote facts."""

    id: int
    written_at: datetime
    user_name: str = Field(description="Who had logged in; empty: nobody.")
    via: str = Field(description="Page, command or task; empty: none of ours.")
    role: str = Field(description="Of the database.")
    application: str
    address: str | None
    operation: str
    table_name: str
    row_count: int
    transaction_id: int
    statement: str = Field(description="How it begins.")


class Statements(Schema):
    """Some of them."""

    items: list[Statement]
    next: int | None = Field(description="For `older_than` of what comes next; null: that is all.")


class ChangedField(Schema):
    """A column of a row, in words for people."""

    name: str
    before: str
    after: str


class FactChange(Schema):
    """A row of a fact table, before and after a statement."""

    id: int
    statement: Statement
    table: str
    row_id: int
    about: str
    what: Literal["entered", "changed", "deleted"]
    fields: list[ChangedField]
    before: dict[str, str | None] | None = Field(
        description="All columns, as text, true and false too; null: it was not there."
    )
    after: dict[str, str | None] | None


class Trail(Schema):
    """Changes."""

    items: list[FactChange]
    next: int | None = Field(description="To ask for what comes next; null: that is all.")
