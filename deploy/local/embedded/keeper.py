"""Keeps one server, as its parent, and stops it when the launcher ends, however it ends.

The launcher holds the other end of our standard input. The system closes that end when the launcher exits, also by
`kill -9`, so a stop on request and a stop after a crash are the same path. A death signal from the launcher to the
server would not do: Linux ties it to the thread that started the server, and other systems have none.

Run by path, in isolated mode, so it imports nothing but the standard library.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SECONDS_BETWEEN_STOP_SIGNALS = 10

_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_SET_CHILD_SUBREAPER = 1, 28, 36
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CLONE_NEWUSER = 0x1000_0000
_CAP_DAC_OVERRIDE = 1
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522


def main() -> None:
    """Starts the command, writes its process id to standard output, leaves with its status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user", choices=USERS, required=True)
    parser.add_argument("--stop-signals", type=lambda names: [signal.Signals[n] for n in names.split(",")])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    # Only the launcher decides when a server stops. Handlers, unlike SIG_IGN, are not inherited by the server.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda *_: None)

    keeper = os.getpid()
    if sys.platform == "linux":
        _libc("prctl", _PR_SET_CHILD_SUBREAPER, 1)

    def prepare_server() -> None:
        try:
            USERS[options.user]()
        except OSError as error:
            os.write(2, f"cannot change to user '{options.user}': {error}\n".encode())
            os._exit(126)
        # After the change of user, which clears it. For the case that this process, too, is killed.
        die_with_parent(options.stop_signals[0], keeper)

    try:
        server = subprocess.Popen(
            options.command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=prepare_server,  # noqa: PLW1509 (no thread runs yet)
        )
    except OSError as error:
        sys.exit(f"cannot run it as user '{options.user}': {error}")
    threading.Thread(target=_stop_when_launcher_ends, args=(server, options.stop_signals), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{server.pid}\n".encode())
    status = server.wait()
    _kill_orphans()
    sys.exit(status if status >= 0 else 128 - status)


def _stop_when_launcher_ends(server: subprocess.Popen[bytes], stop_signals: list[signal.Signals]) -> None:
    while os.read(0, 1):
        pass
    for stop_signal in stop_signals:
        server.send_signal(stop_signal)
        server.send_signal(signal.SIGCONT)  # a test may have paused it
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(SECONDS_BETWEEN_STOP_SIGNALS)
            return


def _kill_orphans() -> None:
    """Ends the processes that a killed PostgreSQL leaves behind. As its subreaper, we are now their parent.

    A busy one would not notice for as long as its query takes, and keep the server from starting again. The list of
    children may leave some out while others end; that none is left, the system says for certain.
    """
    while True:
        for children in Path("/proc/self/task").glob("*/children"):
            for orphan in map(int, children.read_text().split()):
                os.kill(orphan, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def die_with_parent(death_signal: signal.Signals, parent: int) -> None:
    """Has the system send the signal to this process when the thread that started it ends. Linux only."""
    if sys.platform == "linux":
        _libc("prctl", _PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it ended before we could ask
            os.kill(os.getpid(), death_signal)


def _stay_who_we_are() -> None:
    pass


def _enter_user_namespace() -> None:
    """Root becomes an ordinary user in the eyes of the server, and keeps its access to root's files.

    PostgreSQL refuses user id 0. This is the better way around it: a checkout under a private home folder stays
    readable, files keep their owner, nothing is installed. Many containers do not allow it.
    """
    ordinary = _ordinary_user()
    user_map, group_map = f"{ordinary.pw_uid} {os.geteuid()} 1", f"{ordinary.pw_gid} {os.getegid()} 1"
    _libc("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(user_map)
    Path("/proc/self/gid_map").write_text(group_map)


def _become_ordinary_user() -> None:
    """Root becomes an ordinary user for good, but may still pass through folders that are closed to that user.

    For containers, where root can change its user but not enter a namespace. Without the one capability kept, the
    server could neither be executed nor reach its data in a checkout under a private home folder.
    """
    ordinary = _ordinary_user()
    with contextlib.suppress(OSError, AttributeError):
        # Or the capabilities would go with the user, and `access`, with which initdb looks around, would not see them.
        _libc("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(ordinary.pw_gid)
    os.setuid(ordinary.pw_uid)
    with contextlib.suppress(OSError, AttributeError):
        one_capability = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(*[one_capability] * 3)
        _libc("capset", header, effective_permitted_inheritable)
        _libc("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _ordinary_user() -> pwd.struct_passwd:
    """A user with an entry in the user database, for initdb looks itself up there."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("nobody")
    return next(user for user in pwd.getpwall() if user.pw_uid != 0)


def _libc(function: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    if getattr(library, function)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")


USERS: dict[str, Callable[[], None]] = {
    "same": _stay_who_we_are,
    "namespace": _enter_user_namespace,
    "nobody": _become_ordinary_user,
}

if __name__ == "__main__":
    main()
