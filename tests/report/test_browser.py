"""The page in a real browser. Each test fails on a console message, a page error or a request to the network."""

from dataclasses import replace

import pytest

from terse.page_figures import ShownFigures
from terse.pictures.page_folder import Shown
from terse.report.coverage import coverage_charts
from terse.report.page import build_page
from terse.report.proof_page import prove_page
from terse.report.run_page import train_page
from terse.results import hardness_counts

COUNT = 240


@pytest.fixture(scope="module")
def paths(drawn, tmp_path_factory):
    """The page with its charts and without: unpacking plotly takes a second that most tests need not spend."""
    data = train_page(
        drawn.RECIPE,
        drawn.run({**drawn.result(), "alarms": [drawn.HOSTILE]}),
        name=drawn.HOSTILE,
        shown=Shown(
            ShownFigures(hardness={"cycle 1": hardness_counts([item.hardness for item in drawn.items(COUNT)])}),
            gallery=drawn.gallery(COUNT),
            sheets=drawn.sheets(),
            pairs=drawn.pairs(),
        ),
    )
    coverage = drawn.seen(drawn.covered("learned"))
    settled = drawn.proof()[0] | {"hardness": {"learned": {"counts": [0] * 10 + [1] + [0] * 8 + [1], "mean": 0.7}}}
    proof = prove_page(drawn.RECIPE, drawn.proved(settled), coverage={"learned": coverage})
    proof = replace(proof, charts=[*proof.charts, *coverage_charts(coverage)])
    folder = tmp_path_factory.mktemp("page")
    return {
        "charts": build_page(data, folder / "report.html"),
        "proof": build_page(proof, folder / "proof.html"),
        "no charts": build_page(replace(data, charts=()), folder / "plain.html"),
    }


LOCAL = ("file:", "data:", "blob:")
WIDE = ("no charts", 1280, 900)
WITH_CHARTS = pytest.mark.parametrize("page", [("charts", 1280, 900)], indirect=True, ids=["charts"])
PROOF = pytest.mark.parametrize("page", [("proof", 360, 740)], indirect=True, ids=["proof"])
NARROW = pytest.mark.parametrize("page", [("charts", 360, 740)], indirect=True, ids=["narrow"])


@pytest.fixture(scope="module")
def windows(browser):
    """One window a size, with what its page has complained of."""
    opened = {}

    def window(width, height):
        if (width, height) not in opened:
            context = browser.new_context(viewport={"width": width, "height": height})
            context.set_default_timeout(120_000)  # this machine may be busy with other tests
            page, complaints = context.new_page(), []
            page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
            page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("request", lambda r: None if r.url.startswith(LOCAL) else complaints.append(r.url))
            opened[width, height] = page, complaints
        return opened[width, height]

    yield window
    for page, _ in opened.values():
        page.context.close()


@pytest.fixture
def page(windows, paths, request):
    kind, width, height = getattr(request, "param", WIDE)
    opened, complaints = windows(width, height)
    complaints.clear()
    opened.emulate_media(color_scheme="light")
    opened.goto(paths[kind].as_uri())
    opened.wait_for_selector("html[data-ready]")
    yield opened
    assert complaints == []


def draw_all(page):
    """Bring every chart into view until it is drawn."""
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].every((n) => n.dataset.drawn)")


def cards(page):
    """Labels of the cards that exist, in reading order."""
    return page.locator(".card").evaluate_all("(nodes) => nodes.map((n) => n.getAttribute('aria-label'))")


