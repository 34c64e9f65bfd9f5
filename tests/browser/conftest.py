"""Real Chromium, and stores to point it at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Without these Chromium, run by root in a network that is closed, looks for Google's servers at every start.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "no Chromium: `make test-browser` installs it on Debian, elsewhere CHROMIUM=/path names it"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def _is_own_policy(message: str) -> bool:
    """Whether the page did what its own policy forbids; that it lets nobody frame it is what a test tries."""
    return "Content Security Policy" in message and not message.startswith("Framing")


@contextmanager
def served(url: str, *options: str, env: dict[str, str] | None = None) -> Iterator[list[str]]:
    """``storage serve`` in a process of its own; yields the lines that it printed."""
    command = [sys.executable, "-m", "storage.cli", "serve", "--url", url, "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(env or {})}
    ) as process:
        try:
            assert process.stdout is not None
            yield [process.stdout.readline().strip() for _ in range(2 if "--browse" in options else 1)]
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a page, with options of a browser context; at the end no script on it may have failed."""
    contexts = []
    errors: list[str] = []

    def open_one(url: str, **options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC", "accept_downloads": True, **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_own_policy(message.text) else None)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the page are left for people to look at."""
    directory = Path(__file__).parents[2] / "build" / "screenshots"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
