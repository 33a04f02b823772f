"""A browser, and drawn runs for the page's tests."""

from pathlib import Path

import pytest

import drawn_pages

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def drawn():
    """The module of what the tests of the page draw."""
    return drawn_pages


@pytest.fixture(scope="session")
def browser():
    """A real browser, or a skip that says which part of it is missing."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing; install it with: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="no browser client: the package playwright is missing")
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        yield running
        running.close()
