"""The log of the operations where `logging` is imported after this package, or never."""

from __future__ import annotations

import subprocess
import sys


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_a_program_that_does_not_log_does_not_pay() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"  # of a tracer, for example
        "import storage; s = storage.Storage('memory://'); s.set('k', b'v'); s.get('k')\n"
        "print({'logging', 'dataclasses', 'inspect'} & (set(sys.modules) - before))"
    )
    assert _run(code) == "set()\n"


def test_a_logger_set_up_later_is_heard() -> None:
    code = (
        "import storage, sys; s = storage.Storage('memory://'); s.set('k', b'v')\n"
        "import logging; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout); s.get('k')"
    )
    assert _run(code).startswith("DEBUG:storage:get type=data key='k' bytes=1 ms=")
