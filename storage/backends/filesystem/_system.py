"""System calls that Python lacks, such as an open that follows no link, and some that many modules here make.

Everything here has a portable fallback, or says that it cannot.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import sys
from typing import Any, Final

# O_NONBLOCK: opening a FIFO that somebody put there must not wait for its writer.
READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Made once, and no argtypes: ctypes then converts nothing but the path, which halves what a call costs.
_AT_FDCWD = ctypes.c_long(-100)
_OPENAT2 = ctypes.c_long(437)  # the same number on every architecture that Python runs on, but Alpha
_RESOLVE_NO_SYMLINKS = 0x04
_RENAME_EXCHANGE = 2
_MODE = 0o666
_F_FULLFSYNC = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: its fsync stops at the drive's cache
_FICLONE = 0x40049409
_CANNOT_LOCK = frozenset({errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_how: dict[int, Any] = {}  # what openat2 takes, for each set of flags; made once, and never changed
_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


def _failed(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def walk_inside(base: bytes, path: str, flags: int) -> int:
    """As :func:`open_inside`, one segment at a time: for systems without ``openat2``."""
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = path.split("/")
        for folder in folders:
            inner = os.open(folder, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        return os.open(name or ".", flags | os.O_NOFOLLOW, _MODE, dir_fd=fd)
    finally:
        os.close(fd)


def _openat2_inside(base: bytes, path: str, flags: int) -> int:
    try:
        how = _how[flags]
    except KeyError:
        made = _OpenHow(flags, _MODE if flags & os.O_CREAT else 0, _RESOLVE_NO_SYMLINKS)
        how = _how[flags] = ctypes.byref(made)
    name = base + path.encode()
    while True:
        fd: int = _syscall(_OPENAT2, _AT_FDCWD, name, how, _HOW_SIZE)
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EINTR:
            raise _failed(path)


if sys.platform == "linux" and sys.maxsize > 2**32:
    _syscall = _libc.syscall
    _syscall.restype = ctypes.c_long


def _has_openat2() -> bool:
    if sys.platform != "linux" or sys.maxsize <= 2**32:
        return False
    try:
        os.close(_openat2_inside(b"/", "", DIRECTORY))
    except OSError:  # a kernel before 5.6, or a sandbox that forbids what it does not know
        return False
    return True


# Opens ``path``, portable, below the directory ``base`` (absolute, ends in a slash) and follows no symbolic link below it (with
# openat2: none in ``base`` either, which is then ELOOP). ``path`` has no ``..``; "" is ``base`` itself.
open_inside = _openat2_inside if _has_openat2() else walk_inside


def exchange(fd: int, name: str, other_fd: int, other_name: str) -> None:
    """Makes two names, of whatever kind, change places in one step.

    Raises:
        OSError: with ``errno`` ``ENOTSUP`` where system or file system cannot.
    """
    call = getattr(_libc, "renameat2" if sys.platform == "linux" else "renameatx_np", None)
    if call is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), name)
    if call(fd, os.fsencode(name), other_fd, os.fsencode(other_name), _RENAME_EXCHANGE) == 0:
        return
    failed = _failed(name)
    if failed.errno in (errno.EINVAL, errno.ENOSYS):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), name)
    raise failed


def clone(source: int, target: int, size: int) -> None:
    """Fills the empty file ``target`` with the ``size`` bytes of ``source``: shared blocks if possible, else a copy."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.ioctl(target, _FICLONE, source)
            return
    done = 0
    copy_range = getattr(os, "copy_file_range", None)
    while copy_range is not None and done < size:
        try:
            moved = copy_range(source, target, min(size - done, 1 << 30), done, done)
        except OSError as exc:
            if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            break
        if not moved:
            break
        done += moved
    while done < size:
        data = os.pread(source, 1 << 20, done)
        if not data:
            return
        done += os.pwrite(target, data, done)


def lock_new(fd: int) -> bool:
    """Locks a file that was just made, without waiting; ``False``: somebody else has it.

    A file system without locks is ``True``: nobody can get that lock, so nobody deletes the file.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        if exc.errno not in _CANNOT_LOCK:
            raise
    return True


def look(fd: int, name: str) -> os.stat_result | None:
    """The state of what is called ``name`` in the directory ``fd``, of a link its own; ``None``: nothing is."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def unlock(fd: int) -> None:
    """Gives back the lock of an open file or directory."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def sync(fd: int) -> None:
    """Returns when the file or directory is on the medium."""
    if _F_FULLFSYNC is not None:
        with contextlib.suppress(OSError):  # not every file system of macOS knows it
            fcntl.fcntl(fd, _F_FULLFSYNC)
            return
    os.fsync(fd)


def lock(fd: int) -> bool:
    """Waits for the exclusive lock of an open file or directory, held until ``fd`` is closed.

    Returns:
        ``False`` where the file system cannot lock this.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as exc:
        if exc.errno in _CANNOT_LOCK:
            return False
        raise
    return True


def try_lock(fd: int) -> bool:
    """As :func:`lock`, without waiting: ``False`` also where somebody holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
