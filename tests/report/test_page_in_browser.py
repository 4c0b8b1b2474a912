"""The page as a user sees it: opened from disk in headless Chromium, by mouse and by keyboard."""

import shutil
from pathlib import Path

import pytest

from kaggle_dsb.report.page import write_page
from tests.report.examples import ABOUT, N_PICTURES, make_picture

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 120_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS)
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
    return page.locator("#rows tbody tr:visible").count()


def wait_until_drawn(page):
    page.wait_for_function(
        "document.getElementById('stage').dataset.drawn"
        " === document.getElementById('viewer-title').textContent"
    )


def open_first(page):
    page.locator("#rows tbody tr:visible .thumb").first.click()
    wait_until_drawn(page)


def ink(page):
    """Count the pixels that the outlines cover."""
    return page.evaluate(
        """() => {
          const drawn = document.getElementById("outlines");
          const { width, height } = drawn;
          const copy = Object.assign(document.createElement("canvas"), { width, height });
          const pen = copy.getContext("2d", { willReadFrequently: true });
          pen.drawImage(drawn, 0, 0);
          const data = pen.getImageData(0, 0, width, height).data;
          return data.filter((value, i) => i % 4 === 3 && value > 0).length;
        }"""
    )


def test_a_thumbnail_is_drawn_only_as_it_comes_into_view(page):
    assert shown(page) == N_PICTURES
    drawn = "[...document.querySelectorAll('.thumb img')].filter(i => i.naturalWidth > 0).length"
    assert page.evaluate(drawn) < N_PICTURES
    page.locator("#rows tbody tr").last.scroll_into_view_if_needed()
    page.wait_for_function(f"{drawn} === {N_PICTURES}")


def test_a_filter_by_type_hides_the_other_images(page):
    rows = page.locator("#rows tbody tr")
    n_tissue = rows.filter(has_text="tissue").count()
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


def test_sorting_puts_the_largest_count_first(page):
    page.locator('select[name="sort"]').select_option("nPredicted")
    counts = page.locator("#rows tbody tr td:nth-child(7)").all_text_contents()
    assert list(map(int, counts)) == sorted(map(int, counts), reverse=True)


def test_layers_are_toggled_with_the_mouse(page):
    open_first(page)
    both = ink(page)
    page.locator("#show-truth").uncheck()
    one = ink(page)
    page.locator("#show-predicted").uncheck()
    assert both >= one > ink(page) == 0


def test_layers_are_toggled_with_the_keyboard(page):
    page.locator("#rows .thumb").first.focus()
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
    style = "getComputedStyle(document.getElementById('layers')).transform"
    fitted = page.evaluate(style)
    page.keyboard.press("+")
    assert page.evaluate(style) != fitted
    page.keyboard.press("0")
    assert page.evaluate(style) == fitted


def test_a_nucleus_tells_what_happened_to_it(page):
    open_first(page)
    place = page.evaluate(
        """() => {
          const layers = document.getElementById("layers");
          const scale = new DOMMatrix(getComputedStyle(layers).transform).a;
          const box = layers.getBoundingClientRect();
          return [box.left + 2.5 * scale, box.top + 2.5 * scale];
        }"""
    )
    page.mouse.move(*place)
    assert "predicted nucleus" in page.locator("#tip").text_content()


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
    assert page.faults == []
    page.context.close()
