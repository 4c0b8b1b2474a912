"""The page as a user sees it: opened from disk in headless Chromium, by mouse and by keyboard."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from docs.chromium import CHROMIUM_FLAGS
from kaggle_dsb.report.page import write_page
from kaggle_dsb.report.results import ImageResult
from tests.report.examples import ABOUT, N_PICTURES, make_picture

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 120_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_FLAGS, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(path, pictures, ABOUT)
    return path


def open_page(browser, path: Path, scheme="light"):
    """Open a page whose every message on the console fails the test that closes it."""
    page = browser.new_context(color_scheme=scheme).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.faults = []
    page.on("console", lambda message: page.faults.append(message.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on(
        "request",
        lambda r: r.url.startswith(("file:", "data:", "blob:")) or page.faults.append(r.url),
    )
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(browser, report):
    page = open_page(browser, report)
    yield page
    faults = page.faults
    page.context.close()
    assert faults == []


def shown(page):
    return page.locator("#grid > li:visible").count()


def wait_until_drawn(page):
    page.wait_for_function(
        "document.getElementById('stage').dataset.drawn"
        " === document.getElementById('viewer-title').textContent"
    )


def open_first(page):
    page.locator("#grid > li:visible .thumb").first.click()
    wait_until_drawn(page)


def ink(page, part=(0, 1)):
    """Count the pixels that the outlines cover, in a part of the width."""
    return page.evaluate(
        """([start, stop]) => {
          const drawn = document.getElementById("outlines");
          const { width, height } = drawn;
          const copy = Object.assign(document.createElement("canvas"), { width, height });
          const pen = copy.getContext("2d", { willReadFrequently: true });
          pen.drawImage(drawn, 0, 0);
          const [left, right] = [start * width, stop * width];
          const data = pen.getImageData(left, 0, right - left, height).data;
          return data.filter((value, i) => i % 4 === 3 && value > 0).length;
        }""",
        part,
    )


def transform(page):
    return page.evaluate("getComputedStyle(document.getElementById('layers')).transform")


def point_at(page, row, column):
    """Move the mouse to the middle of a pixel of the open image."""
    page.mouse.move(
        *page.evaluate(
            """([row, column]) => {
              const layers = document.getElementById("layers");
              const scale = new DOMMatrix(getComputedStyle(layers).transform).a;
              const box = layers.getBoundingClientRect();
              return [box.left + (column + 0.5) * scale, box.top + (row + 0.5) * scale];
            }""",
            [row, column],
        )
    )


def test_all_thumbnails_are_printed(page):
    assert len(re.findall(rb"/Subtype\s*/Image", page.pdf())) >= N_PICTURES


def test_the_thumbnails_grow_with_the_slider(page):
    width = page.locator("#grid img").first.bounding_box()["width"]
    page.locator('input[name="size"]').fill("480")
    assert page.locator("#grid img").first.bounding_box()["width"] > 1.5 * width


def test_a_filter_by_type_hides_the_other_images(page):
    n_tissue = page.locator("#rows tbody tr").filter(has_text="tissue").count()
    assert 0 < n_tissue < N_PICTURES
    for kind in ("fluorescence", "brightfield"):
        box = page.locator(f'input[name="type"][value="{kind}"]')
        if box.count():
            box.uncheck()
    assert shown(page) == n_tissue
    assert page.locator("#count").text_content() == f"{n_tissue} of {N_PICTURES} images"


def test_an_id_is_found_by_how_it_begins(page):
    page.locator('input[name="id"]').fill("03")
    assert shown(page) == 1
    page.locator('input[name="id"]').fill("zz")
    assert page.locator("#count").text_content() == f"0 of {N_PICTURES} images"


def test_filters_that_leave_nothing_say_so_and_can_be_undone(page):
    assert not page.locator("#nothing").is_visible()
    page.locator('input[name="id"]').fill("zz")
    assert page.locator("#nothing").is_visible()
    page.locator("#show-all").click()
    assert shown(page) == N_PICTURES
    assert not page.locator("#nothing").is_visible()


def counts_in_table(page):
    cells = page.locator("#rows tbody tr td:nth-child(7)").all_text_contents()
    return list(map(int, cells))


def test_sorting_puts_the_largest_count_first(page):
    page.locator('label:has(input[name="view"][value="table"])').click()
    page.locator('select[name="sort"]').select_option("-nPredicted")
    assert counts_in_table(page) == sorted(counts_in_table(page), reverse=True)


def test_a_click_on_a_header_sorts_and_a_second_one_turns_the_order(page):
    page.locator('label:has(input[name="view"][value="table"])').click()
    header = page.locator('th[data-key="nPredicted"]')
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert counts_in_table(page) == sorted(counts_in_table(page))
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert counts_in_table(page) == sorted(counts_in_table(page), reverse=True)
    assert page.locator("#rows .thumb img").first.evaluate("image => image.naturalWidth") > 0


def test_the_address_keeps_what_is_shown(page):
    page.locator('label:has(input[name="view"][value="table"])').click()
    page.locator('th[data-key="id"] button').click()
    page.locator('input[name="type"][value="fluorescence"]').uncheck()
    page.reload()
    assert page.locator("#rows").is_visible()
    assert page.locator('th[data-key="id"]').get_attribute("aria-sort") == "ascending"
    assert not page.locator('input[name="type"][value="fluorescence"]').is_checked()
    page.locator("#rows tbody tr:visible .thumb").first.click()
    wait_until_drawn(page)
    title = page.locator("#viewer-title").text_content()
    page.reload()
    wait_until_drawn(page)
    assert page.locator("#viewer-title").text_content() == title


def test_the_score_is_on_the_screen_of_a_phone(browser, report):
    page = open_page(browser, report)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator('label:has(input[name="view"][value="table"])').click()
    box = page.locator("#rows td.score").first.bounding_box()
    assert box["x"] + box["width"] <= 360
    page.context.close()


def test_on_a_phone_nothing_covers_what_the_pointer_tells(browser, report):
    page = open_page(browser, report)
    page.set_viewport_size({"width": 390, "height": 844})
    open_first(page)
    point_at(page, 60, 60)
    assert page.locator("#tip").text_content()
    tip, zoom = (page.locator(name).bounding_box() for name in ("#tip", ".zoom"))
    assert tip["y"] + tip["height"] <= zoom["y"]
    page.context.close()


def test_on_a_phone_each_error_stands_in_one_line(browser, report):
    page = open_page(browser, report)
    page.set_viewport_size({"width": 390, "height": 844})
    heights = page.evaluate(
        "[...document.querySelectorAll('.errors li')].map((li) => li.clientHeight)"
    )
    assert max(heights) < 30
    page.context.close()


def test_layers_are_toggled_with_the_mouse(page):
    open_first(page)
    both = ink(page)
    page.locator("#show-truth").uncheck()
    first = ink(page)
    page.locator("#show-predicted").uncheck()
    assert both >= first > ink(page) == 0


def test_layers_are_toggled_with_the_keyboard(page):
    page.locator("#grid .thumb").first.focus()
    page.keyboard.press("Enter")
    wait_until_drawn(page)
    page.keyboard.press("p")
    page.keyboard.press("t")
    assert ink(page) == 0
    page.keyboard.press("o")
    assert ink(page) > 0
    page.keyboard.press("b")
    assert page.locator("#layer-map").is_visible()
    page.keyboard.press("i")
    assert not page.locator("#layer-map").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


def test_an_outcome_can_be_shown_alone(page):
    open_first(page)
    for name in ("hit", "missed", "invented", "merged", "split"):
        page.locator(f'input[name="outcome-box"][value="{name}"]').uncheck()
    assert ink(page) == 0
    page.locator('input[name="outcome-box"][value="merged"]').check()
    assert ink(page) > 0


def test_the_arrow_keys_go_through_the_images_that_the_filter_left(page):
    page.locator('input[name="type"][value="fluorescence"]').uncheck()
    left = shown(page)
    open_first(page)
    first = page.locator("#viewer-title").text_content()
    assert page.locator("#viewer-place").text_content() == f"1 of {left}"
    page.keyboard.press("ArrowRight")
    wait_until_drawn(page)
    assert page.locator("#viewer-title").text_content() != first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-title").text_content() == first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#viewer-place").text_content() == f"1 of {left}"


def test_zooming_in_and_fitting_again_leaves_the_picture_as_it_was(page):
    open_first(page)
    fitted = transform(page)
    page.keyboard.press("+")
    assert transform(page) != fitted
    page.keyboard.press("0")
    assert transform(page) == fitted


def test_the_next_image_keeps_the_zoom(page):
    open_first(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    scale = "new DOMMatrix(getComputedStyle(document.getElementById('layers')).transform).a"
    zoomed = page.evaluate(scale)
    page.keyboard.press("ArrowRight")
    wait_until_drawn(page)
    assert page.evaluate(scale) == zoomed


def test_a_nucleus_tells_what_happened_to_it(page):
    open_first(page)
    point_at(page, 2, 2)
    assert "predicted nucleus" in page.locator("#tip").text_content()


def test_the_pointer_tells_place_and_levels_of_the_image_before_its_stretch(page, pictures):
    open_first(page)
    id_ = page.locator("#viewer-title").text_content()
    image = next(picture.image for picture in pictures if picture.id == id_)
    point_at(page, 20, 30)
    told = page.locator("#tip").text_content()
    place, *levels = map(int, re.findall(r"\d+", told.splitlines()[0]))
    assert (place, levels[0]) == (20, 30)
    around = image[15:26, 25:36].reshape(-1, 3).astype(int)
    assert around.min() - 10 <= min(levels[1:]) <= max(levels[1:]) <= around.max() + 10
    assert "probability: nucleus " in told


def test_an_image_beyond_the_limit_of_webp_is_drawn_reduced_and_said_to_be(browser, tmp_path):
    image = np.full((40, 20_000, 3), 120, np.uint8)
    image[:, 10_000:] = 200
    labels = np.zeros(image.shape[:2], np.int32)
    labels[10:30, 14_000:16_000] = 1
    body = (labels > 0).astype(np.float32)
    write_page(
        tmp_path / "large.html",
        [ImageResult("large", "tissue", image, labels, probability=np.stack([body, 0 * body]))],
        ABOUT,
    )
    page = open_page(browser, tmp_path / "large.html")
    open_first(page)
    facts = page.locator("#viewer-facts").text_content()
    assert facts.endswith("20000 by 40 pixels; 1 nuclei predicted; drawn at 1/2 of its size")
    told = []
    for column in (5_000, 15_000):
        point_at(page, 20, column)
        told.append(page.locator("#tip").text_content().splitlines())
    left, right = told
    assert re.fullmatch(r"row 20, column \d{4}: level 1(19|20|21)", left[0])
    assert re.fullmatch(r"row 20, column \d{5}: level (199|200|201)", right[0])
    assert right[1] == "probability: nucleus 1.00, touching border 0.00"
    assert page.faults == []
    page.context.close()


def test_brightness_and_contrast_change_the_image_until_they_are_reset(page):
    open_first(page)
    shown_by = "document.getElementById('layer-image').style.filter"
    page.locator("#brightness").fill("250")
    page.locator("#contrast").fill("150")
    assert page.evaluate(shown_by) == "brightness(250%) contrast(150%)"
    page.keyboard.press("r")
    assert page.evaluate(shown_by) == "brightness(100%) contrast(100%)"


def open_beside_nothing(browser, picture, path):
    """Open a picture's page, the truth hidden, whose earlier prediction found no nucleus."""
    empty = dataclasses.replace(picture, baseline=0 * picture.predicted)
    write_page(path, [empty], dataclasses.replace(ABOUT, baseline="earlier"))
    page = open_page(browser, path)
    open_first(page)
    page.keyboard.press("t")
    return page


