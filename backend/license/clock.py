"""What day it is. The trade lives in India: at 18:30 UTC it is already tomorrow there."""

from datetime import date
from zoneinfo import ZoneInfo

from django.utils import timezone

INDIA = ZoneInfo("Asia/Kolkata")


def business_date() -> date:
    """Today in India, whatever the timezone of the server or of Django is."""
    return timezone.localdate(timezone=INDIA)