def settle(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def focus_is_on(page, position):
    """A dialog's close event is a task of its own, after the dialog is hidden; focus moves with it."""
    page.wait_for_function("(position) => document.activeElement.dataset.position === position", arg=position)


@WITH_CHARTS
def test_the_charts_hold_the_numbers_of_the_result(page, drawn):
    draw_all(page)
    result = drawn.result()
    trace = page.evaluate("() => { const t = document.getElementById('curve-samples').data[0]; return [t.x, t.y]; }")
    assert trace == [
        [0, *(cycle["samples"] for cycle in result["cycles"])],
        [0.185, *(cycle["accuracy"] for cycle in result["cycles"])],
    ]
    rates = page.evaluate("() => document.getElementById('hard-rate').data[0].y")
    assert rates == [cycle["hard_rate"] for cycle in result["cycles"]]
    assert page.locator("#curve-samples path.point").count() == 6


@PROOF
def test_a_proof_draws_its_intervals_and_its_map(page, drawn):
    draw_all(page)
    proof, _ = drawn.proof()
    gains = page.evaluate(
        "() => document.getElementById('gains').data.filter((t) => t.error_x).map((t) => [t.name, t.x[0]])"
    )
    assert dict(gains) == {name.replace("_", "-"): gain["mean"] for name, gain in proof["gains"].items()}
    assert page.locator("#gains path.xerror").count() == len(gains)
    assert page.locator("#positions .heatmaplayer image").count() == 1
    assert page.locator(".verdict.good strong").inner_text() == "Go"
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360


@WITH_CHARTS
def test_the_colours_of_a_chart_follow_the_scheme(page):
    draw_all(page)
    line = page.locator("#curve-samples .js-line").first
    light = line.evaluate("(n) => getComputedStyle(n).stroke")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "(light) => getComputedStyle(document.querySelector('#curve-samples .js-line')).stroke !== light", arg=light
    )
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
    assert (light, line.evaluate("(n) => getComputedStyle(n).stroke")) == ("rgb(37, 99, 235)", "rgb(110, 163, 255)")


def test_an_arm_of_ones_own_has_one_colour_that_no_other_arm_has(page):
    names = ["learned", "learned-no-d", "mined", "learned-no-d", "own"]
    colours = page.evaluate(
        "(names) => themedTraces(names.map((tone) => ({ meta: { tone } }))).map((trace) => trace.marker.color)", names
    )
    assert colours[1] == colours[3]
    assert len(set(colours)) == 4
    of_all = ["none", "random", "mined", "learned", "a", "b", "c", "d", "e"]
    tones = "(names) => tonesOf(names.map((tone) => ({ meta: { tone } })))"
    colours = dict(zip(of_all, page.evaluate(tones, of_all), strict=True))
    assert len(set(colours.values())) == len(of_all)
    some = ["e", "mined", "c"]
    assert page.evaluate(tones, some) == [colours[name] for name in some]  # in every chart of the page


def test_a_hostile_name_is_text_everywhere(page, drawn):
    assert drawn.HOSTILE in page.locator(".overline .name").inner_text()
    assert drawn.HOSTILE in page.locator("select[name=class] option").all_inner_texts()
    page.locator("select[name=class]").select_option(label=drawn.HOSTILE)
    settle(page)
    assert page.locator(".card .label").first.inner_text() == drawn.HOSTILE
    page.locator(".card").first.click()
    assert page.locator("#viewer-heading").inner_text() == drawn.HOSTILE
    assert drawn.HOSTILE in page.locator(".tag").all_inner_texts()[-1]
    page.keyboard.press("Escape")


def test_the_filters_filter_and_reset(page, drawn):
    wanted = [
        item for item in drawn.items(COUNT) if item.class_name == "1" and item.cycle == 2 and item.arm == "random"
    ]
    page.locator("select[name=class]").select_option(label="1")
    page.locator("select[name=cycle]").select_option("2")
    page.locator("select[name=arm]").select_option(label="random")
    settle(page)
    assert page.locator("#count").inner_text() == f"{len(wanted)} of {COUNT} images"
    assert cards(page) == [f"1, hardness {item.hardness:.2f}, cycle 2, random" for item in wanted]
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function(f"() => document.getElementById('count').textContent === '{COUNT} images'")


def test_the_range_of_hardness_filters_and_the_order_sorts(page, drawn):
    page.locator("input[name=low]").fill("0.5")
    page.locator("input[name=high]").fill("0.8")
    page.locator("select[name=order]").select_option("hard")
    settle(page)
    wanted = sorted((item.hardness for item in drawn.items(COUNT) if 0.5 <= item.hardness <= 0.8), reverse=True)
    assert page.locator("#count").inner_text() == f"{len(wanted)} of {COUNT} images"
    shown = [float(text) for text in page.locator(".card .value").all_inner_texts()]
    assert shown == [float(f"{value:.2f}") for value in wanted[: len(shown)]]


def test_boxes_and_masks_are_toggled(page):
    def layers():
        settle(page)
        return page.locator(".card .box").count() > 0, page.locator(".card .mask").count() > 0

    assert layers() == (True, False)
    page.locator("input[name=masks]").check()
    page.locator("input[name=boxes]").uncheck()
    assert layers() == (False, True)


