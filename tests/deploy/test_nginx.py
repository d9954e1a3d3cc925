"""deploy/nginx: nginx understands it; in front of the pages it does what their settings count on."""

import os
import re
import ssl
import subprocess
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from socket import create_connection

import pytest
from django.conf import settings

from desk.upload_limit import MAX_REQUEST_BYTES
from django_setup import CHECKOUT
from embedded.server import find_free_port
from processes import pages, running
from tests.acceptance.conftest import PATIENCE_SECONDS, until
from tests.conftest import sql
from tests.deploy.conftest import program
from tests.web.conftest import forget_people

CONF = CHECKOUT / "deploy/nginx/license-manager.conf"
NAME = "licenses.example.com"
TOKEN = "of-those-who-watch-01"  # noqa: S105
AROUND = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {paths}
    include {folder}/site.conf;
}}
"""
KINDS_OF_TEMPORARY_FILES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Site:
    """nginx with the site, on ports of ours."""

    command: list[str]
    http: int
    https: int
    pages: int


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With a certificate that is made now. It listens on this machine alone."""
    key, certificate = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key,
         "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    command = [program("nginx", "nginx-light"), "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    found = Site(command, find_free_port(), find_free_port(), find_free_port())
    text = CONF.read_text(encoding="utf-8")
    for there, here in (
        ("listen [::]", "# listen [::]"),
        ("listen 80;", f"listen 127.0.0.1:{found.http};"),
        ("listen 443 ", f"listen 127.0.0.1:{found.https} "),
        ("proxy_pass http://127.0.0.1:8000;", f"proxy_pass http://127.0.0.1:{found.pages};"),
        ("/etc/letsencrypt/live/licenses.example.com", str(tmp_path)),
        ("root /var/www/html;", f"root {tmp_path}/html;"),
    ):
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "site.conf").write_text(text)
    paths = "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in KINDS_OF_TEMPORARY_FILES)
    user = "user root;" if os.geteuid() == 0 else ""  # or its processes may not enter the folder of a test
    (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path, paths=paths, user=user))
    return found


def test_nginx_understands_it(site: Site) -> None:
    done = subprocess.run([*site.command, "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr


@pytest.fixture
def up(site: Site, database: None, tmp_path: Path) -> Generator[Site]:
    """While nginx and the pages behind it are up, with the settings that the example of an environment has."""
    environment = {"TRUSTED_PROXY": "127.0.0.1", "ALLOWED_HOSTS": NAME, "SECRET_KEY": settings.SECRET_KEY}
    environment["METRICS_TOKEN"] = TOKEN
    forget_people()
    with pages(site.pages, "pages.log", tmp_path, environment), running(site.command, tmp_path / "nginx.log"):
        until(lambda: "Listening at" in (tmp_path / "pages.log").read_text(), "the pages are up")
        until((tmp_path / "nginx.pid").exists, "nginx is up")
        yield site
    forget_people()


class Https(HTTPSConnection):
    """A browser's, which believes that the name is here."""

    def __init__(self, port: int, certificate: Path) -> None:
        super().__init__(NAME, port, timeout=PATIENCE_SECONDS)
        self.trusts = ssl.create_default_context(cafile=certificate)

    def connect(self) -> None:
        self.sock = self.trusts.wrap_socket(create_connection(("127.0.0.1", self.port)), server_hostname=NAME)


def test_it_stands_before_the_pages(up: Site, tmp_path: Path) -> None:
    """https alone; whose wrong password it was is not for the client to say; names are not tried without end; as much
    as may be uploaded comes through, and something more, so that the page itself can say that it is too much."""

    def ask(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[HTTPResponse, str]:
        with closing(Https(up.https, tmp_path / "fullchain.pem")) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read().decode()

    with closing(HTTPConnection("127.0.0.1", up.http, timeout=PATIENCE_SECONDS)) as plain:
        plain.request("GET", "/licenses/?q=1", headers={"Host": NAME})
        moved = plain.getresponse()
        assert (moved.status, moved.headers["Location"]) == (301, f"https://{NAME}/licenses/?q=1")
    proof = tmp_path / "html/.well-known/acme-challenge/name-is-ours"
    proof.parent.mkdir(parents=True)
    proof.write_text("yes")
    with closing(HTTPConnection("127.0.0.1", up.http, timeout=PATIENCE_SECONDS)) as certbot:  # also to renew
        certbot.request("GET", f"/{proof.relative_to(tmp_path / 'html')}", headers={"Host": NAME})
        assert certbot.getresponse().read() == b"yes"
    with (
        create_connection(("127.0.0.1", up.https), timeout=PATIENCE_SECONDS) as other,
        pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"),
    ):
        ssl.create_default_context(cafile=tmp_path / "fullchain.pem").wrap_socket(
            other, server_hostname="elsewhere.org"
        )

    response, form = ask("GET", "/login/")
    assert response.status == 200
    assert "max-age" in response.headers["Strict-Transport-Security"]  # the pages know that it is https
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}")[0].status == 404  # from the outside, even so
    style_sheet = re.findall(r'href="(/static/[^"]+[.]css)"', form)[0]
    assert ask("GET", style_sheet)[0].status == 200

    who = {"Cookie": cookie, "X-CSRFToken": cookie.partition("=")[2], "Referer": f"https://{NAME}/login/"}
    wrong = {**who, "Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "203.0.113.7"}
    tries = [ask("POST", "/login/", b"username=meera&password=wrong", **wrong)[0].status for _ in range(14)]
    assert (tries[0], tries[-1]) == (200, 429)
    assert sql("SELECT DISTINCT host(ip_address) FROM axes_accessattempt") == [("127.0.0.1",)]
    assert ask("GET", "/login/")[0].status == 200

    plain_text = {**who, "Content-Type": "text/plain"}
    assert ask("POST", "/ledgers/", b"-" * (MAX_REQUEST_BYTES + 1000), **plain_text)[0].status == 302  # to the login
    assert ask("HEAD", "/ledgers/", **{**who, "Content-Length": str(2 * MAX_REQUEST_BYTES)})[0].status == 413


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("192.0.2.7", 403)])
def test_a_prometheus_elsewhere_may_ask_by_its_address(
    address: str, status: int, site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As docs/monitoring.md says."""
    [lines] = re.findall(r"`(allow ADDRESS;.+?)`", (CHECKOUT / "docs/monitoring.md").read_text(encoding="utf-8"))
    lines = lines.replace("ADDRESS", address).replace("127.0.0.1:8000", f"127.0.0.1:{site.pages}")
    text = (tmp_path / "site.conf").read_text()
    assert text.count("return 404;") == 1
    (tmp_path / "site.conf").write_text(text.replace("return 404;", lines))
    request.getfixturevalue("up")
    with closing(Https(site.https, tmp_path / "fullchain.pem")) as prometheus:
        prometheus.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        response = prometheus.getresponse()
        assert response.status == status
        assert (b"\nlbe_up{" in response.read()) == (status == 200)


def test_an_answer_arrives_though_the_page_has_not_read_what_was_sent(up: Site) -> None:
    headers = {"Host": NAME, "X-Forwarded-Proto": "https", "Content-Type": "text/plain"}
    for path, status in (("/ledgers/", 403), ("/nowhere/", 404)):
        with closing(HTTPConnection("127.0.0.1", up.pages, timeout=PATIENCE_SECONDS)) as proxy:
            proxy.request("POST", path, b"-" * MAX_REQUEST_BYTES, headers)
            assert proxy.getresponse().status == status
