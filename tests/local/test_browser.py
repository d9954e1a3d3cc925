"""A browser for tests: found, or installed once, or asked for in one sentence."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browser import NoBrowserError, find_chromium

APT_GET = """#!/bin/sh
echo "$*" >> {0}/asked
[ "$1" = update ] || { sleep 0.3; cp {0}/apt-get {0}/chromium; }
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with no program but those that a test puts there, and what a shell needs."""
    for program in ("sh", "sleep", "cp"):
        (tmp_path / program).symlink_to(f"/bin/{program}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("browser.os.geteuid", lambda: 0)
    return tmp_path


def put(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


def test_one_that_is_there_is_taken(machine: Path) -> None:
    put(machine, "apt-get", "#!/bin/sh\nexit 9\n")
    for name in ("google-chrome", "chromium"):
        program = put(machine, name)
        assert find_chromium() == str(program)


def test_of_many_who_look_one_installs_it(machine: Path) -> None:
    put(machine, "apt-get", APT_GET.replace("{0}", str(machine)))
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: find_chromium(), range(4)))
    assert found == [str(machine / "chromium")] * 4
    update, install = (machine / "asked").read_text().splitlines()
    assert update.startswith("update")
    assert install.endswith("--no-install-recommends chromium")


def test_where_it_cannot_be_installed_it_is_said_why(machine: Path) -> None:
    put(machine, "apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    with pytest.raises(NoBrowserError, match=r"could not be installed .*E: no network"):
        find_chromium()


def test_who_may_install_nothing_is_told_what_to_do(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "apt-get", APT_GET.replace("{0}", str(machine)))
    monkeypatch.setattr("browser.os.geteuid", lambda: 1000)
    with pytest.raises(NoBrowserError, match=r"install it .*chromium, chromium-browser, google-chrome is on the PATH"):
        find_chromium()
    assert not (machine / "asked").exists()
