"""deploy/containers: compose understands it, and its services are those of the units, with the rights they need."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from django_setup import CHECKOUT
from tests.deploy.conftest import PATH, program
from tests.deploy.units import UNITS, directives

CONTAINERS = CHECKOUT / "deploy/containers"
UNIT_OF = {
    "web": "license-web.service",
    "worker": "celery-worker.service",
    "night": "celery-night.service",
    "beat": "celery-beat.service",
    "relay": "license-relay.service",
}


def compose() -> list[str]:
    """Docker's plugin, or the program that was there before it."""
    if docker := shutil.which("docker", path=PATH):
        done = subprocess.run([docker, "compose", "version"], capture_output=True)
        if not done.returncode:
            return [docker, "compose"]
    return [program("docker-compose", "docker-compose")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What compose makes of it, with the examples filled in."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copytree(CONTAINERS, folder / "containers")
    shutil.copy(CHECKOUT / "deploy/license-manager.env.example", folder / "containers/license-manager.env")
    passwords = (CONTAINERS / "passwords.env.example").read_text(encoding="utf-8")
    (folder / "containers/.env").write_text(passwords.replace("PASSWORD=\n", "PASSWORD=secret\n"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [*compose(), "--file", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=folder / "containers", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_each_unit_is_a_service_that_does_the_same(config: dict[str, Any]) -> None:
    services = config["services"]
    assert set(UNIT_OF.values()) == {path.name for path in UNITS.glob("*.service")}
    image = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8").partition("\nCMD ")[2]
    for name, unit in UNIT_OF.items():
        program, *arguments = directives(unit)["ExecStart"][0].split()
        # where it listens, where it logs, and what it is called are the host's matters
        its_own = ("--bind", "--logfile", "--pidfile", "--hostname")
        meant = [Path(program).name, *(word for word in arguments if not word.startswith(its_own))]
        runs = services[name].get("command") or json.loads(image)
        assert [word for word in runs if not word.startswith(its_own)] == meant


def test_each_has_the_rights_of_its_role_and_no_others(config: dict[str, Any]) -> None:
    for name, unit in UNIT_OF.items():
        service = config["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "pids_limit", "stop_grace_period"} <= set(service)
        role = directives(unit)["User"][0]
        assert service["environment"]["DATABASE_URL"].startswith(f"postgres://{role}:")
        assert {"SUPERUSER_PASSWORD", "OWNER_PASSWORD", "PGPASSWORD"}.isdisjoint(service["environment"])
    web = config["services"]["web"]["environment"]
    assert (
        web["TRUSTED_PROXY"]
        == web["FORWARDED_ALLOW_IPS"]
        == config["networks"]["default"]["ipam"]["config"][0]["gateway"]
    )
    assert "--only-binary :all:" in (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")


def test_the_roles_are_made_before_the_tables_and_get_their_rights_after(config: dict[str, Any]) -> None:
    after = {name: set(service.get("depends_on", ())) for name, service in config["services"].items()}
    assert (after["roles"], after["migrate"], after["rights"]) == ({"db"}, {"roles"}, {"migrate"})
    assert all(after[name] == {"rights", "redis"} for name in UNIT_OF)
