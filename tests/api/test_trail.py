"""Who changed what, and balances as of a date, for programs; and the audit of a year's end, from end to end."""

from datetime import timedelta
from decimal import Decimal

import pytest

from ledger.acting import acting
from ledger.as_of import trail_began
from ledger.engine import drain
from ledger.models import BillOfEntry, BillOfEntryLine
from license.clock import INDIA, business_date
from license.models import ExportItem, ImportItem
from reconcile import night
from reconcile.models import RunTrigger
from tests.api.conftest import NUMBER, As, Program
from tests.conftest import one, sql
