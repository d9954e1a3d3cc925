"""A new server, with Debian or Ubuntu: a virtual machine with systemd as its first process, somebody who may use sudo,
nothing of ours.

The machine is made once for each release and kept in .local/machine/; what happens on it is gone when it is switched
off. Making it takes root (debootstrap), running it QEMU, and the network: the packages of its release, and PyPI.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django_setup import CHECKOUT
from embedded.server import find_free_port

PERSON = "asha"
NAME = "licenses.example.com"
KEPT = CHECKOUT / ".local" / "machine"
PACKAGES = "systemd-sysv,dbus,initramfs-tools,openssh-server,sudo,curl,ca-certificates,systemd-timesyncd,zstd"
OWN_AUTHORITIES = Path("/usr/local/share/ca-certificates")
"""Of those who reach the network through a proxy that they have to believe."""
SIZE = "12G"
MEMORY_MB = 2048
BOOT_SECONDS = 900
ACCELERATOR = os.environ.get("ACCELERATOR", "tcg,thread=multi")
"""`kvm` is much quicker, where a machine lets its guests have it."""
SET_UP = rf"""
    echo server > /etc/hostname
    echo '127.0.0.1 localhost server {NAME}' > /etc/hosts
    echo '/dev/vda / ext4 errors=remount-ro 0 1' > /etc/fstab
    rm -f /etc/resolv.conf; echo 'nameserver 10.0.2.3' > /etc/resolv.conf
    printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' > /etc/systemd/network/wired.network
    systemctl --quiet enable systemd-networkd
    useradd --create-home --shell /bin/bash --groups sudo {PERSON}
    echo '{PERSON} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{PERSON}
    install -d -m 700 -o {PERSON} -g {PERSON} /home/{PERSON}/.ssh
    install -m 600 -o {PERSON} -g {PERSON} /root/key.pub /home/{PERSON}/.ssh/authorized_keys
    update-ca-certificates > /dev/null 2>&1
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > /etc/pip.conf
    apt-get clean
"""


@dataclass(frozen=True)
class Release:
    """Where the packages of one come from."""

    kernel: str
    mirrors: dict[str, str]
    """Of the suites, by what is added to its name; the first is what the machine is made from."""
    components: str = "main"
    script: tuple[str, ...] = ()
    """Of debootstrap, where Debian's does not know the release."""
    keyring: tuple[str, str] | None = None
    """A package with the keys of the release, which Debian has not, and its SHA-256."""


DEBIAN = Release(
    "linux-image-cloud-amd64",
    {
        "": "http://deb.debian.org/debian",
        "-updates": "http://deb.debian.org/debian",
        "-security": "http://deb.debian.org/debian-security",
    },
)
UBUNTU = Release(
    "linux-image-virtual",
    {
        "": "http://archive.ubuntu.com/ubuntu",
        "-updates": "http://archive.ubuntu.com/ubuntu",
        "-security": "http://security.ubuntu.com/ubuntu",
    },
    "main universe",
    script=("/usr/share/debootstrap/scripts/gutsy",),  # that of every Ubuntu since
    keyring=(
        "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
        "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8",
    ),
)
RELEASES = {"bookworm": DEBIAN, "trixie": DEBIAN, "noble": UBUNTU}


