"""Drawn pictures for the tests of thumbnails and sheets."""

import pytest

import drawn_pages


@pytest.fixture(scope="session")
def drawn():
    """The module of what the tests of the page draw."""
    return drawn_pages
