"""Names of the export formats; see `kaggle_dsb.dataset.export` and `.measurements`."""

import importlib.util

from kaggle_dsb.files import InputError

TABLE_FORMAT = "csv"
EXPORT_FORMATS = ("geojson", "coco", "roi", "ome", TABLE_FORMAT)


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``geojson,roi`` into format names.

    Raises
    ------
    InputError
        When a name is unknown, or scikit-image is needed and not installed.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in EXPORT_FORMATS:
            raise InputError(
                f"unknown export format {name!r}; choose from {', '.join(EXPORT_FORMATS)}"
            )
    if TABLE_FORMAT in names and importlib.util.find_spec("skimage") is None:
        raise InputError(
            f"export format {TABLE_FORMAT!r}: scikit-image is not installed; install it with pip "
            "install scikit-image"
        )
    return names
