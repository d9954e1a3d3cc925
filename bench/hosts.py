"""Hosts for workers on the machine of PostgreSQL and Redis: network namespaces, each joined to it by a cable (veth).

A namespace has no name: it ends with the process that holds it, which ends with us, however we end, and the cable with
it. The servers listen on 127.0.0.1 as ever: to a host, that address lies at the other end of its cable, which Linux
allows where `route_localnet` is set. Nothing but the kernel is in between, and the URLs stay as they are.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import psycopg

SERVERS = "127.0.0.1"
NETWORK = ip_network("198.18.0.0/15")  # set aside for benchmarks (RFC 2544)
DELAY_MS = 0.25
TOOLS = ("ip", "nsenter", "unshare")
HOLDER = ("unshare", "--net", "sh", "-c", "echo made && exec cat")


class NoHosts(Exception):  # noqa: N818 (not a fault: the machine does not allow it)
    """Says why there are none."""


@dataclass(frozen=True)
class Host:
    address: str
    enter: Sequence[str]
    """What stands before a command that is to run there."""
    delay: str
    """What the cable does to packets."""


@contextmanager
def hosts(session: psycopg.Connection, count: int) -> Iterator[list[Host]]:
    """So many hosts, whose passwords PostgreSQL accepts. Raises NoHosts where the machine does not allow it."""
    if os.geteuid() != 0:
        raise NoHosts("only root may make network namespaces")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise NoHosts(f"the machine lacks {', '.join(missing)}")
    with ExitStack() as stack:
        try:
            stack.enter_context(_admitted(session))
            made = [stack.enter_context(_host(os.getpid() * count + number)) for number in range(count)]
        except OSError as error:
            raise NoHosts(str(error)) from error
        yield made


@contextmanager
def _host(number: int) -> Iterator[Host]:
    block = 4 * (number % (NETWORK.num_addresses // 4))
    ours, theirs = str(NETWORK[block + 1]), str(NETWORK[block + 2])
    cable = f"lcb{number}"
    holder = subprocess.Popen(
        HOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not for it
        text=True,
    )
    try:
        if not holder.stdout.readline():
            raise NoHosts(holder.stderr.read().strip())
        enter = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "cable", "netns", str(holder.pid))
        ends = (((), cable, ours), (enter, "cable", theirs))
        for place, end, address in ends:
            _run("ip", "address", "add", f"{address}/30", "dev", end, place=place)
            _run("ip", "link", "set", "dev", end, "up", place=place)
            _run("sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{end}/route_localnet", place=place)
        _run("ip", "route", "add", SERVERS, "via", ours, "dev", "cable", place=enter)
        try:
            for place, end, _ in ends:
                _run("tc", "qdisc", "add", "dev", end, "root", "netem", "delay", f"{DELAY_MS}ms", place=place)
            delay = f"netem delays each packet by {DELAY_MS} ms"
        except (NoHosts, OSError) as error:
            delay = f"nothing delays a packet, for lack of netem ({error})"
        yield Host(theirs, enter, delay)
    finally:
        holder.communicate()


@contextmanager
def _admitted(session: psycopg.Connection) -> Iterator[None]:
    """PostgreSQL asks clients of the hosts for the password, as it does those of its own; else it would refuse them."""
    [name] = session.execute("SHOW hba_file").fetchone()
    file = Path(name)
    before = file.read_text()
    try:
        file.write_text(f"{before}host all all {NETWORK} scram-sha-256\n")
        session.execute("SELECT pg_reload_conf()")
        yield
    finally:
        file.write_text(before)
        session.execute("SELECT pg_reload_conf()")


def _run(*command: str, place: Sequence[str] = ()) -> None:
    done = subprocess.run([*place, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoHosts(f"{command[0]}: {done.stderr.strip()}")
