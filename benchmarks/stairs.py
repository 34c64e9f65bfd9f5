"""Where the time of a small call goes: the bare calls, and what the library does besides, one thing after another."""

from __future__ import annotations

import os
import tempfile
from fcntl import LOCK_EX, LOCK_NB, flock

from benchmarks.local import KIB
from benchmarks.measure import TMPFS, Call, Plan, Row, in_turn
from storage import Storage
from storage._facade.core import core_of
from storage.backends import PutOptions
from storage.backends.filesystem import _records, _system

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = "small/x/y"
_OPTIONS = PutOptions("application/octet-stream")


def run(plan: Plan) -> None:
    """``set`` on a directory."""
    row = Row(
        "local.stairs",
        f"a directory on {'tmpfs' if TMPFS else 'disk'}, fsync=false, 1 KiB: set, step by step",
        "the bare calls",
    )
    with tempfile.TemporaryDirectory(prefix="storage-bench-", dir=TMPFS) as root:
        stairs = _stairs(root)
        row.ours = [stairs[0][0]]
        in_turn(row, stairs, rounds=plan.rounds(15), calls=plan.size(300, 100))


def _stairs(root: str) -> list[tuple[str, Call]]:
    """Each does what the one before does, and one thing more."""
    os.makedirs(f"{root}/bare/{_FOLDER}")
    os.mkdir(f"{root}/bare/new")
    staging = os.open(f"{root}/bare/new", os.O_RDONLY)
    known = os.open(f"{root}/bare/{_FOLDER}", os.O_RDONLY)
    bare = os.fsencode(f"{root}/bare/")
    store = Storage(f"file://{root}/store?fsync=false&types=data:")
    route = core_of(store).route("data")

    def steps(*, contained: bool = False, locked: bool = False, described: bool = False) -> Call:
        def call(number: int) -> None:
            name = f"{number}-{os.urandom(20).hex()}"
            fd = os.open(name, _NEW, 0o666, dir_fd=staging)
            if locked:
                flock(fd, LOCK_EX | LOCK_NB)
            os.write(fd, KIB)
            if described:
                _records.attach(fd, _records.encode(b"12345678", os.fstat(fd), _OPTIONS))
            folder = _system.open_inside(bare, _FOLDER, _system.DIRECTORY) if contained else known
            if locked:
                flock(folder, LOCK_EX)
            os.rename(name, str(number % 5000), src_dir_fd=staging, dst_dir_fd=folder)
            if contained:
                os.close(folder)
            os.close(fd)

        return call

    return [
        ("open, write, rename, close", steps()),
        ("+ containment: openat2 and close of the folder", steps(contained=True)),
        ("+ the locks: flock of file and folder", steps(contained=True, locked=True)),
        ("+ metadata: fstat, a record, setxattr", steps(contained=True, locked=True, described=True)),
        ("+ all else that the driver does", lambda n: route.backend.put(f"{_FOLDER}/{n % 5000}", KIB, _OPTIONS)),
        ("+ the facade", lambda n: store.set(f"{_FOLDER}/{n % 5000}", KIB)),
    ]
