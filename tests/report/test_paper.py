"""The paper's numbers beside ours on the pages."""

from terse.proof.results import HardShares
from terse.report.paper import paper_curves, paper_tables
from terse.report.proof_page import prove_page


def test_ours_stand_below_what_the_paper_prints():
    ours = {"none": {"voc07_ap50": 0.7712, "voc07_ap80": None}, "learned": {"voc07_ap50": 0.8, "voc07_ap80": 0.333333}}
    table = paper_tables({"paper": ["table_4"]}, ours)[0]
    assert table.heading == "The paper's Table 4 and ours"
    assert table.columns == ("Method", "", "0.5", "0.6", "0.7", "0.8")
    assert table.rows[:3] == [
        ("Baseline", "paper", "78.93", "69.61", "52.97", "29.54"),
        ("", "here", "77.12", "", "", ""),
        ("[7] Cut-Paste-Learn", "paper", "76.65", "66.88", "52.12", "28.82"),
    ]
    assert table.rows[-1] == ("", "here", "80.00", "", "", "33.33")
    assert len(table.rows) == 5 + 2
    assert "on the test images of this recipe" in table.caption
    settings = {"paper": ["table_4"], "train": {"kind": "coco"}, "val": 0.2, "test": None}
    assert "on the validation images of this recipe" in paper_tables(settings, ours)[0].caption
    (coco,) = paper_tables({"paper": ["table_4"]}, {"none": {"ap50": 0.4, "ap60": 0.3, "voc07_ap50": 0.5}})
    assert coco.rows[1] == ("", "here", "50.00", "30.00", "", "")


def test_an_accuracy_is_an_error_in_table_1():
    (table,) = paper_tables({"paper": ["table_1"]}, {"learned": {"accuracy": 0.9925}})
    assert table.rows[-2:] == [("Ours", "paper", "0.99"), ("", "here", "0.75")]


def test_classes_are_columns_in_table_3():
    (table,) = paper_tables({"paper": ["table_3"]}, {"learned-d": {"hunts_sauce": 0.75, "red_bull": 0.5, "ap50": 0.25}})
    assert table.rows[-1] == (
        "Ours with a discriminator (not printed)", "here", *[""] * 3, "75.0", *[""] * 6, "50.0", "25.0",
    )  # fmt: skip


def test_hard_shares_are_told_over_the_rivals():
    shares = {
        "cut_paste_learn": HardShares(proposes=[0.25, 0.15], keeps=[0.2]),
        "learned": HardShares(proposes=[0.5], keeps=[0.8, 0.8]),
    }
    (table,) = paper_tables({"paper": ["figure_8"]}, {}, shares)
    over = "over cut-paste-learn's"
    assert table.columns == ["Arm", "Proposes, p below 0.5", over, "Keeps, p below 0.5", over]
    assert table.rows == [
        ["cut-paste-learn", "20.0% (15.0% to 25.0%)", "", "20.0% (20.0% to 20.0%)", ""],
        ["learned", "50.0% (50.0% to 50.0%)", "2.50", "80.0% (80.0% to 80.0%)", "4.00"],
        ["Ours, in the paper", "", "above 2", "", "above 2"],
    ]
    older = {arm: HardShares(proposes=[], keeps=one.keeps) for arm, one in shares.items()}
    (table,) = paper_tables({"paper": ["figure_8"]}, {}, older)
    assert table.columns == ["Arm", "Keeps, p below 0.5", over]


def test_curves_are_of_accuracy_alone():
    settings = {"paper": ["figure_7"]}
    assert [curve.y for curve in paper_curves(settings, "accuracy")] == [[0.17, 0.4, 0.9], [0.17, 0.8, 0.9]]
    assert paper_curves(settings, "ap50") == []
    assert paper_curves({}, "accuracy") == []


def test_a_proofs_page_shows_what_its_recipe_names(drawn):
    proof, _ = drawn.proof()
    proof["by_class"] = {arm: {"cat": 0.5, "dog": None} for arm in proof["arms"]}
    page = prove_page("name: a\npaper: [table_4, figure_8]\n", drawn.proved(proof))
    headings = [table.heading for table in page.tables]
    assert headings[1:4] == [
        "The paper's Table 4 and ours", "The paper's Fig. 8 and ours", "AP at IoU 0.5 by class",
    ]  # fmt: skip
    assert page.tables[3].rows[0][:2] == ("cat", "0.500")
    assert page.tables[3].rows[1][1] == ""
