"""Drawn photographs."""

import pytest

from drawn_photographs import Drawn


@pytest.fixture
def drawn(tmp_path):
    """Writes drawn data below the test's folder."""
    return Drawn(tmp_path)
