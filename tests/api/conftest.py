"""A desk that programs ask."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from api.models import Token
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine
from license.models import ExportItem, ImportItem, SionNorm
from reconcile import night
from reconcile.models import RunTrigger
from tests.roles import pages_of_web
from tests.web.conftest import desk, forget_people

__all__ = ["desk", "pages_of_web"]

As = Callable[[str], "Program"]


class Program:
    """What asks with a token of somebody of a group, or with none."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self._client = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(f"/api/v1{path}", query)

    def post(self, path: str, body: Any) -> Any:
        return self._client.post(f"/api/v1{path}", body, content_type="application/json")


@pytest.fixture
def desk_of_programs(desk: None) -> None:
    """The desk of the pages, where all is of E5, and a night that has looked at it."""
    ExportItem.objects.update(norm=SionNorm.objects.create(code="E5"))
    ImportItem.objects.update(description="Sugar", unit="KGS")
    AllotmentLine.objects.filter(allotment=Allotment.objects.first()).update(cif_fc=100)
    drain()
    night.work(night.start(RunTrigger.MANUAL))


@pytest.fixture
def as_one_of(database: None) -> Any:
    """Somebody's program, by group: "" of no group, "anonymous" without a token."""

    def program(role: str) -> Program:
        if role == "anonymous":
            return Program()
        user, _ = User.objects.get_or_create(username=role or "newcomer")
        user.groups.set(Group.objects.filter(name=role))
        return Program(Token.make(user)[1])

    forget_people()
    yield program
    Token.objects.all().delete()
    forget_people()
