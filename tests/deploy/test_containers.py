"""deploy/containers: compose understands it, and its services are those of the units, with the rights they need."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import resolve

from django_setup import CHECKOUT
from tests.deploy.conftest import PATH, program
from tests.deploy.units import DAEMONS, directives

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
    assert sorted(UNIT_OF.values()) == DAEMONS
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
        assert service["init"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 (of the container)
        assert "mem_limit" in service
        assert [str(service["pids_limit"])] == directives(unit)["TasksMax"]
        assert service["stop_grace_period"] in ("60s", "1m0s")  # as versions of compose show it
        assert service["restart"] == "always"
        role = directives(unit)["User"][0]
        assert service["environment"]["CELERY_BROKER_URL"] == "redis://redis/0"
        assert service["environment"]["ALLOWED_HOSTS"] == "licenses.example.com,127.0.0.1"  # license-manager.env
        assert service["environment"]["DATABASE_URL"].startswith(f"postgres://{role}:")
        assert {"SUPERUSER_PASSWORD", "OWNER_PASSWORD", "PGPASSWORD"}.isdisjoint(service["environment"])
    web = config["services"]["web"]["environment"]
    assert (
        web["TRUSTED_PROXY"]
        == web["FORWARDED_ALLOW_IPS"]
        == config["networks"]["default"]["ipam"]["config"][0]["gateway"]
    )
    image = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes --only-binary :all:" in image
    assert re.findall(r"^USER (.+)$", image, re.MULTILINE) == ["10001"]
    first, *others = (CONTAINERS / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()[1:]
    assert (first, "**/.env" in others) == ("**", True)


def test_the_pages_alone_are_reached_and_the_database_stays() -> None:
    """As it is written: versions of compose show ports and volumes in ways of their own."""
    services = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"]}
    assert services["db"]["volumes"] == ["database:/var/lib/postgresql/data"]
    assert {services[name]["restart"] for name in ("db", "redis")} == {"always"}


def test_docker_asks_the_pages_for_what_there_is(config: dict[str, Any]) -> None:
    [path] = re.findall(r"127\.0\.0\.1:8000(/\S+?)\"", config["services"]["web"]["healthcheck"]["test"][-1])
    assert resolve(path).func


def test_the_roles_are_made_before_the_tables_and_get_their_rights_after(config: dict[str, Any]) -> None:
    after = {name: set(service.get("depends_on", ())) for name, service in config["services"].items()}
    assert (after["roles"], after["migrate"], after["rights"]) == ({"db"}, {"roles"}, {"migrate"})
    assert all(after[name] == {"rights", "redis"} for name in UNIT_OF)
    for service in config["services"].values():
        for name, how in service.get("depends_on", {}).items():
            is_done = name in ("roles", "migrate", "rights")
            assert how["condition"] == ("service_completed_successfully" if is_done else "service_healthy")
    migrate = config["services"]["migrate"]
    assert migrate["command"] == ["python", "manage.py", "migrate"]
    assert migrate["environment"]["DATABASE_URL"].startswith("postgres://license_owner:")


@pytest.mark.parametrize("status", [0, 3])
def test_each_role_that_logs_in_gets_its_password_unless_roles_fail(status: int, tmp_path: Path) -> None:
    """roles.sh, with a psql that only writes down what it is asked. A real one stops at an error if it is told to."""
    psql = tmp_path / "psql"
    psql.write_text(f'#!/bin/sh\necho "$@"\ncase "$*" in *roles.sql) exit {status} ;; esac\ncat\n')
    psql.chmod(0o755)
    passwords = {f"{name}_PASSWORD": f"of-{name}" for name in ("OWNER", "WEB", "WORKER")}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **passwords}
    done = subprocess.run([CONTAINERS / "roles.sh"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
    asked = done.stdout.splitlines()
    assert all("--set=ON_ERROR_STOP=1" in line for line in asked if line.startswith("--"))
    given = {"owner", "web", "worker"} if status == 0 else set()
    assert set(re.findall(r"--set=(\w+)=of-", done.stdout)) == given
    assert set(re.findall(r"^ALTER ROLE license_(\w+) PASSWORD :'\1';$", done.stdout, re.MULTILINE)) == given
