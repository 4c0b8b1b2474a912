"""Draw single images with the outlines of their nuclei."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb.aliases import Labels
from kaggle_dsb.commands.score import names_in
from kaggle_dsb.competition.label_files import read_label_folder
from kaggle_dsb.competition.submission import read_submission
from kaggle_dsb.dataset.naming import shorten_id
from kaggle_dsb.dataset.samples import list_sets, load_samples, sizes
from kaggle_dsb.files import InputError
from kaggle_dsb.report.pictures import draw_picture
from kaggle_dsb.workspace.source import Source, read_solution_labels, require_sizes
from kaggle_dsb.workspace.submission import SubmissionFolder


@dataclass(frozen=True)
class _ImageInSet:
    """A requested image and its set."""

    id: str
    set_name: str


def show_images(
    source: Source, ids: Sequence[str], *, predicted: Path | None = None, output: Path
) -> list[Path]:
    """Draw images beside their truth and a prediction.

    Parameters
    ----------
    source : Source
    ids : sequence of str
        Image ids, or unique prefixes of them; ``SET/ID`` if several sets have the image.
    predicted : Path, optional
        A submission CSV, or a folder of label images or of a submission.
    output : Path
        The folder to write ``ID.png`` of each to; ``SET_ID.png`` if it is shown from several sets.

    Returns
    -------
    list of Path
        The pictures.

    Raises
    ------
    InputError
        When no image, or more than one, matches an id, or the prediction cannot be read.
    """
    wanted = [_find(source, id_) for id_ in ids]
    predictions = _read_predictions(predicted, source) if predicted else {}
    known = {image.id: sizes(source.cache, image.set_name)[image.id] for image in wanted}
    if predicted:
        shown = {id_: labels for id_, labels in predictions.items() if id_ in known}
        require_sizes(predicted, shown, known)
    paths = []
    shown_ids = [image.id for image in dict.fromkeys(wanted)]
    for set_name in dict.fromkeys(image.set_name for image in wanted):
        chosen = {image.id for image in wanted if image.set_name == set_name}
        truths = read_solution_labels(source, set_name)
        for sample in load_samples(source.cache, set_name):
            if sample.id in chosen:
                truth = truths.get(sample.id, sample.labels)
                is_repeated = shown_ids.count(sample.id) > 1
                path = output / f"{f'{set_name}_' if is_repeated else ''}{sample.id}.png"
                labels = predictions.get(sample.id)
                draw_picture(path, sample.id, sample.image, truth=truth, predicted=labels)
                paths.append(path)
    return paths


def _find(source: Source, text: str) -> _ImageInSet:
    sets = list_sets(source.cache)
    named, _, rest = text.partition("/")
    chosen, start = ([named], rest) if rest and named in sets else (list(sets), text)
    matches = [
        _ImageInSet(id_, set_name)
        for set_name in chosen
        for id_ in sizes(source.cache, set_name)
        if id_.startswith(start)
    ]
    exact = [image for image in matches if image.id == start]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    if not matches:
        example = next(id_ for name in list_sets(source.cache) for id_ in sizes(source.cache, name))
        raise InputError(
            f"{source.origin}: no image id starts with {start!r}; give an id or a prefix of one, "
            f"such as {shorten_id(example)}"
        )
    if exact:
        choices = " or ".join(f"{image.set_name}/{image.id}" for image in exact)
        raise InputError(f"{start!r} is in several sets; write {choices}")
    few = ", ".join(shorten_id(image.id) for image in matches[:3])
    raise InputError(
        f"{start!r} is a prefix of {len(matches)} ids ({few}, ...); give more characters"
    )


def _read_predictions(path: Path, source: Source) -> dict[str, Labels]:
    csv = SubmissionFolder(path).csv_file
    path = csv if csv.exists() else path
    if path.is_dir():
        return read_label_folder(path)
    names = names_in(path)
    of_sets = [sizes(source.cache, set_name) for set_name in list_sets(source.cache)]
    return read_submission(path, max(of_sets, key=lambda known: len(known.keys() & names)))