def test_a_click_shows_the_record_and_arrows_go_on(page):
    page.locator(".card").nth(2).click()
    assert '"foreground": "mnist:2"' in page.locator("#viewer-side pre").inner_text()
    page.locator("#viewer-next").click()
    assert '"foreground": "mnist:3"' in page.locator("#viewer-side pre").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert '"foreground": "mnist:1"' in page.locator("#viewer-side pre").inner_text()
    page.locator("#viewer-close").click()
    assert not page.locator("#viewer").is_visible()
    focus_is_on(page, "1")


def test_the_gallery_works_by_keyboard_alone(page):
    page.locator("#filters button[type=reset]").focus()
    page.keyboard.press("Tab")
    position = "() => document.activeElement.dataset.position"
    assert page.evaluate(position) == "0"
    columns = page.evaluate("() => window.gallery.grid.columns")
    for key, expected in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("End", COUNT - 1), ("Home", 0)):
        page.keyboard.press(key)
        assert page.evaluate(position) == str(expected), key
    for key, expected in (("Enter", "1"), ("Space", "2")):
        page.keyboard.press(key)
        page.locator("#viewer").wait_for(state="visible")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Escape")
        page.locator("#viewer").wait_for(state="hidden")
        focus_is_on(page, expected)
    assert page.locator(".card[tabindex='0']").count() == 1


def test_only_the_cards_near_the_window_exist(page):
    settle(page)
    assert page.locator(".card").count() < 90
    page.evaluate("() => { const s = document.getElementById('scroller'); s.scrollTop = s.scrollHeight; }")
    page.wait_for_selector(f".card[data-position='{COUNT - 1}']")
    assert page.locator(".card").count() < 90
    drawn = page.evaluate("() => [...document.querySelectorAll('.card img')].pop().decode().then(() => true)")
    assert drawn


@NARROW
def test_a_narrow_window_shows_all_without_scrolling_sideways(page):
    draw_all(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    settle(page)
    page.locator(".card").first.click()
    assert page.evaluate("() => document.getElementById('viewer').scrollWidth") <= 360
    page.keyboard.press("Escape")


def test_before_and_after_stand_side_by_side_and_open(page):
    assert page.locator(".pair").count() == 6
    first = page.locator(".pair").first
    assert first.locator("figcaption").all_inner_texts() == ["Before 1 of 2 found", "After 2 of 2 found, 1 false alarm"]
    assert first.locator("rect.missed").count() == 1
    assert first.locator("rect.correct").count() == 3
    first.locator("button").nth(1).click()
    assert page.locator("#viewer-heading").inner_text() == "After: 2 of 2 found, 1 false alarm"


def test_a_sheet_opens_large_and_gives_the_focus_back(page):
    button = page.locator(".enlarge").first
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#viewer-image img").get_attribute("alt") == "Twenty samples of cycle 1"
    assert page.locator("#viewer-next").is_hidden()
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement === document.querySelector('.enlarge')")


@WITH_CHARTS
def test_every_control_has_a_name_and_every_image_a_text(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, a[href], summary, [role=img], [tabindex="0"]')]
        .filter((n) => !n.closest('[hidden]') && !(n.getAttribute('aria-label') || n.getAttribute('aria-labelledby')
          || (n.getAttribute('role') !== 'group' && n.textContent.trim()) || (n.labels && n.labels.length))).map((n) => n.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert page.locator("img:not([alt])").count() == 0


CONTRAST = """() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (n) => { for (; n; n = n.parentElement) { const c = getComputedStyle(n).backgroundColor; if (c.startsWith('rgb') && parse(c)[3] > .9) return parse(c); } return [255, 255, 255, 1]; };
  const found = [];
  for (const n of document.querySelectorAll('p, h1, h2, h3, dt, dd, td, th, a, summary, figcaption, label, legend, button, .caption span, .tag, strong')) {
    if (!n.textContent.trim() || n.closest('.hidden, .skip, noscript, dialog') || getComputedStyle(n).color.startsWith('color')) continue;
    const [a, b] = [light(parse(getComputedStyle(n).color)), light(ground(n))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) found.push(`${n.tagName}.${n.className} ${((a + .05) / (b + .05)).toFixed(2)}`);
  }
  return [...new Set(found)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    page.emulate_media(color_scheme=scheme)
    settle(page)
    assert page.evaluate(CONTRAST) == []


def test_copying_a_command_says_so(page):
    button = page.locator(".copy").first
    button.click()
    page.wait_for_function(
        "() => ['Copied', 'Selected'].includes(document.querySelector('.copy').firstChild.textContent)"
    )
