from terse.report.set_page import _of_so_many, dataset_page
from terse.results import SetResult

RESULT = {
    "out": "set", "images": 1000, "objects": 2310, "per_class": {"person": 1500, "dog": 810}, "seconds": 41.2,
    "images_per_second": 24.3, "skipped": [],
}  # fmt: skip


def test_the_set_is_counted(drawn):
    page = dataset_page(
        SetResult.model_validate(RESULT), coverage=drawn.seen(drawn.covered("learned")), sizes=[0.1, 0.4], visible=[1.0]
    )
    assert page.title == "1,000 images with 2,310 objects"
    assert page.facts[1].note == "2.31 an image"
    assert [chart.name for chart in page.charts] == ["classes", "sizes", "visible", "poses", "positions"]
    assert list(page.charts[0].figure.data[0].x) == [1500, 810]
    assert page.alarms == []


def test_figures_of_some_of_the_images_say_so(drawn):
    page = dataset_page(
        SetResult.model_validate(RESULT), coverage=drawn.seen(drawn.covered("learned")), sizes=[0.1], visible=[1.0],
        drawn=_of_so_many(600, 1000), counted=_of_so_many(1000, 1000),
    )  # fmt: skip
    captions = {chart.name: chart.caption for chart in page.charts}
    of_some = "Of 600 of 1,000 composites, evenly spread."
    assert [name for name, caption in captions.items() if caption.endswith(of_some)] == ["sizes", "visible"]
    assert "evenly spread" not in page.tables[1].caption


def test_what_was_left_out_is_named():
    page = dataset_page(SetResult.model_validate({**RESULT, "skipped": ["a.jpg: expected an image, got 12 bytes"]}))
    assert page.alarms == ["Something was left out; a table below says what and why."]
    assert page.tables[-1].rows == [("a.jpg: expected an image, got 12 bytes",)]
