import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import score_image, score_images
from kaggle_dsb.files import InputError
from kaggle_dsb.report import results
from kaggle_dsb.report.outcomes import OUTCOMES, find_outcomes
from kaggle_dsb.report.page import write_page
from kaggle_dsb.report.results import ImageResult
from tests.report.examples import ABOUT, N_PICTURES, make_picture, unpack_labels

VOID = {"meta", "link", "img", "input", "br"}


class Reader(HTMLParser):
    """Collects elements, and the text of each script and title."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id", tag)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, f"</{tag}> closes <{self.open[-1][0]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open:
            key = self.open[-1][1]
            self.texts[key] = self.texts.get(key, "") + data


def rows_of(page):
    return json.loads(page.texts["page-json"])["rows"]


@pytest.fixture(scope="module")
def page(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, pictures, ABOUT)
    return Reader(path.read_text())


@pytest.fixture(scope="module")
def page_without_truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, [make_picture(n, with_truth=False, with_maps=False) for n in range(2)], ABOUT)
    return Reader(path.read_text())


def test_every_element_is_closed_where_it_was_opened(page, page_without_truth):
    assert page.open == page_without_truth.open == []


def test_the_page_asks_for_nothing_beyond_itself(page):
    links = [
        value for _, at in page.elements for key, value in at.items() if key in ("src", "href")
    ]
    assert [link for link in links if not link.startswith(("data:", "#"))] == []


def test_the_score_is_that_of_the_competition(page, pictures):
    truth = {p.id: p.truth for p in pictures}
    score = score_images(truth, {p.id: p.predicted for p in pictures})
    rows = rows_of(page)
    assert np.mean([row["score"] for row in rows]) == pytest.approx(score.mean, abs=1e-4)
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)


def test_labels_and_outcomes_come_through_unchanged(page, pictures):
    rows = rows_of(page)
    by_id = {picture.id: picture for picture in pictures}
    for number, row in enumerate(rows):
        payload = json.loads(page.texts[f"payload-{number}"])
        truth, predicted = by_id[row["id"]].truth, by_id[row["id"]].predicted
        shape = (row["height"], row["width"])
        assert np.array_equal(unpack_labels(payload["truth"]["labels"], shape), truth)
        names = [OUTCOMES[outcome] for outcome in payload["truth"]["outcomes"]]
        assert names == list(find_outcomes(truth, predicted).true.values())
        assert len(payload["truth"]["iou"]) == truth.max()
        assert {"body", "border"} <= payload.keys()


def test_every_image_can_be_opened_and_says_what_it_shows(page):
    buttons = [at for tag, at in page.elements if tag == "button" and at.get("class") == "thumb"]
    assert len(buttons) == 2 * N_PICTURES  # one in the grid, one in the table
    assert all(
        re.fullmatch(r"Open \w{8}: \w+, \d+ by \d+ pixels; score .*", button["aria-label"])
        for button in buttons
    )


def test_every_image_of_the_grid_has_a_thumbnail_without_any_script(page):
    thumbnails = [at["src"] for tag, at in page.elements if tag == "img" and at.get("loading")]
    assert len(thumbnails) == N_PICTURES
    for source in thumbnails:
        content = base64.b64decode(source.removeprefix("data:image/webp;base64,"))
        with Image.open(io.BytesIO(content)) as thumbnail:
            assert max(thumbnail.size) == 320


def test_what_changed_since_another_submission_is_told(pictures, tmp_path):
    changed = [
        dataclasses.replace(picture, predicted=picture.truth, baseline=picture.predicted)
        for picture in pictures[:2]
    ]
    about = dataclasses.replace(ABOUT, baseline="earlier")
    write_page(tmp_path / "a.html", changed, about)
    page = Reader((tmp_path / "a.html").read_text())
    assert all(row["gain"] > 0 and row["agreement"] < 1 for row in rows_of(page))
    payload = json.loads(page.texts["payload-0"])
    shape = pictures[0].image.shape[:2]
    labels = {tuple(unpack_labels(payload["baseline"]["labels"], shape).ravel())}
    assert labels <= {tuple(relabel(picture.predicted).ravel()) for picture in pictures[:2]}
    assert "this submission does not differ significantly from the baseline" in page.texts["p"]


def test_the_outcomes_of_each_prediction_are_found_once(monkeypatch):
    found = []

    def find(truth, predicted):
        found.append(predicted.max())
        return find_outcomes(truth, predicted)

    monkeypatch.setattr(results, "find_outcomes", find)
    picture = make_picture(0)
    results.describe_result(dataclasses.replace(picture, baseline=picture.truth))
    assert found == [relabel(picture.predicted).max(), picture.truth.max()]


def test_what_changed_is_told_without_truth_too(tmp_path):
    picture = make_picture(0, with_truth=False)
    labels = make_picture(0).truth
    change = dataclasses.replace(picture, baseline=labels)
    write_page(tmp_path / "a.html", [change], dataclasses.replace(ABOUT, baseline="earlier"))
    (row,) = rows_of(Reader((tmp_path / "a.html").read_text()))
    assert row["gain"] is None
    assert row["agreement"] == round(score_image(labels, picture.predicted).score, 4)


def test_every_chart_says_what_it_shows(page):
    charts = [at for tag, at in page.elements if tag == "svg" and "role" in at]
    assert len(charts) == 6
    assert all(len(chart["aria-label"]) > 30 for chart in charts)


def test_what_made_the_page_is_on_it(page):
    assert "0123abc" in page.texts["dd"]
    assert page.texts["pre"] == ABOUT.settings
    assert page.texts["h1"] == "first <try>"


def test_without_truth_there_are_counts_and_sizes_but_no_score(page_without_truth):
    rows = rows_of(page_without_truth)
    assert all(row["score"] is None and row["nPredicted"] > 0 for row in rows)
    assert (
        len([at for tag, at in page_without_truth.elements if tag == "svg" and "role" in at]) == 1
    )
    assert "no ground truth" in page_without_truth.texts["p"]


def test_an_image_without_nuclei_gets_its_row(tmp_path):
    empty = np.zeros((20, 30), np.int32)
    image = np.zeros((20, 30, 3), np.uint8)
    write_page(tmp_path / "a.html", [ImageResult("a", "fluorescence", image, empty, empty)], ABOUT)
    (row,) = rows_of(Reader((tmp_path / "a.html").read_text()))
    assert (row["score"], row["nTrue"], row["nPredicted"]) == (1, 0, 0)


def test_text_cannot_end_the_script_it_stands_in(tmp_path):
    image, labels = np.zeros((5, 5, 3), np.uint8), np.eye(5, dtype=np.int32)
    picture = ImageResult("</script><b>", "tissue", image, labels, labels)
    write_page(tmp_path / "a.html", [picture], ABOUT)
    (row,) = rows_of(Reader((tmp_path / "a.html").read_text()))
    assert row["id"] == "</script><b>"


def test_a_page_needs_a_picture(tmp_path):
    message = f"{tmp_path / 'a.html'}: no images to report on; at least one is needed"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_page(tmp_path / "a.html", [], ABOUT)


def test_ids_that_are_no_hashes_are_shown_whole(tmp_path):
    names = [f"plate1_well_A01_field{number}" for number in range(2)]
    pictures = [
        dataclasses.replace(make_picture(number, with_maps=False), id=name)
        for number, name in enumerate(names)
    ]
    path = tmp_path / "report.html"
    write_page(path, pictures, ABOUT)
    text = path.read_text()
    for name in names:
        assert f'<span class="id" title="{name}">{name}</span>' in text
        assert text.count(f'aria-label="Open {name}: ') == 2
