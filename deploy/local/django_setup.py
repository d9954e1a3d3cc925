"""Django for scripts that stand outside backend/."""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BACKEND = CHECKOUT / "backend"


def set_up_django() -> None:
    """Make the project importable, and ready."""
    sys.path.insert(0, str(BACKEND))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
    import django

    django.setup()
