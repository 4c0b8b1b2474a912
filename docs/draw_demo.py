"""Draw docs/demo.png: an image of each type, its true nuclei, and what the networks find.

Run `make demo-picture`. It predicts the demo set in build/demo.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kaggle_dsb.competition.label_files import read_labels
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.dataset import TEST_SETS
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.dataset.types import IMAGE_TYPES, image_type
from kaggle_dsb.files import replacing
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, OUTCOMES, find_outcomes
from kaggle_dsb.report.pictures import make_panels
from kaggle_dsb.workspace.source import open_source, read_solution_labels
from kaggle_dsb.workspace.submission import SubmissionFolder

OUTPUT = Path(__file__).parent / "demo.png"
WORK = Path("build/demo").resolve()
SIDE_PX, FACTOR, GAP_PX = 180, 3, 16
HEAD_PX, FOOT_PX = 56, 64
HEADINGS = ("image", "true nuclei", "what the networks find")


class Shown(NamedTuple):
    """An image of the demo set with its true and predicted nuclei."""

    type: str
    image: NDArray[np.uint8]
    truth: NDArray[np.int32]
    predicted: NDArray[np.int32]

    def find_window(self) -> tuple[int, int]:
        """Return the corner of the square with the most errors and, among those, most nuclei."""
        height, width = self.truth.shape
        corners = [
            (row, column)
            for row in range(0, height - SIDE_PX + 1, 12)
            for column in range(0, width - SIDE_PX + 1, 12)
        ]
        outcomes = find_outcomes(self.truth, self.predicted)
        sides = ((self.truth, outcomes.true), (self.predicted, outcomes.predicted))

        def count(corner: tuple[int, int]) -> tuple[int, int]:
            row, column = corner
            window = (slice(row, row + SIDE_PX), slice(column, column + SIDE_PX))
            seen = [
                known[label]
                for labels, known in sides
                for label in np.unique(labels[window]).tolist()
                if label
            ]
            return sum(outcome != "hit" for outcome in seen), len(seen)

        return max(corners, key=count)

    def draw(self) -> list[NDArray[np.uint8]]:
        """Draw image, truth and prediction, each cut to the window."""
        panels, _ = make_panels(self.image, self.truth, self.predicted, factor=FACTOR)
        row, column = (FACTOR * start for start in self.find_window())
        side = FACTOR * SIDE_PX
        return [pixels[row : row + side, column : column + side] for _, pixels in panels]


def predict_demo() -> SubmissionFolder:
    """Predict the demo set with the bundled networks."""
    WORK.mkdir(parents=True, exist_ok=True)
    command = Path(sys.executable).with_name("kaggle-dsb")
    arguments = ("submit", "--name", "demo", "--weights", "bundled")
    subprocess.run([command, *arguments], cwd=WORK, check=True)
    return SubmissionFolder(WORK / "submissions" / "demo")


def read_demo(submission: SubmissionFolder) -> list[Shown]:
    """Return the images that have been predicted."""
    source = open_source(None, work=WORK / "work", demo=True)
    truth = read_solution_labels(source, TEST_SETS[0])
    return [
        Shown(
            image_type(sample.image),
            sample.image,
            truth[sample.id],
            read_labels(submission.label_file(sample.id)),
        )
        for sample in load_samples(source.cache, TEST_SETS[0])
    ]


def choose(images: list[Shown]) -> list[Shown]:
    """Choose for each image type the image of the middle score."""
    chosen = []
    for kind in IMAGE_TYPES:
        alike = [
            image for image in images if image.type == kind and min(image.truth.shape) >= SIDE_PX
        ]
        alike.sort(key=lambda image: score_image(image.truth, image.predicted).score)
        chosen += alike[len(alike) // 2 :][:1]
    return chosen


def draw(rows: list[Shown]) -> Image.Image:
    """Draw a row an image, with headings above and the colours explained below."""
    side = SIDE_PX * FACTOR
    size = (3 * side + 4 * GAP_PX, HEAD_PX + len(rows) * (side + GAP_PX) + FOOT_PX)
    canvas = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(28)
    for column, heading in enumerate(HEADINGS):
        pen.text((GAP_PX + column * (side + GAP_PX), 12), heading, fill="black", font=font)
    for number, shown in enumerate(rows):
        for column, pixels in enumerate(shown.draw()):
            place = (GAP_PX + column * (side + GAP_PX), HEAD_PX + number * (side + GAP_PX))
            canvas.paste(Image.fromarray(pixels), place)
    explain(pen, font, GAP_PX, size[1] - FOOT_PX + 8)
    return canvas


def explain(pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont, left: float, top: int) -> None:
    """Write what each colour means."""
    words = {
        "missed": "missed (false negative)",
        "invented": "invented (false positive)",
    }
    for outcome in OUTCOMES:
        text = words.get(outcome, outcome)
        letter = f" {LETTERS[outcome]}" if LETTERS[outcome] else ""
        pen.rectangle((left, top + 4, left + 28, top + 32), fill=COLOURS[outcome], outline="black")
        pen.text((left + 38, top), text + letter, fill="black", font=font)
        left += 38 + pen.textlength(text + letter, font=font) + 36


if __name__ == "__main__":
    picture = draw(choose(read_demo(predict_demo())))
    with replacing(OUTPUT) as temporary:
        picture.save(temporary, optimize=True)
    print(OUTPUT)
