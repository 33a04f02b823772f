"""The command line as a user calls it, inside this process."""

import pytest

import terse.cli.main as command_line


def run(capsys, *arguments):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        command_line.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err
