"""`terse generate` and `terse render` as they are typed."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from commands import run
from drawn_sets import files_of
from terse.cli.generate import summary


@pytest.fixture
def folders(world: Path) -> list[str]:
    fore, back = world / "fore", world / "back"
    return [
        "paste",
        f"foregrounds.coco={fore / 'set.json'}",
        f"foregrounds.images={fore / 'images'}",
        f"backgrounds.images={back / 'images'}",
    ]


def test_one_command_on_two_folders(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    code, printed, err = run(
        capsys, "generate", *folders, "--count", "5", "--format", "coco", "--out", str(out), "--workers", "0", "--json"
    )
    assert (code, err) == (0, "")
    result = json.loads(printed)
    assert list(result) == [
        "out", "images", "objects", "per_class", "skipped", "seconds", "images_per_second",
    ]  # fmt: skip
    assert (result["out"], result["images"], result["objects"]) == (str(out), 5, 5)
    assert result["per_class"] == {"ball": 3, "Kästchen": 2}
    assert sorted(path.name for path in out.iterdir()) == [
        "SHA256SUMS", "annotations.json", "images", "manifest.json", "placements.parquet", "report.html",
    ]  # fmt: skip
    assert len(list((out / "images").iterdir())) == 5


def test_the_page_of_a_new_set_does_not_read_the_sources_again(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: object, **__: object) -> None:
        raise AssertionError("the sources were read again")

    out = tmp_path / "set"
    with monkeypatch.context() as patched:
        patched.setattr("terse.report.set_page.drawing_of", again)
        assert run(capsys, "generate", *folders, "--count", "4", "--out", str(out), "--workers", "0")[0] == 0
    page = (out / "report.html").read_text("utf-8")
    assert run(capsys, "report", str(out))[0] == 0
    of_sources = (out / "report.html").read_text("utf-8")
    gallery = page[page.index('id="gallery-data"') :]
    assert gallery[: gallery.index("</script>")] in of_sources


def test_placements_are_drawn_again_edited_and_larger(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    arguments = ("--count", "4", "--out", str(first), "--workers", "0", "--image", "png")
    assert run(capsys, "generate", *folders, *arguments)[0] == 0
    again = tmp_path / "again"
    assert run(capsys, "render", str(first / "placements.parquet"), "--out", str(again), "--workers", "0")[0] == 0
    for name in ("annotations.json", "SHA256SUMS"):
        assert files_of(again)[name] == files_of(first)[name]

    twice = tmp_path / "twice"
    options = ("--side", "240", "--format", "yolo", "--masks", "box", "--workers", "0")
    assert run(capsys, "render", str(first / "placements.parquet"), "--out", str(twice), *options)[0] == 0
    assert cv2.imread(str(twice / "images" / "00000000.png")).shape == (240, 320, 3)
    small = json.loads((first / "annotations.json").read_text("utf-8"))["annotations"][0]["bbox"]
    _, x, y, width, height = map(float, (twice / "labels" / "00000000.txt").read_text().split())
    large = [(x - width / 2) * 320, (y - height / 2) * 240, width * 320, height * 240]
    assert all(abs(b - 2 * a) <= 4 for a, b in zip(small, large, strict=True))

    # What pandas does to it: rows and values change, the file's metadata goes; the manifest beside it says the same.
    table = pq.read_table(first / "placements.parquet")
    rows = table.filter(pc.not_equal(table["image"], 2)).to_pylist()
    frame = pa.Table.from_pylist([{**row, "blend": "poisson"} for row in rows])
    assert frame.schema.metadata is None
    pq.write_table(frame, first / "edited.parquet")
    edited = tmp_path / "edited"
    code, printed, _ = run(
        capsys, "render", str(first / "edited.parquet"), "--out", str(edited), "--workers", "0", "--json"
    )
    assert (code, json.loads(printed)["images"]) == (0, 3)
    images = json.loads((edited / "annotations.json").read_text("utf-8"))["images"]
    assert [(image["id"], image["blend"]) for image in images] == [(0, "poisson"), (1, "poisson"), (3, "poisson")]

    pq.write_table(table.slice(0, 0), first / "none.parquet")
    code, _, err = run(capsys, "render", str(first / "none.parquet"), "--out", str(tmp_path / "none"))
    assert (code, err) == (
        2, f"terse: {first / 'none.parquet'}: expected a row for each paste, got none; keep the rows that are to be drawn\n"
    )  # fmt: skip
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--count", "0"), "--count: expected an integer >= 1, got 0"),
        (("--objects", "three"), "--objects: expected a number or LOW..HIGH, got 'three'; for example 1..3"),
        (("--objects", "2.."), "--objects: expected a number or LOW..HIGH, got '2..'; for example 1..3"),
        (("--objects", "3..1"), "--objects: expected the smaller number first, got 3..1; swap them"),
        (("--quota", "ball"), "--quota: expected NAME=COUNT, got 'ball'; for example dog=500"),
        (
            ("--quota", "bell=1"),
            "--quota: expected a class of the foregrounds, got 'bell'; did you mean 'ball'?",
        ),
        (
            ("--quota", "ball=9"),
            "--quota: expected at most 3 objects together, which 3 images hold, got 9; raise --count or --objects",
        ),
        (
            ("--workers", "-1"),
            "--workers: expected an integer >= 0, got -1; 0 works in the process that was begun",
        ),
        (
            ("--distractors", "1"),
            "--distractor-class: expected classes to take distractors from, got none; name some",
        ),
        (
            ("--distractors", "1", "--distractor-class", "bal"),
            "--distractor-class: expected classes of the foregrounds, got 'bal'; did you mean 'ball'?",
        ),
        (
            ("--hardness", "0.5..1.0"),
            "--hardness: expected a trained run, whose target says what is hard, got a recipe; give a run",
        ),
        (
            ("--format", "yolo", "--masks", "rle"),
            "--masks: expected auto, polygon or box for yolo, got rle; coco holds every form",
        ),
        (
            ("--format", "voc", "--masks", "polygon"),
            "--masks: expected auto or box for voc, got polygon; coco holds every form",
        ),
        (
            ("--format", "yolo_pose", "--masks", "rle"),
            "--masks: expected auto or box for yolo_pose, got rle; coco holds every form",
        ),
        (
            ("--format", "semantic", "--masks", "box"),
            "--masks: expected auto for semantic, got box; coco holds every form",
        ),
    ],
)
def test_mistakes_are_sentences(
    options: tuple[str, ...], message: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = () if "--count" in options else ("--count", "3")
    workers = () if "--workers" in options else ("--workers", "0")
    code, out, err = run(capsys, "generate", *folders, *count, *options, "--out", str(tmp_path / "o"), *workers)
    assert (code, out) == (2, "")
    assert err.removeprefix("terse: ").strip() == message
    assert not (tmp_path / "o").exists()


def test_engine_is_what_cuts_masks_and_nothing_here(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--count", "3", "--out", str(tmp_path / "o"), "--engine", "local")
    code, out, err = run(capsys, "generate", *folders, *words)
    assert (code, out) == (2, "")
    assert "--engine" in err


def test_no_foregrounds_is_a_sentence(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "generate", "paste", "--count", "3", "--out", str(tmp_path / "o"), "--workers", "0")
    assert code == 2
    assert err == "terse: foregrounds: expected a source, got nothing; for example foregrounds.cutouts=FOLDER\n"


def test_a_summary_for_people(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    code, printed, _ = run(capsys, "generate", *folders, "--count", "4", "--out", str(out), "--workers", "0")
    assert code == 0
    first, second, third = printed.splitlines()
    assert first.startswith("4 images, 4 objects in ")
    assert first.endswith(f" a second) -> {out}")
    assert second == "objects  ball 2, Kästchen 2"
    assert third == f"page     {out / 'report.html'}"


def test_a_summary_never_says_0_a_second(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    words = ("generate", *folders, "--count", "2", "--out", str(out), "--workers", "0", "--no-page")
    assert run(capsys, *words)[0] == 0
    code, printed, _ = run(capsys, *words, "--resume")
    assert (code, printed.splitlines()[0]) == (0, f"2 images, 2 objects were made before -> {out}")
    slow = {"images": 4, "objects": 4, "per_class": {}, "skipped": [], "out": "set", "seconds": 10.0}
    first = summary({**slow, "images_per_second": 0.4, "real": {"train": 5, "val": 1}}).splitlines()
    assert first == [
        "4 images, 4 objects in 10.0 s (0.4 a second, real ones counted) -> set",
        "objects  none",
        "real     train 5, val 1",
    ]


@pytest.mark.parametrize(("speed", "said"), [(0.0312, "0.03"), (0.9, "0.9"), (5.3, "5"), (9.7, "10"), (31.4, "31")])
def test_the_speed_in_a_summary(speed: float, said: str) -> None:
    slow = {"images": 4, "objects": 4, "per_class": {}, "skipped": [], "out": "set", "seconds": 10.0}
    assert f"({said} a second)" in summary({**slow, "images_per_second": speed})


def test_a_set_of_an_image_a_minute_was_not_made_before(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 60)
    monkeypatch.setattr("terse.generate.run_job.time", SimpleNamespace(monotonic=lambda: next(clock)))
    out = tmp_path / "set"
    code, printed, _ = run(capsys, "generate", *folders, "--count", "1", "--out", str(out), "--workers", "0")
    assert (code, printed.splitlines()[0]) == (0, f"1 images, 1 objects in 60.0 s (0.02 a second) -> {out}")
    assert "0.02" in (out / "report.html").read_text("utf-8")


@pytest.mark.parametrize("wrong", [["--format", "yolo_pose"], ["--quota", "ball=100", "--resume"]])
def test_a_mistake_leaves_the_folder_to_the_corrected_command(
    wrong: list[str], folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    words = ("generate", *folders, "--count", "2", "--out", str(out), "--workers", "0", "--no-page")
    assert run(capsys, *words, *wrong)[0] == 2
    assert not out.exists()
    assert run(capsys, *words)[0] == 0


def test_a_set_that_nothing_can_be_put_into_leaves_temporary_files_alone(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    out.mkdir()
    (out / "manifest.json.tmp").write_text("of a killed process", "utf-8")
    impossible = ("--objects", "40", "--max-overlap", "0", "--tries", "1")
    code, _, err = run(capsys, "generate", *folders, "--count", "1", "--out", str(out), "--workers", "0", *impossible)
    assert (code, err.partition(", got ")[0]) == (2, "terse: limits: expected placements that meet them")
    assert [path.name for path in out.iterdir()] == ["manifest.json.tmp"]


def test_a_page_that_cannot_be_written_does_not_cost_the_answer(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("terse.report.set_page.build_set_page", full)
    words = ("generate", *folders, "--count", "2", "--out", str(tmp_path / "set"), "--workers", "0", "--json")
    code, printed, err = run(capsys, *words)
    assert (code, json.loads(printed)["images"]) == (0, 2)
    assert err == "no page: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ('{"about": {', "a file that is not JSON"),
        ("[]", "a file that is not one JSON object"),
        ('{"about": {}}', "one without summary; restore it"),
        ('{"about": [], "summary": {}}', "one without about; restore it"),
        ('{"about": {}, "summary": {"objects": 1, "per_class": {}}}', "one whose summary.images is missing"),
        (
            '{"about": {}, "summary": {"images": 1, "objects": 1, "per_class": {"a": "b"}}}',
            "one whose summary.per_class.a is 'b'",
        ),
    ],
)
def test_a_damaged_manifest_is_named(
    content: str, got: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    words = ("generate", *folders, "--count", "1", "--out", str(out), "--workers", "0", "--no-page")
    assert run(capsys, *words)[0] == 0
    (out / "manifest.json").write_text(content, "utf-8")
    for again in ((*words, "--resume"), ("report", str(out))):
        assert run(capsys, *again) == (2, "", f"terse: {out / 'manifest.json'}: expected a set's manifest, got {got}\n")


def test_a_damaged_request_is_named(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = tmp_path / "set" / ".parts" / "request.json"
    request.parent.mkdir(parents=True)
    request.write_text("{", "utf-8")
    words = ("generate", *folders, "--count", "1", "--out", str(tmp_path / "set"), "--workers", "0", "--resume")
    said = f"terse: {request}: expected what a set was begun with, got a file that is not JSON\n"
    assert run(capsys, *words) == (2, "", said)


def test_the_page_of_a_set_of_a_newer_version_is_refused_in_a_sentence(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    assert run(capsys, "generate", *folders, "--count", "1", "--out", str(out), "--workers", "0", "--no-page")[0] == 0
    table = pq.read_table(out / "placements.parquet")
    about = json.loads(table.schema.metadata[b"terse"])
    about["settings"]["sharpness"] = 1
    pq.write_table(table.replace_schema_metadata({b"terse": json.dumps(about)}), out / "placements.parquet")
    code, printed, err = run(capsys, "report", str(out))
    assert (code, printed) == (2, "")
    assert err.startswith("terse: sharpness: expected a known setting, got 'sharpness'; ")


@pytest.mark.parametrize("name", ["s3:set", "seed=3", "süß #1"])
def test_a_folder_may_have_any_name(
    name: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "generate", *folders, "--count", "2", "--out", name, "--workers", "0", "--no-page")[0] == 0
    assert run(capsys, "render", f"{name}/placements.parquet", "--out", f"{name}-2", "--workers", "0")[0] == 0
    assert files_of(tmp_path / name).keys() == files_of(tmp_path / f"{name}-2").keys()
    assert run(capsys, "report", name)[0] == 0


def test_a_count_beyond_the_names_of_images_is_refused(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "generate", *folders, "--count", "1000000000000", "--out", str(tmp_path / "set"))
    assert (code, err) == (2, "terse: --count: expected an integer <= 100000000, got 1000000000000\n")


def test_no_page_is_drawn_that_nobody_wants(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    code, printed, _ = run(
        capsys, "generate", *folders, "--count", "2", "--out", str(out), "--workers", "0", "--no-page"
    )
    assert code == 0
    assert len(printed.splitlines()) == 2
    assert not (out / "report.html").exists()


def test_a_set_is_not_drawn_again_in_a_format_that_cannot_hold_its_masks(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    assert (
        run(capsys, "generate", *folders, "--count", "2", "--masks", "rle", "--out", str(first), "--workers", "0")[0]
        == 0
    )
    words = ("render", str(first / "placements.parquet"), "--format", "yolo", "--out", str(again), "--workers", "0")
    assert run(capsys, *words) == (
        2, "", "terse: --masks: expected auto, polygon or box for yolo, got rle; coco holds every form\n"
    )  # fmt: skip
    assert not again.exists() or not any(again.iterdir())
    assert run(capsys, *words, "--masks", "auto")[0] == 0


def test_options_with_several_values_say_how_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = run(capsys, "generate", "--help")
    assert code == 0
    plain = " ".join(told.replace("│", " ").split())
    for flag in ("--blend", "--quota", "--distractor-class"):
        about = plain.split(f" {flag} ")[1].split(" --")[0]
        assert "may be given several times" in about, flag
