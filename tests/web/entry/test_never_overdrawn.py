"""Whatever is allotted, converted and entered, in any order: unconfirmed, nothing is overdrawn; what is confirmed is
written down."""

from decimal import Decimal

from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.allotting import RefusedError, Share, allot, give_up, take_up_again
from ledger.models import Allotment, AllotmentType, BillOfEntry, Overdraw
from ledger.overdraw import OverdrawsError, positions
from license.models import Company, ImportItem, License
from tests.web.conftest import LogIn, read
from tests.web.entry.conftest import ALLOTMENT, BILL, form, line, post

VALUES = ("0", "60", "70.01", "500", "1140", "1200", "9000")
QUANTITIES = ("1", "50", "100", "1000")
WAYS = ("allot", "allot more", "type an allotment", "enter a bill", "convert", "give up", "take up again")
steps = st.tuples(
    st.sampled_from(WAYS), st.integers(0, 4), st.sampled_from(QUANTITIES), st.sampled_from(VALUES), st.booleans()
)


class Desk:
    """What somebody may do to five items of two licenses, and confirm or not what overdraws."""

    def __init__(self, client: Client, user: User) -> None:
        self.client, self.user = client, user
        self.items = list(ImportItem.objects.order_by("pk"))
        self.bills = 0

    def do(self, way: str, item: int, quantity: str, cif_fc: str, *, confirms: bool) -> None:
        share = Share(self.items[item].pk, Decimal(quantity), Decimal(cif_fc))
        newest = Allotment.objects.order_by("-pk").first()
        if way == "allot" or newest is None:
            self.by_function(lambda said: allot(self.new(), [share], by=self.user, confirmation=said), confirms)
        elif way == "allot more":
            self.by_function(lambda said: allot(newest, [share], by=self.user, confirmation=said), confirms)
        elif way == "give up":
            give_up(newest, by=self.user)
        elif way == "take up again":
            self.by_function(lambda said: take_up_again(newest, by=self.user, confirmation=said), confirms)
        elif way == "type an allotment":
            self.by_form(ALLOTMENT, self.typed(ALLOTMENT, item, quantity, cif_fc, company="1"), confirms)
        else:
            address = f"{BILL}?allotment={newest.pk}" if way == "convert" else BILL
            self.bills += 1
            self.by_form(address, self.typed(address, item, quantity, cif_fc, number=f"{self.bills}"), confirms)

    def new(self) -> Allotment:
        return Allotment(company=Company.objects.get(iec="0000000009"), type=AllotmentType.ALLOTMENT)

    def typed(self, address: str, item: int, quantity: str, cif_fc: str, **more: str) -> dict[str, object]:
        """As proposed, where the lines of an allotment are; else one line."""
        found = form(self.client, address)
        if not any(found.get("lines-0-import_item", [""])):
            of_line = line(self.items[item], cif_fc, quantity)
            found |= {f"lines-0-{name}": value for name, value in of_line.items()}
        return {**found, **more, "_save": "Save"}

    def by_function(self, do, confirms: bool) -> None:
        try:
            do("")
        except RefusedError:
            pass
        except OverdrawsError as told:
            if confirms:
                try:
                    do(told.confirmation())
                except OverdrawsError:
                    assert not self.user.has_perm("ledger.overdraw_allotment")

    def by_form(self, address: str, typed: dict[str, object], confirms: bool) -> None:
        response = self.client.post(address, typed)
        boxes = response.status_code == 200 and read(response).tree.xpath("//input[@name='overdraw']/@value")
        if confirms and boxes:
            assert self.client.post(address, {**typed, "overdraw": boxes[0]}).status_code == 302


def overdrawn() -> set[int]:
    """Licenses of which something is."""
    found = positions(list(License.objects.values_list("pk", flat=True)))
    assert len(found) == 2
    return {pk for pk, of_it in found.items() if any(position.left < 0 for position in of_it.values())}


def empty() -> None:
    Allotment.objects.all().delete()
    BillOfEntry.objects.all().delete()
    Overdraw.objects.all().delete()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=2, max_size=7))
def test_without_a_confirmation_nothing_is_overdrawn(log_in: LogIn, day: list[tuple[str, int, str, str, bool]]) -> None:
    empty()
    desk = Desk(log_in("operator"), User.objects.get(username="operator"))
    for *step, _ in day:
        desk.do(*step, confirms=False)
        assert overdrawn() == set()
    assert not Overdraw.objects.exists()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=2, max_size=7), st.sampled_from(["operator", "administrator"]))
def test_what_is_overdrawn_has_been_confirmed(
    log_in: LogIn, day: list[tuple[str, int, str, str, bool]], role: str
) -> None:
    empty()
    desk = Desk(log_in(role), User.objects.get(username=role))
    for *step, confirms in day:
        desk.do(*step, confirms=confirms)
        confirmed = Overdraw.objects.filter(confirmed_by=role)
        assert overdrawn() <= set(confirmed.values_list("license_id", flat=True))
        if role == "operator":  # only what has happened
            assert not confirmed.filter(entry__startswith="Allotment").exists()


def test_an_operator_cannot_confirm_an_allotment_that_overdraws(log_in: LogIn) -> None:
    operator, administrator = log_in("operator"), log_in("administrator")
    lines = [line(ImportItem.objects.get(pk=1), "1300")]
    told = read(post(operator, ALLOTMENT, company=1, lines=lines))
    assert "overdrawn by 100.00" in told.text("//div[@class='overdraws']//li")
    assert "ask somebody who may allot more" in told.text("//div[@class='overdraws']")
    assert not told.tree.xpath("//input[@name='overdraw']")
    box = read(post(administrator, ALLOTMENT, company=1, lines=lines)).tree.xpath("//input[@name='overdraw']/@value")[0]
    assert post(operator, ALLOTMENT, company=1, lines=lines, overdraw=box).status_code == 200
    assert (Allotment.objects.count(), Overdraw.objects.count()) == (0, 0)
    assert post(administrator, ALLOTMENT, company=1, lines=lines, overdraw=box).status_code == 302
    assert Overdraw.objects.get().entry == f"Allotment {Allotment.objects.get().pk}"
