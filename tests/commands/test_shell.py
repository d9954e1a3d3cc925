"""`manage.py shell`: the models are there, and nothing is complained of."""

from io import StringIO

from django.core.management import call_command


def test_a_shell_imports_every_model_that_has_a_name() -> None:
    out = StringIO()
    call_command("shell", command="License, LicenseBalance, ReconciliationRun", stdout=out)
    [line] = out.getvalue().split("\n\n")[:-1]
    assert "imported automatically" in line
