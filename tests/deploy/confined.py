"""Runs a command under what a systemd unit forbids, where no systemd runs: `confined.py UNIT FOLDER -- command …`.

As systemd does it, of the same directives: system-call filters, mounts that are read-only but for FOLDER (which stands
for its log and runtime directories), a /dev with next to nothing in it, no capabilities, no new privileges. Not done:
ProtectHome (the Python of the tests may live there), PrivateUsers, ProtectProc, another user. Needs root on Linux.
"""

import ctypes
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LEFT_ALONE = ("/dev", "/proc", "/sys")
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 (PrivateTmp: writable, though here not private)

CLONE_NEWNS, CLONE_NEWIPC = 0x00020000, 0x08000000
NAMESPACES = 0x7E020080  # CLONE_NEW* of all kinds
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
SUID_SGID = 0o6000

ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM)
NOT_EQUAL, MASKED_EQUAL = 1, 7

libc = ctypes.CDLL(None, use_errno=True)


class Comparison(ctypes.Structure):
    """libseccomp's scmp_arg_cmp: the argument, how, with what, and with what under a mask."""

    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """A seccomp filter: what it does with a system call that no rule is about, and rules."""

    def __init__(self, default: int) -> None:
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        """Passes over what this processor's kernel has no number for."""
        number = self.lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (Comparison * len(comparisons))(*comparisons)
        done = self.lib.seccomp_rule_add_array(self.context, ctypes.c_uint32(action), number, len(comparisons), array)
        if done:
            raise OSError(-done, f"{call}: {os.strerror(-done)}")

    def load(self) -> None:
        if done := self.lib.seccomp_load(self.context):
            raise OSError(-done, os.strerror(-done))


def main() -> None:
    unit, folder, dashes, *command = sys.argv[1:]
    if dashes != "--":
        sys.exit(__doc__)
    says: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", Path(unit).read_text(encoding="utf-8"), re.MULTILINE):
        says.setdefault(name, []).append(value)
    # the one that allows no further filter comes last
    filters = [forbidden_arguments(says), allowed_calls(says["SystemCallFilter"])]
    if says["ProtectSystem"] == ["strict"]:
        mount_read_only(Path(folder).resolve(), devices=says["PrivateDevices"] == ["yes"])
    if says["CapabilityBoundingSet"] == [""]:
        number = 0
        while libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
            number += 1
    if says["NoNewPrivileges"] == ["yes"]:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    os.umask(int(says["UMask"][0], 8))
    for each in filters:
        each.load()
    os.execv(command[0], command)  # noqa: S606


def allowed_calls(lines: list[str]) -> Filter:
    """SystemCallFilter=: the first line allows, one that begins with ~ takes away."""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    )
    groups: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif (name := line.strip()) and not name.startswith("#"):
            group.append(name)

    def calls(name: str) -> set[str]:
        return set().union(*map(calls, groups[name])) if name.startswith("@") else {name}

    allowed = calls("@default")
    for line in lines:
        named = set().union(*(calls(name) for name in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    only = Filter(REFUSE)
    for call in sorted(allowed):
        only.rule(ALLOW, call)
    return only


def forbidden_arguments(says: dict[str, list[str]]) -> Filter:
    """The directives that look at what a system call is called with."""
    but = Filter(ALLOW)

    def refuse(call: str, argument: int, mask: int) -> None:
        but.rule(REFUSE, call, (argument, MASKED_EQUAL, mask, mask))

    if says["MemoryDenyWriteExecute"] == ["yes"]:
        refuse("mmap", 2, PROT_WRITE | PROT_EXEC)
        refuse("mprotect", 2, PROT_EXEC)
        refuse("pkey_mprotect", 2, PROT_EXEC)
        refuse("shmat", 2, SHM_EXEC)
    if says["RestrictNamespaces"] == ["yes"]:
        for bit in (1 << number for number in range(32) if NAMESPACES >> number & 1):
            refuse("clone", 0, bit)
            refuse("unshare", 0, bit)
        but.rule(REFUSE, "setns")
    if says["RestrictSUIDSGID"] == ["yes"]:
        for bit in (0o4000, 0o2000):
            refuse("chmod", 1, bit)
            refuse("fchmod", 1, bit)
            refuse("fchmodat", 2, bit)
    if says["RestrictRealtime"] == ["yes"]:
        but.rule(REFUSE, "sched_setscheduler", (1, NOT_EQUAL, 0, 0))
    if says["LockPersonality"] == ["yes"]:
        but.rule(REFUSE, "personality", (0, NOT_EQUAL, 0xFFFFFFFF, 0))
    families = {getattr(socket, name) for name in says["RestrictAddressFamilies"][0].split()}
    for family in set(range(64)) - families:
        but.rule(REFUSE, "socket", (0, MASKED_EQUAL, 0xFFFFFFFF, family))
    return but


def mount_read_only(folder: Path, *, devices: bool) -> None:
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC))
    mount("none", "/", MS_REC | MS_PRIVATE)
    for kept in (*TEMPORARY, str(CHECKOUT), str(folder)):  # mounts of their own, the inner after the outer
        mount(kept, kept, MS_BIND | MS_REC)
    writable = {*TEMPORARY, str(folder)}
    for point in [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]:
        if point not in writable and not point.startswith(LEFT_ALONE):
            mount("none", point, MS_REMOUNT | MS_BIND | MS_RDONLY)
    if devices:
        mount("/dev", "/mnt", MS_BIND | MS_REC)
        mount("tmpfs", "/dev", MS_NOSUID, "tmpfs")
        Path("/dev/shm").mkdir()  # noqa: S108
        mount("/mnt/shm", "/dev/shm", MS_BIND)  # noqa: S108
        for name in DEVICES:
            Path("/dev", name).touch()
            mount(f"/mnt/{name}", f"/dev/{name}", MS_BIND)
        check(libc.umount2(b"/mnt", 2))


def mount(source: str, target: str, flags: int, kind: str = "") -> None:
    check(libc.mount(source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), None), target)


def check(result: int, what: str = "") -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


if __name__ == "__main__":
    main()
