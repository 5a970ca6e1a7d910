"""Watches what a case touches: writes outside its folders, a canary, connections, child processes."""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from pathlib import Path

import engine

_ROOT = Path(engine.__file__).resolve().parents[1]
_IN_OPEN = 0x20
_IN_NONBLOCK = 0o4000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> which of its arguments are paths that change.
_CHANGES = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
}
_NEVER = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "socket.bind",
)
# What programs read for themselves.
_LIBRARIES = tuple(
    {
        *(
            os.path.realpath(place)
            for place in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
        ),
        *(str(_ROOT / name) for name in ("engine", "resources", "tests")),
        *("/usr/lib", "/usr/share", "/lib", "/proc", "/sys", "/dev/null", "/dev/urandom"),
    }
)


class Guard:
    """Installed once a process; ``watch`` starts a case and ``findings`` ends it.

    Args:
        canary: A file that no case may open; Linux tells of opens by native code too.
    """

    def __init__(self, canary):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._notices = self._libc.inotify_init1(_IN_NONBLOCK)
        self._libc.inotify_add_watch(self._notices, os.fsencode(canary), _IN_OPEN)
        self._writable, self._readable, self._found, self._on = (), None, [], False
        sys.addaudithook(self._hook)

    def watch(self, writable, readable=None):
        """Args:
        writable: Folders that may be changed.
        readable: Folders that may be read, beside libraries; None: any.
        """
        self._drain()
        self._writable = tuple(os.path.realpath(folder) for folder in writable)
        self._readable = readable and (*self._writable, *(os.path.realpath(folder) for folder in readable))
        self._found, self._on = [], True

    def findings(self):
        """What the case did that it may not, one line each."""
        self._on = False
        return [*dict.fromkeys(self._found), *self._drain()]

    def _drain(self):
        try:
            return ["reads the canary outside its folder"] if os.read(self._notices, 1 << 16) else []
        except BlockingIOError:
            return []

    def _hook(self, event, arguments):
        if not self._on:
            return
        if event == "open":
            self._opened(*arguments)
        elif event in _CHANGES:
            for place in _CHANGES[event]:
                self._check(arguments[place], self._writable, f"{event} of")
        elif event in _NEVER:
            self._found.append(f"{event} {str(arguments)[:200]}")

    def _opened(self, path, mode, flags):
        writes = bool(flags & _WRITES) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
        if writes:
            self._check(path, self._writable, "writes")
        elif self._readable is not None:
            self._check(path, (*self._readable, *_LIBRARIES), "reads")

    def _check(self, path, folders, what):
        if isinstance(path, int) or path == os.devnull:
            return
        try:
            place = os.path.abspath(os.fsdecode(path))
            # A link is removed or renamed where it lies and opened where it leads.
            opens = what in ("writes", "reads")
            folder, name = os.path.split(place)
            place = os.path.realpath(place) if opens else os.path.join(os.path.realpath(folder), name)
        except (ValueError, TypeError):
            return
        if not any(place == folder or place.startswith(folder + os.sep) for folder in folders):
            self._found.append(f"{what} {place[:200]}")


def peak_bytes():
    """Largest resident size of this process so far."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def reset_peak():
    """Makes ``peak_bytes`` count from now."""
    Path("/proc/self/clear_refs").write_bytes(b"5")
