"""The business date: today in India, whatever the clock of the server is set to."""

import os
import time
from collections.abc import Generator
from datetime import UTC, date, datetime

import pytest
from django.utils import timezone

from license.clock import business_date

# a moment in UTC, and the business date in India
MIDNIGHTS = [
    ("2026-11-22 18:29:59", date(2026, 11, 22)),
    ("2026-11-22 18:30:00", date(2026, 11, 23)),
    ("2026-11-30 18:30:00", date(2026, 12, 1)),
    ("2027-03-31 18:29:59", date(2027, 3, 31)),
    ("2027-03-31 18:30:00", date(2027, 4, 1)),
    ("2026-12-31 18:30:00", date(2027, 1, 1)),
    ("2028-02-28 18:30:00", date(2028, 2, 29)),
    ("2028-02-29 18:30:00", date(2028, 3, 1)),
]


@pytest.fixture(params=["UTC", "America/New_York", "Pacific/Auckland"])
def server_timezone(request: pytest.FixtureRequest) -> Generator[str]:
    """The server's clock is set to another place."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.parametrize(("moment", "expected"), MIDNIGHTS)
def test_the_business_date_is_the_date_in_india(
    moment: str, expected: date, server_timezone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert business_date() == expected
