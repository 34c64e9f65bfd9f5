"""Each extra alone, from the wheel, on each Python, with the lowest and the newest versions of what it needs.

``make test-extras`` runs it. A case makes an environment with uv, installs ``storage-facade[EXTRA]`` and nothing else, and runs
``use_EXTRA.py`` there, which does with the extra what its users do first. Servers run outside that environment.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulators.gcs import gcs
from tests.emulators.s3 import moto_s3
from tests.wheels import ROOT, wheel

__all__ = ["gcs", "moto_s3", "wheel"]

PROGRAMS = Path(__file__).parent
EXTRAS = ["", *(importlib.metadata.metadata("storage-facade").get_all("Provides-Extra") or ())]
PYTHONS = os.environ.get("PYTHONS", sys.executable).split()  # the Makefile names those that it finds


def program(extra):
    """The program that uses an extra."""
    return PROGRAMS / f"use_{extra or 'nothing'}.py"


def version(python):
    """``(3, 11)`` of an interpreter."""
    code = "import sys; print(*sys.version_info[:2])"
    return tuple(map(int, subprocess.run([python, "-c", code], check=True, capture_output=True).stdout.split()))


def cases():
    for python in PYTHONS:
        found = version(python)
        for extra in EXTRAS:
            if extra == "zarr" and found < (3, 11):  # zarr 3 needs Python 3.11
                continue
            for resolution in ("lowest", "newest"):
                name = f"{found[0]}.{found[1]}-{extra or 'nothing'}-{resolution}"
                yield pytest.param(python, extra, resolution, id=name)


def uv(*args):
    """Runs uv, which says what it could not do."""
    done = subprocess.run([sys.executable, "-m", "uv", "--quiet", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def environment(directory, python, extra, resolution, built):
    """The Python of a new environment that holds the wheel with one extra."""
    uv("venv", "--python", python, str(directory))
    ours = str(directory / "bin" / "python")
    install = ["pip", "install", "--python", ours, "--link-mode", "copy"]
    if resolution == "lowest":
        # What the wheel says it needs, named directly: the lowest versions of what those need may never have worked.
        named = ["--extra", extra] if extra else []
        uv(*install, "--resolution", "lowest-direct", "--requirements", str(ROOT / "pyproject.toml"), *named)
        uv(*install, "--no-deps", str(built))
    else:
        uv(*install, f"storage-facade[{extra}] @ {built.as_uri()}")
    return ours


def where(extra, request, directory):
    """The arguments of an extra's program, and its environment variables: servers run outside the environment under test."""
    if extra == "s3":
        server = request.getfixturevalue("moto_s3")
        return [server.url()], {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    if extra == "gcs":
        server = request.getfixturevalue("gcs")
        account = directory / "account.json"
        account.write_text(json.dumps(server.account()))
        return [server.url()], {"GOOGLE_APPLICATION_CREDENTIALS": str(account)}
    return [], {}


@pytest.mark.extras
@pytest.mark.parametrize("python,extra,resolution", [*cases()])
def test_each_extra_alone(python, extra, resolution, wheel, request, tmp_path):
    """It brings all that it needs, and does its work."""
    ours = environment(tmp_path / "env", python, extra, resolution, wheel)
    args, variables = where(extra, request, tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [ours, "-I", "-W", "default", str(program(extra)), *args],
        env={"PATH": f"{Path(ours).parent}:/usr/bin:/bin", "HOME": str(home), **variables},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_extra_has_a_program():
    """A new extra is tested too."""
    assert {program(extra) for extra in EXTRAS} == set(PROGRAMS.glob("use_*.py"))
