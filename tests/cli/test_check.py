"""`terse check` as a user runs it."""

import json

import pytest

from commands import run
from terse.cli.progress import counting


@pytest.fixture
def people(drawn, monkeypatch):
    """Photographs of one disc each in a COCO file, a recipe over them, and the working directory beside them."""
    drawn.recipe()
    monkeypatch.chdir(drawn.root)
    return drawn.root


def test_a_sound_recipe_is_ready_and_has_a_page(people, capsys):
    code, out, err = run(capsys, "check", "recipe.yaml")
    assert code == 0
    lines = out.splitlines()
    assert lines[-2:] == ["page         checks/recipe/report.html", "recipe.yaml: ready"]
    assert "foregrounds  6 images, 6 objects, 6 masks" in lines
    assert err == "backgrounds: not searched for objects, because the target is not trained yet; give --checkpoint F\n"
    assert {path.name for path in (people / "checks/recipe").iterdir()} == {"report.html", "findings.json"}


def test_the_pages_commands_have_what_was_typed(people, capsys):
    code, _, _ = run(capsys, "check", "recipe.yaml", "cycles=2", "foregrounds.min_area_px=5")
    assert code == 0
    page = (people / "checks/recipe/report.html").read_text()
    assert "terse train recipe.yaml cycles=2 foregrounds.min_area_px=5" in page
    assert "terse preview recipe.yaml cycles=2 foregrounds.min_area_px=5" in page


def test_the_pages_commands_trust_what_was_trusted(people, capsys):
    code, _, _ = run(capsys, "check", "recipe.yaml", "runtime.publish=s3://bucket/pool", "--trust")
    assert code == 0
    page = (people / "checks/recipe/report.html").read_text()
    assert "terse train recipe.yaml runtime.publish=s3://bucket/pool --trust" in page


def test_an_error_is_told_by_the_exit_code_and_in_json(people, capsys):
    code, out, _ = run(capsys, "check", "recipe.yaml", "foregrounds.coco=none.json", "--json", "--out", "there")
    assert code == 2
    result = json.loads(out)
    assert (result["ready"], result["page"]) == (False, "there/report.html")
    assert result["findings"][0] == {
        "code": "source_unreadable",
        "weight": "error",
        "name": "Source that cannot be read",
        "where": "foregrounds",
        "advice": f"coco: expected a file, got nothing at {people / 'none.json'}; a recipe's relative paths start at its file.",
        "count": 0,
        "examples": [],
    }


def test_a_recipe_for_sets_alone_is_ready_for_generate(paste_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "check", "paste", *paste_data)
    assert (code, out.splitlines()[-1], err) == (0, "paste: ready for terse generate", "")
    code, out, _ = run(capsys, "check", "paste", *paste_data, "--json")
    assert (json.loads(out)["ready"], json.loads(out)["command"]) == (True, "generate")


def test_data_are_checked_by_themselves_and_their_list_is_one_that_sources_take(people, capsys):
    (people / "train-images/train-03.png").write_bytes((people / "train-images/train-00.png").read_bytes())
    code, out, _ = run(capsys, "check", "train.json", "--images", "train-images")
    assert code == 0
    listed = people / "checks/train/leave-out-data.txt"
    assert f"leave out    {listed.relative_to(people)}: for leave_out of a recipe's foregrounds" in out.splitlines()
    assert out.splitlines()[-1] == "train.json: ready, with things to look at"
    assert listed.read_text() == "train:train-03.png\n"
    code, out, _ = run(capsys, "check", "recipe.yaml", f"train.leave_out={listed}", "--json")
    assert json.loads(out)["parts"]["train"]["images"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: expected a recipe or data, got nothing there; see `terse recipes` for the built-in ones"),
        (["recipe.yaml", "--sample", "-1"], "--sample: expected an integer >= 0, got -1; 0 looks at everything"),
        (["recipe.yaml", "--images", "train-images"],
         "--images: expected it beside a COCO file, got it beside a recipe; write it there"),
        (["train.json", "cycles=2"], "cycles=2: expected it beside a recipe, got data"),
        (["train.json", "--checkpoint", "a.pth"], "--checkpoint: expected it beside a recipe, got data"),
        (["recipe.yaml", "--checkpoint", "a.pth"], "a.pth: expected a file of weights, got none"),
        (["torn.json", "--images", "train-images"],
         "torn.json, line 1 column 12: expected whole JSON, got: Expecting value; the file may end early: copy it again"),
        (["recipe.yaml", "--out", "train.json"],
         "train.json: expected a folder that can be written, got: File exists"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(people, capsys, arguments, message):
    (people / "torn.json").write_text('{"images": ')
    code, out, err = run(capsys, "check", *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"terse: {message}"


def test_at_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with counting() as observer:
        observer.say("a line that stays")
        observer.advance("decoding train", 1, 2)
        observer.advance("decoding train", 2, 2)
    assert "a line that stays" in capsys.readouterr().err
