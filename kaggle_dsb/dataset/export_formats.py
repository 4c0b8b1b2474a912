"""Names of the export formats; see `kaggle_dsb.dataset.export`."""

from kaggle_dsb.files import InputError

EXPORT_FORMATS = ("geojson", "coco", "roi", "ome")


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``geojson,roi`` into format names.

    Raises
    ------
    InputError
        When a name is unknown.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in EXPORT_FORMATS:
            raise InputError(
                f"unknown export format {name!r}; choose from {', '.join(EXPORT_FORMATS)}"
            )
    return names