def test_two_predictions_are_toggled(browser, pictures, tmp_path):
    page = open_beside_nothing(browser, pictures[0], tmp_path / "report.html")
    assert ink(page) > 0
    page.keyboard.press("c")
    assert ink(page) == 0
    page.keyboard.press("c")
    assert ink(page) > 0
    assert page.faults == []
    page.context.close()


def test_two_predictions_are_shown_side_by_side_at_one_zoom(browser, pictures, tmp_path):
    page = open_beside_nothing(browser, pictures[0], tmp_path / "report.html")
    page.keyboard.press("v")
    assert page.locator(".pane small").all_inner_texts() == ["earlier", "this"]
    assert ink(page, (0, 0.5)) == 0
    assert ink(page, (0.5, 1)) > 0
    page.keyboard.press("+")
    left, right = page.locator(".layers").all()
    style = "element => getComputedStyle(element).transform"
    assert left.evaluate(style) == right.evaluate(style)
    boxes = [pane.bounding_box() for pane in page.locator(".pane").all()]
    assert boxes[0]["x"] + boxes[0]["width"] == boxes[1]["x"]
    page.keyboard.press("v")
    assert ink(page, (0, 0.5)) > 0
    assert not page.locator(".pane small").first.is_visible()
    assert page.faults == []
    page.context.close()


def test_the_theme_follows_the_system_until_it_is_chosen(browser, report):
    page = open_page(browser, report, scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != dark
    page.locator("#theme").click()
    assert page.evaluate(ground) == dark
    assert page.faults == []
    page.context.close()


def test_a_page_without_truth_offers_no_truth(browser, tmp_path):
    path = tmp_path / "report.html"
    write_page(path, [make_picture(1, with_truth=False, with_maps=False)], ABOUT)
    page = open_page(browser, path)
    open_first(page)
    assert ink(page) > 0
    assert not page.locator("#show-truth").is_visible()
    assert not page.locator("#opacity").is_visible()
    toggle = page.locator("label:has(#show-predicted)").bounding_box()
    assert toggle["width"] > 150
    assert page.locator('select[name="sort"]').input_value() == "id"
    assert page.faults == []
    page.context.close()
