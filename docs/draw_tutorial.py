"""Draw the pictures of docs/tutorial.md: run its commands in miniature and photograph the pages.

Run `make tutorial-pictures`. It needs Chromium, and leaves its images, runs and submissions in
build/tutorial; a step whose result is there is not done again.
"""

import html
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from docs.chromium import CHROMIUM_FLAGS
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.report.display import parse_colour
from kaggle_dsb.report.outcomes import COLOURS

PICTURES = Path(__file__).parent / "tutorial"
WORK = Path("build/tutorial").resolve()
CELLS = WORK / "cells"
N_CELLS = 6
BEFORE, AFTER, RUN = "before", "after", "mine"
TRAINING = (
    "training.start_from=bundled",
    "training.epochs=3",
    "training.crops_per_epoch=96",
    "training.learning_rate=5e-4",
)
WIDTH, HEIGHT = 1280, 760
CSV_LINES, CSV_COLUMNS = 4, 100
TERMINAL = """<body style="margin:0;background:#1d2129;color:#e8eaed"><pre style="margin:0;
padding:22px 28px;font:17px/26px 'DejaVu Sans Mono',monospace;white-space:pre-wrap">{}</pre>"""


def run(*arguments: str, makes: str) -> None:
    """Run a verb of the command line in the folder of the tutorial, unless its result is there.

    What it prints is kept beside the result.
    """
    made = WORK / makes
    if made.exists():
        return
    command = Path(sys.executable).with_name("kaggle-dsb")
    done = subprocess.run(
        [command, *arguments],
        cwd=WORK,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    made.with_suffix(".txt").write_text(done.stdout)


def write_cells() -> None:
    """Write labelled images of one's own: a picture and a label image each."""
    for number in range(N_CELLS):
        image, labels = make_image(1000 + number, look=number)
        path = CELLS / "images" / f"cell{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        write_labels(CELLS / "labels" / path.name, labels)


def run_tutorial() -> None:
    """Run the tutorial's commands."""
    run("submit", "--name", "demo", makes="submissions/demo/made.json")
    run("report", "demo", makes="submissions/demo/report.html")
    write_cells()
    cells = ("--data", "cells")
    run("submit", *cells, "--fast", "--name", BEFORE, makes=f"submissions/{BEFORE}/made.json")
    run("report", BEFORE, *cells, makes=f"submissions/{BEFORE}/report.html")
    changes = [word for setting in TRAINING for word in ("--set", setting)]
    train = ("train", *cells, "--name", RUN, "--fold", "0", *changes)
    run(*train, makes=f"runs/{RUN}/fold0.safetensors")
    run("curves", f"runs/{RUN}", makes=f"runs/{RUN}/curves.png")
    weights = ("--weights", f"runs/{RUN}")
    submit = ("submit", *cells, *weights, "--fast", "--name", AFTER)
    run(*submit, makes=f"submissions/{AFTER}/made.json")
    report = ("report", AFTER, *cells, "--against", BEFORE)
    run(*report, makes=f"submissions/{AFTER}/report.html")


def open_report(browser: Browser, name: str) -> Page:
    """Open the page of a submission."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto((WORK / "submissions" / name / "report.html").as_uri())
    return page


def transcribe_start() -> str:
    """Return what a terminal shows from the fresh clone to the CSV."""
    demo = WORK / "submissions" / "demo"
    printed = (demo / "made.txt").read_text().splitlines()
    rows = (demo / "submission.csv").read_text().splitlines()[:CSV_LINES]
    shown = [row if len(row) < CSV_COLUMNS else f"{row[:CSV_COLUMNS]} …" for row in rows]
    lines = [
        "$ git clone …/kaggle_dsb.git && cd kaggle_dsb",
        "$ make submit",
        *(line for line in printed if not line.endswith(" left")),  # a terminal overwrites it
        f"$ head -{CSV_LINES} submissions/demo/submission.csv",
        *shown,
    ]
    return "\n".join(lines)


def open_terminal(browser: Browser, text: str) -> Page:
    """Open a page that looks like a terminal, with the commands in bold."""
    lines = [html.escape(line) for line in text.splitlines()]
    bold = [f"<b style='color:#8ecbff'>{x}</b>" if x.startswith("$ ") else x for x in lines]
    page = browser.new_page(viewport={"width": WIDTH, "height": 46 + 26 * (len(lines) + 1)})
    page.set_content(TERMINAL.format("\n".join(bold)))
    return page


def photograph(page: Page, name: str) -> None:
    """Write what the page shows as a PNG of few colours, which is small."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        small = reduce_colours(picture.convert("RGB"))
    small.save(path, optimize=True)
    print(path, path.stat().st_size)


def reduce_colours(picture: Image.Image) -> Image.Image:
    """Take 240 colours of a picture, and those of the outcomes as they are."""
    exact = [parse_colour(colour) for colour in COLOURS.values()]
    palette = [*(picture.quantize(240).getpalette() or [])[: 3 * 240], *sum(exact, ())]
    colours = Image.new("P", (1, 1))
    colours.putpalette(palette)
    return picture.quantize(palette=colours, dither=Image.Dither.NONE)


def photograph_pages(browser: Browser) -> None:
    """Photograph the tutorial's pages."""
    photograph(open_terminal(browser, transcribe_start()), "1-submit")
    page = open_report(browser, "demo")
    photograph(page, "2-report")
    page.locator("#images").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('images').scrollIntoView()")
    page.wait_for_timeout(500)
    photograph(page, "3-images")
    page.locator("#grid .thumb").first.click()
    page.wait_for_function(
        "document.getElementById('stage').dataset.drawn"
        " === document.getElementById('viewer-title').textContent"
    )
    page.keyboard.press("+")
    photograph(page, "4-viewer")
    for number, name in ((5, BEFORE), (7, AFTER)):
        page = open_report(browser, name)
        page.evaluate("document.getElementById('images').scrollIntoView()")
        page.wait_for_timeout(500)
        photograph(page, f"{number}-{name}")


if __name__ == "__main__":
    WORK.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    run_tutorial()
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS
        )
        photograph_pages(chromium)
        chromium.close()
    shutil.copyfile(WORK / "runs" / RUN / "curves.png", PICTURES / "6-curves.png")
