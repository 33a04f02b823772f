from types import SimpleNamespace

import pytest

from terse.report.check_page import check_page


def finding(weight, names=("a.jpg",)):
    return SimpleNamespace(weight=weight, name=f"a {weight}", where="train", advice="Mend it.", examples=names)


@pytest.mark.parametrize(
    ("weights", "title", "word"),
    [
        ((), "Ready to run", "Ready"),
        (("note",), "Ready to run", "Ready"),
        (("warning", "note"), "Ready, with 1 thing to look at", "Ready"),
        (("warning", "error", "error"), "2 things to mend before a run", "Not ready"),
    ],
)
def test_the_title_says_whether_to_go_on(weights, title, word):
    page = check_page("recipe.yaml", [finding(weight) for weight in weights])
    assert (page.title, page.headline.word) == (title, word)


def test_the_title_of_a_recipe_for_sets_is_plain_text():
    assert check_page("paste", [], purpose="set").title == "Ready for terse generate"


def test_the_worst_stands_first_and_examples_are_few():
    page = check_page("d", [finding("note"), finding("error", [f"{k}.jpg" for k in range(9)])])
    assert [row[1] for row in page.tables[0].rows] == ["error", "note"]
    assert page.tables[0].rows[0][2] == "9"
    assert page.tables[0].rows[0][5] == "0.jpg, 1.jpg, 2.jpg and 6 more"


def test_classes_are_counted_part_by_part():
    page = check_page("d", [], classes={"train": {"dog": 3, "cat": 1}, "val": {"cat": 2}}, leave_out=["x.jpg"])
    assert page.tables[0].rows == [("dog", "3", "0"), ("cat", "1", "2")]
    assert [(trace.name, list(trace.x)) for trace in page.charts[0].figure.data] == [("train", [3, 1]), ("val", [0, 2])]
    assert page.tables[1].rows == [("x.jpg",)]