class Machine:
    """One that runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ssh_port, self.https_port = find_free_port(), find_free_port()
        forwarded = f"hostfwd=tcp:127.0.0.1:{self._ssh_port}-:22,hostfwd=tcp:127.0.0.1:{self.https_port}-:443"
        disk = f"file={folder / 'root.img'},format=raw,if=virtio,cache=unsafe,snapshot=on"
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", ACCELERATOR, "-cpu", "max", "-smp", "2"]
        command += ["-m", str(MEMORY_MB), "-display", "none", "-monitor", "none", "-serial", "stdio"]
        command += ["-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img")]
        command += ["-append", "root=/dev/vda rw console=ttyS0", "-drive", disk]
        command += ["-nic", f"user,model=virtio-net-pci,{forwarded}", "-device", "virtio-rng-pci"]
        with (folder / "console.log").open("wb") as console:
            self._running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )

    def _ssh(self, *words: str) -> list[str]:
        options = ["-i", str(self._folder / "key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["ssh", *options, "-p", str(self._ssh_port), *words, f"{PERSON}@127.0.0.1"]

    def attempt(self, block: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Have the person's shell run commands, until one fails; both kinds of output are one."""
        return subprocess.run(
            [*self._ssh(), f"bash -eo pipefail -c {shlex.quote(block)}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def types(self, block: str, *, status: int = 0) -> str:
        """The same, for commands that must end with this exit status: what they print."""
        done = self.attempt(block)
        assert done.returncode == status, f"{block}\n{done.stdout[-5000:]}\n{self._journal()}"
        return done.stdout

    def _journal(self) -> str:
        """What went on there in the last minutes."""
        return self.attempt("sudo journalctl --no-pager --since=-5min --output=short-precise | tail -n 300").stdout

    def answers(self, block: str, *answers: tuple[str, str]) -> str:
        """The same at a terminal, for commands that ask: to each question, in this order, an answer."""
        with subprocess.Popen(
            [*self._ssh("-tt"), f"bash -eo pipefail -c {shlex.quote(block)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as talk:
            assert talk.stdin
            assert talk.stdout
            said = b""
            for question, answer in answers:
                while question not in said.decode(errors="replace").rpartition("\n")[2]:
                    read = os.read(talk.stdout.fileno(), 1024)
                    assert read, f"{block}\nnever asked {question!r}:\n{said.decode(errors='replace')}"
                    said += read
                talk.stdin.write(f"{answer}\n".encode())
                talk.stdin.flush()
                said += b"\n"
            said += talk.stdout.read()
        assert talk.returncode == 0, f"{block}\n{said.decode(errors='replace')}"
        return said.decode()

    def brings(self, path: Path) -> str:
        """Copy a file into the person's home: where it is there."""
        with path.open("rb") as source:
            subprocess.run([*self._ssh(), f"cat > {shlex.quote(path.name)}"], stdin=source, check=True)
        return f"/home/{PERSON}/{path.name}"

    def reboots(self) -> None:
        """Restart it as a person does, and wait until it has begun anew."""
        before = self.types("cat /proc/sys/kernel/random/boot_id")
        self.attempt("sudo systemctl reboot")
        self.has_begun(other_than=before)

    def has_begun(self, *, other_than: str = "") -> None:
        """Wait until all that is to be started has been, or has failed."""
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            done = self.attempt("systemctl is-system-running --wait || true; cat /proc/sys/kernel/random/boot_id")
            if done.returncode == 0 and not (other_than and other_than in done.stdout):
                return
            console = (self._folder / "console.log").read_text(errors="replace")
            assert self._running.poll() is None, f"QEMU has ended:\n{console[-3000:]}"
            assert time.monotonic() < deadline, f"it does not begin: {done.stdout}\n{console[-3000:]}"
            time.sleep(0.5)

    def is_switched_off(self) -> None:
        """At once, as by the plug."""
        self._running.kill()
        self._running.wait()


@contextmanager
def new_server(suite: str) -> Iterator[Machine]:
    """One as this release makes it, with two processors and 2 GB; switched off at the end."""
    machine = Machine(_made(suite))
    try:
        machine.has_begun()
        yield machine
    finally:
        machine.is_switched_off()


def _made(suite: str) -> Path:
    """Where its disk is, with the kernel and the key to log in; made when it is not there."""
    folder = KEPT / suite
    if folder.exists():
        return folder
    partly = KEPT / f"{suite}.part"
    shutil.rmtree(partly, ignore_errors=True)
    partly.mkdir(parents=True)
    root = partly / "root"
    release = RELEASES[suite]
    mirror = release.mirrors[""]
    options = [f"--include={PACKAGES},{release.kernel}"]
    if release.keyring:
        options.append(f"--keyring={_keyring(mirror, *release.keyring, partly / 'keys')}")
    _run("debootstrap", *options, suite, str(root), mirror, *release.script)
    (root / "etc/apt/sources.list").write_text(
        "".join(f"deb {where} {suite}{added} {release.components}\n" for added, where in release.mirrors.items())
    )
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(partly / "key"))
    shutil.copy(partly / "key.pub", root / "root/key.pub")
    for authority in OWN_AUTHORITIES.glob("*.crt"):
        shutil.copy(authority, root / OWN_AUTHORITIES.relative_to("/"))
    _run("chroot", str(root), "sh", "-ec", SET_UP)
    for name in ("vmlinuz", "initrd.img"):
        [there] = (root / "boot").glob(f"{name}-*")
        shutil.copy(there, partly / name)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(partly / "root.img"), SIZE)
    shutil.rmtree(root)
    shutil.rmtree(partly / "keys", ignore_errors=True)
    return partly.rename(folder)


def _keyring(mirror: str, path: str, sha256: str, folder: Path) -> Path:
    folder.mkdir()
    package = folder / "keyring.deb"
    _run("curl", "--silent", "--show-error", "--fail", "--output", str(package), f"{mirror}/{path}")
    assert hashlib.sha256(package.read_bytes()).hexdigest() == sha256, f"{mirror}/{path} is another than we know"
    _run("dpkg-deb", "--extract", str(package), str(folder))
    return folder / "usr/share/keyrings/ubuntu-archive-keyring.gpg"


def _run(*command: str) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-5000:]}"
