"""The page of made masks in a real browser: ticking off by keyboard, and the list that is saved."""

import json
from dataclasses import replace

import pytest

from terse.pictures.gallery import Gallery, Picking
from terse.report.masks_page import masks_page
from terse.report.page import build_page


@pytest.fixture
def write(drawn, tmp_path):
    """Writes the page of 12 masks, of which these are ticked."""

    def written(*ticked, seed=0):
        items = drawn.items(12, seed=seed)
        items = [replace(item, key=f"set:{i}.png:0", hardness=i / 12) for i, item in enumerate(items)]
        gallery = Gallery(items, picking=Picking("Drop", "Tick the bad ones.", "masks-drop.json", ticked))
        data = masks_page("boxes.json", {"grabcut": 12}, [], gallery, failed=[("set:a.png:1", "nothing stands out")])
        return build_page(data, tmp_path / "masks.html").as_uri()

    return written


def show(page, address):
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector(".card")


@pytest.fixture
def page(write, browser):
    opened, complaints = browser.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    show(opened, write("set:11.png:0"))
    yield opened
    opened.close()
    assert complaints == []


def saved(page, tmp_path):
    with page.expect_download() as download:
        page.click("#save-ticked")
    assert download.value.suggested_filename == "masks-drop.json"
    download.value.save_as(tmp_path / "list.json")
    return json.loads((tmp_path / "list.json").read_text())


def test_masks_are_ticked_by_keyboard_and_by_mouse_and_the_list_is_saved(page, tmp_path):
    assert page.inner_text("#ticked") == "1 of 12 ticked"
    page.locator(".card").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("x")
    page.locator(".tick").nth(4).check()
    assert page.inner_text("#ticked") == "3 of 12 ticked"
    assert saved(page, tmp_path) == {"drop": ["set:0.png:0", "set:11.png:0", "set:4.png:0"]}


def test_all_that_is_shown_is_ticked_at_once_and_the_enlarged_one_by_x(page, tmp_path):
    page.evaluate(
        "document.forms.filters.elements.high.value = 0.2; document.forms.filters.dispatchEvent(new Event('input'))"
    )
    page.click("#tick-shown")
    assert page.inner_text("#ticked") == "4 of 12 ticked"
    page.locator(".card").first.click()
    page.keyboard.press("x")
    assert "no (X ticks it)" in page.inner_text("#viewer-side")
    page.keyboard.press("Escape")
    assert saved(page, tmp_path) == {"drop": ["set:1.png:0", "set:11.png:0", "set:2.png:0"]}


def test_what_was_ticked_is_there_when_the_page_is_loaded_again(page):
    page.locator(".card").first.focus()
    page.keyboard.press("x")
    ticked = page.locator("#ticked", has_text="2 of 12 ticked")
    ticked.wait_for()
    page.reload()
    ticked.wait_for()


def test_a_page_that_is_written_again_shows_what_the_file_leaves_out(page, write, tmp_path):
    page.locator(".card").first.focus()
    page.keyboard.press("x")
    show(page, write("set:3.png:0", "set:11.png:0"))
    assert saved(page, tmp_path) == {"drop": ["set:11.png:0", "set:3.png:0"]}
    show(page, write("set:11.png:0"))
    assert saved(page, tmp_path) == {"drop": ["set:0.png:0", "set:11.png:0"]}  # the same page again


def test_ticks_of_other_masks_under_the_same_names_are_not_taken(page, write):
    page.locator(".card").first.focus()
    page.keyboard.press("x")
    show(page, write("set:11.png:0", seed=1))
    assert page.inner_text("#ticked") == "1 of 12 ticked"


def test_objects_without_a_mask_are_named(page):
    assert page.inner_text("h1") == "12 masks made from boxes"
    assert "nothing stands out" in page.inner_text("#tables")
