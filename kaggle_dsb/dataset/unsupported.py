"""Files that look like images or annotations, in formats that are not supported."""

from collections import defaultdict
from collections.abc import Iterator

from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.image_files import ImageFiles, and_more, names_of
from kaggle_dsb.dataset.naming import names_told_by

_UNREAD_FORMATS = {
    ".czi": "Zeiss CZI",
    ".nd2": "Nikon ND2",
    ".lif": "Leica LIF",
    ".lof": "Leica LOF",
    ".xlef": "Leica XLEF",
    ".lei": "Leica LEI",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".oir": "Olympus OIR",
    ".vsi": "Olympus VSI",
    ".zvi": "Zeiss ZVI",
    ".dv": "DeltaVision",
    ".ims": "Imaris IMS",
    ".ics": "ICS",
    ".mrc": "MRC",
    ".flex": "PerkinElmer Flex",
    ".sld": "SlideBook",
    ".ets": "Olympus ETS",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
    ".nrrd": "NRRD",
    ".nii": "NIfTI",
    ".mhd": "MetaImage",
    ".mha": "MetaImage",
    ".fits": "FITS",
    ".svs": "whole-slide (Aperio)",
    ".ndpi": "whole-slide (Hamamatsu)",
    ".scn": "whole-slide (Leica)",
    ".mrxs": "whole-slide (3DHistech)",
    ".qptiff": "whole-slide (Akoya)",
    ".bif": "whole-slide (Ventana)",
}
_UNREAD_PHOTOS = {
    ".heic": "HEIC",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    ".tga": "TGA",
    ".exr": "OpenEXR",
    ".psd": "Photoshop",
    ".xcf": "GIMP",
    ".svg": "SVG",
    ".pdf": "PDF",
    ".dng": "camera raw (DNG)",
    ".cr2": "camera raw (Canon)",
    ".nef": "camera raw (Nikon)",
    ".arw": "camera raw (Sony)",
}
UNREAD_SUFFIXES = (*_UNREAD_FORMATS, *_UNREAD_PHOTOS)
UNREAD_ANNOTATIONS = (".mat", ".xml", ".npz", ".h5", ".hdf5", ".txt", ".roi")


def refuse_images(entries: list[Entry]) -> Iterator[str]:
    """Yield one message for each unsupported image format."""
    by_suffix: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_suffix[entry.suffix].append(entry)
    for suffix, (first, *more) in by_suffix.items():
        shown = f"{first}{and_more(len(more))}"
        if suffix in _UNREAD_PHOTOS:
            yield f"{shown}: {_UNREAD_PHOTOS[suffix]} is not supported; save it as PNG or TIFF"
        else:
            yield (
                f"{shown}: {_UNREAD_FORMATS[suffix]} is not supported; save it, or regions of it, "
                "as OME-TIFF with Fiji, QuPath or Bio-Formats' bfconvert (bfconvert "
                f"{first.path.name} {first.stem}.ome.tif)"
            )


def refuse_annotations(entries: list[Entry], pictures: list[ImageFiles]) -> Iterator[str]:
    """Yield a message if there are files that look like annotations in an unsupported format."""
    names = {name for picture in pictures for image in picture.images for name in names_of(image)}
    likely = [
        entry
        for entry in entries
        if entry.suffix == ".roi"
        or (entry.suffix != ".txt" and not pictures)
        or names & {*names_told_by(entry.stem)}
    ]
    if likely:
        yield (
            f"{likely[0]}{and_more(len(likely) - 1)}: {likely[0].suffix} is not supported; save "
            "images as PNG or TIFF, and annotations as label images, .npy arrays, GeoJSON, COCO "
            "or zips of ImageJ ROIs"
        )
