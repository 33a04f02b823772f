"""A project that uses terse is type-checked against it: `py.typed` is there, and what is public has types."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONSUMER = Path(__file__).parent / "consumer" / "consumer.py"


@pytest.mark.slow  # mypy reads torch: a minute without a cache
def test_a_consumer_passes_mypy_strict(tmp_path):
    call = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run(
        [*call, str(CONSUMER)], capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1:] == ["Success: no issues found in 1 source file"], done.stdout + done.stderr
