"""The client of the documents, against a real server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.server import find_free_port
from ledger.engine import drain
from ledger.models import Allotment, LicenseBalance
from license.models import ExportItem
from processes import pages
from tests.acceptance.conftest import until
from tests.api.conftest import As
from tests.web.conftest import KINDS

CLIENT = Path(__file__).resolve().parents[2] / "docs" / "api_client.py"


@pytest.mark.usefixtures("desk_of_programs")
def test_the_client_of_the_documents(as_one_of: As, tmp_path: Path) -> None:
    secret, port = as_one_of("operator").secret, find_free_port()
    before = Allotment.objects.count()

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, CLIENT, *arguments],
            env=os.environ | {"API_URL": f"http://127.0.0.1:{port}/api/v1", "API_TOKEN": secret},
            capture_output=True,
            text=True,
        )

    with pages(port, "pages.log", tmp_path, {"HTTPS": "false", "SECRET_KEY": "x" * 50}):
        until(lambda: "Listening at" in (tmp_path / "pages.log").read_text(), "the pages are up")
        done = ran("sugar", "1500", "KGS", "USD", "0000000009")
        assert (done.returncode, done.stderr) == (0, "")
        made = Allotment.objects.latest("pk")
        assert done.stdout.splitlines()[0] == f"Allotment {made.pk} to Pune Mills:"
        assert sum(line.quantity for line in made.lines.all()) == 1500
        assert len(done.stdout.splitlines()) == 1 + made.lines.count() == 3
        wrong = ran("sugar", "1", "KGS", "USD", "ABCDE1234F")
        assert (wrong.returncode, wrong.stderr.strip()) == (
            1, "There is no company with the IEC ABCDE1234F: enter it first."
        )  # fmt: skip
        assert "nowhere to be had" in ran("sugar", "99999999", "KGS", "USD", "0000000009").stderr
        first = ran("follow", f"{tmp_path / 'far'}")
        assert (first.returncode, first.stderr) == (0, "")
        listed = dict(line.split(": ") for line in first.stdout.splitlines()[: len(KINDS)])
        assert listed.keys() == KINDS.keys()
        ExportItem.objects.filter(license__license_number="0310000002").update(cif_fc=750)
        drain()
        changed = dict(line.split(": ") for line in ran("follow", f"{tmp_path / 'far'}").stdout.splitlines())
        assert changed["0310000002"] == "750.00"
        stored = LicenseBalance.objects.values_list("license__license_number", "balance_cif")
        assert listed | changed == {number: f"{balance}" for number, balance in stored}
        assert ran("follow", f"{tmp_path / 'far'}").stdout == ""
        (tmp_path / "far").write_text("99999")
        assert "list all licenses" in ran("follow", f"{tmp_path / 'far'}").stderr
    assert Allotment.objects.count() == before + 1
