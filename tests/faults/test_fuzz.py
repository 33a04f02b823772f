"""Damaged files are read or refused in a sentence: `tools/fuzz.py`, and what it found once."""

import json
import random
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest

from terse.errors import DataError, TerseError
from terse.placements_table import read_table
from terse.sources.digits.matfile import read_structure

TOOLS = Path(__file__).resolve().parent.parent.parent / "tools"
CORPUS = Path(__file__).resolve().parent / "corpus"


def fuzzed(reader, executions, *more):
    command = [sys.executable, TOOLS / "fuzz.py", reader, "--executions", executions, *more]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_a_sample_of_damaged_files():
    counts = fuzzed("all", 12)
    assert len(counts) == 10
    assert all(one["executions"] == one["read"] + one["refused"] == 12 for one in counts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader", ["coco", "coco_parts", "voc", "yolo", "idx", "mat", "recipe", "placements", "result", "image"]
)
def test_many_damaged_files(reader):
    (counts,) = fuzzed(reader, 20_000, "--seconds", 240, "--seed", 7)
    assert counts["executions"] == counts["read"] + counts["refused"]


def test_an_input_depends_on_its_number_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import fuzz

    def made():
        return [fuzz.damaged([b'{"a": [1, {"b": [[2], {}]}]}'], random.Random(f"0 {number}")) for number in range(3000)]

    first = made()
    assert made() == first
    assert max(map(len, first)) < 100_000


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_found_once(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import fuzz

    target, read = fuzz.prepared(file.parent.name, tmp_path)
    target.write_bytes(file.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(target)
        except TerseError:
            return


def test_text_of_a_table_that_is_not_utf8_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    pq.write_table(pa.table({"image": pa.array([0]), "background": broken}), tmp_path / "p.parquet")
    with pytest.raises(
        DataError, match=r"p.parquet: expected placements in Parquet, got a file that cannot be read so"
    ):
        read_table(tmp_path / "p.parquet")


def test_a_second_compressed_part_has_a_limit_too(tmp_path, monkeypatch):
    monkeypatch.setattr("terse.sources.digits.matfile.inflated_limit", lambda size: 1000)
    parts = [zlib.compress(b"\x01\0\0\0" + (992).to_bytes(4, "little") + bytes(992)), zlib.compress(bytes(10_000_000))]
    header = bytes(124) + b"\x00\x01IM"
    elements = b"".join((15).to_bytes(4, "little") + len(part).to_bytes(4, "little") + part for part in parts)
    (tmp_path / "1.mat").write_bytes(header + elements)
    with pytest.raises(DataError, match="more than such a file may unpack to"):
        read_structure(tmp_path / "1.mat", "affNISTdata")
