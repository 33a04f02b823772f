"""Streams that are closed, full, left by their reader, or of few letters: a command does its work and says what it can."""

import json
import os
import subprocess
import sys

import pytest

import terse.cli.main as command_line
from terse.cli.answers import answer


def of_shell(command, **environment):
    """What a shell ends with, and what it printed; `terse` stands for the command."""
    called = command.replace("terse ", f"'{sys.executable}' -m terse ")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environment
    done = subprocess.run(["bash", "-c", called], capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout, done.stderr


def test_a_closed_stderr_stops_no_job_and_its_lines_do_not_reach_the_answer(paste_data, tmp_path):
    code, out, _ = of_shell(
        f"terse generate paste {' '.join(paste_data)} --count 2 --workers 0 --json --out {tmp_path / 'set'} 2>&-"
    )
    assert code == 0
    assert json.loads(out)["images"] == 2
    assert of_shell("terse train nosuch 2>&-") == (2, "", "")


@pytest.mark.parametrize("ends", ["2> >(true)", "2> /dev/full"])
def test_lines_that_cannot_be_written_end_no_job(ends):
    """A line of a job once ended it, with 0."""
    code = (
        "import time\n"
        "from terse.cli.streams import ready_streams\n"
        "from terse.cli.progress import Lines\n"
        "with ready_streams():\n"
        "    for line in range(3): Lines().say('a line'); time.sleep(0.1)\n"
        "print('done')"
    )
    assert of_shell(f"'{sys.executable}' -c \"{code}\" {ends}")[:2] == (0, "done\n")


def test_all_streams_closed():
    assert of_shell("terse targets <&- >&- 2>&-")[0] == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["--version", "targets"])
def test_an_answer_that_cannot_be_printed_is_a_sentence(command, unbuffered):
    code, _, err = of_shell(f"terse {command} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert code == 2
    assert err.splitlines()[-1] == "terse: stdout: expected to print the answer, got: No space left on device"
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_is_no_fault(unbuffered):
    assert of_shell("terse targets | true; echo ${PIPESTATUS[0]}", PYTHONUNBUFFERED=unbuffered) == (0, "0\n", "")


def test_another_broken_pipe_is_not_taken_for_the_readers(monkeypatch, capsys):
    def broken(*arguments, **options):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(command_line, "app", lambda command="": broken)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["targets"])
    assert ended.value.code == 1
    assert "this is a bug of ours" in capsys.readouterr().err


def test_letters_that_stdout_does_not_have(paste_data, tmp_path):
    command = f"terse generate paste {' '.join(paste_data)} --count 1 --workers 0 --out {tmp_path / 'ß'}"
    code, out, err = of_shell(command, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "\\xdf" in out
    code, out, _ = of_shell(f"{command} --resume --json", PYTHONIOENCODING="ascii")
    assert code == 0
    assert json.loads(out)["out"] == str(tmp_path / "ß")


def test_half_a_letter_in_an_answer(capsys):
    answer({"name": "bad\udcff"}, "", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "bad\udcff"}
