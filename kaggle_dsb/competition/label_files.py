"""Label image files: written as 16-bit PNG, read in the formats of other tools."""

import io
import pickle
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import check_labels, check_pixels
from kaggle_dsb.competition.tiff import SIGNATURES, require_data, require_end, silence_tifffile
from kaggle_dsb.files import InputError, compose, replacing

LARGEST_LABEL_ON_DISK = np.iinfo(np.uint16).max
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".bmp", ".gif")
FORMS = "a PNG, TIFF or .npy file of integers"

# Tags of a TIFF, and values of two of them.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL, SAMPLE_FORMAT = 258, 262, 277, 339
MIN_IS_WHITE, SIGNED = 0, 2

_PILLOW = threading.Lock()
_OME = re.compile(r"(?<=.)\.ome$", re.IGNORECASE)
# Cellpose writes X_cp_masks.png or X_seg.npy beside the image X.png.
_LABEL_SUFFIX = re.compile(r"(?<=.)[_-](?:cp_)?(?:masks?|labels?|seg)$", re.IGNORECASE)
# All that numpy itself stores in a pickle of arrays and numbers; none of it runs code.
_PICKLED_NAMES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def write_labels(path: Path, labels: ArrayLike) -> None:
    """Write a label image as a 16-bit PNG.

    Raises
    ------
    InputError
        When a label exceeds 65535, the maximum of 16 bits.
    """
    array = check_labels(labels)
    if array.size and array.max() > LARGEST_LABEL_ON_DISK:
        n_nuclei = np.unique(array[array > 0]).size
        remedy = "relabel first" if n_nuclei <= LARGEST_LABEL_ON_DISK else "split the image"
        raise InputError(
            f"{path}: label {array.max()} is above {LARGEST_LABEL_ON_DISK}, the maximum of a "
            f"16-bit PNG; {remedy}"
        )
    with replacing(path) as temporary:
        Image.fromarray(array.astype(np.uint16)).save(temporary, format="PNG")


def read_labels(path: Path) -> Labels:
    """Read a label image.

    Parameters
    ----------
    path
        A greyscale or palette PNG, BMP, GIF or TIFF (1 to 64 bits), a ``.npy`` array, or
        Cellpose's ``_seg.npy``.

    Returns
    -------
    labels : (H, W) int32
        As stored in the file, but grey of 2 or 4 bits is scaled to 8; gaps between labels are kept.

    Raises
    ------
    InputError
        When the file is missing, damaged, larger than `LARGEST_LABELS_PX`, or not a label image.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; a label image is {FORMS}")
    try:
        return parse_labels(path.read_bytes(), suffix=path.suffix)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_labels(data: bytes, *, suffix: str) -> Labels:
    """Parse the bytes of a label image; see `read_labels`.

    Raises
    ------
    InputError
        Its message does not name the file; the caller adds that.
    """
    array = _parse_array(data) if suffix.lower() == ".npy" else _parse_image(data)
    array = np.squeeze(array, axis=0) if array.ndim == 3 and array.shape[0] == 1 else array
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        array = _round(array)
    labels = check_labels(array)
    check_pixels(labels.shape)
    if labels.size and labels.max() > np.iinfo(np.int32).max:
        raise InputError(f"label {labels.max()} is above the maximum {np.iinfo(np.int32).max}")
    return labels.astype(np.int32)


def _parse_image(data: bytes) -> NDArray[Any]:
    if data.startswith(SIGNATURES):
        require_end(data)
    with unlimited_pixels():
        try:
            with Image.open(io.BytesIO(data)) as image:
                _check_image(image)
                array = _parse_raw(data) if _loses_values(image, data) else np.array(image)
        except InputError:
            raise
        except Exception:  # Pillow raises all kinds of errors on damaged files.
            array = _parse_tiff(data)
    if array.ndim == 2:
        return array
    colours = array[..., :1] if array.shape[2] == 2 else array[..., :3]
    if np.any(colours != colours[..., :1]):
        raise InputError("is a colour image; a label image has one channel of integers")
    return array[..., 0]


def _loses_values(image: Image.Image, data: bytes) -> bool:
    """Return whether Pillow changes the values: inverts them, drops bits of colours or the sign."""
    if not isinstance(image, TiffImageFile):
        return image.format == "PNG" and data[24] == 16 and len(image.getbands()) > 1
    n_samples, kind, interpretation = (
        image.tag_v2.get(tag, default)
        for tag, default in ((SAMPLES_PER_PIXEL, 1), (SAMPLE_FORMAT, (1,)), (PHOTOMETRIC, 1))
    )
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))[0]
    is_signed_byte = kind[0] == SIGNED and bits == 8
    return bool(interpretation == MIN_IS_WHITE or is_signed_byte or (n_samples > 1 and bits > 8))


def _parse_raw(data: bytes) -> NDArray[Any]:
    """Read a PNG or TIFF with the values of the file."""
    if data.startswith(SIGNATURES):
        return _parse_tiff(data)
    import cv2

    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise InputError("is a damaged PNG; get the file again")
    return np.asarray(array)


def _parse_tiff(data: bytes) -> NDArray[Any]:
    """Read a TIFF that Pillow does not support, such as a 64-bit one."""
    unread = InputError(f"cannot be read as an image; a label image is {FORMS}")
    if not data.startswith(SIGNATURES):
        raise unread
    import tifffile

    try:
        with silence_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as tiff:
            n_pages = len(tiff.pages)
            page = tiff.pages.first.keyframe
            check_pixels((page.imagelength, page.imagewidth))
            require_data(page, n_bytes=len(data))
            array = page.asarray()
            array = np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
    except InputError:
        raise
    except Exception:  # tifffile raises all kinds of errors on damaged files.
        raise unread from None
    _check_pages(n_pages)
    if array.ndim not in (2, 3):
        raise unread
    return array


def _check_image(image: Image.Image) -> None:
    """Raise ``InputError`` when an image is too large or has several pages."""
    width, height = image.size
    check_pixels((height, width))
    _check_pages(getattr(image, "n_frames", 1))


def _check_pages(n_pages: int) -> None:
    if n_pages > 1:
        raise InputError(f"has {n_pages} pages; a label image has one")


@contextmanager
def unlimited_pixels() -> Iterator[None]:
    """Lift Pillow's pixel limit, which is below the size of images that this package writes.

    The limit is global, so only one thread at a time lifts it. Pillow's warnings, such as those
    about damaged EXIF, are suppressed: they do not affect the pixels.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _parse_array(data: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _parse_npy(data)
        except InputError:
            raise
        except Exception:  # A damaged header or pickle raises all kinds of errors.
            raise InputError("cannot be read as an array; save it with numpy.save") from None


def _parse_npy(data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(stream)]
    shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject:
        return _parse_cellpose(stream)
    values = np.frombuffer(data, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that loads only arrays, numbers and strings."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that is known to be safe; raise `InputError` for any other."""
        if (module, name) not in _PICKLED_NAMES:
            wanted = repr(f"{module}.{name}")[1:-1]  # may contain terminal escape sequences
            raise InputError(f"contains a pickled {wanted}, which could execute code; not loaded")
        return super().find_class(module, name)


def _parse_cellpose(stream: io.BytesIO) -> NDArray[Any]:
    """Read the masks from the dictionary that Cellpose stores in ``_seg.npy``."""
    content = _ArrayUnpickler(stream).load()
    content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
    masks = content.get("masks") if isinstance(content, dict) else None
    if not isinstance(masks, np.ndarray):
        raise InputError("contains neither an array nor Cellpose's 'masks'")
    return masks


def _round(array: NDArray[Any]) -> NDArray[np.int64]:
    if not np.isfinite(array).all() or np.any(array != np.rint(array)):
        raise InputError("contains non-integer values; labels are integers")
    if array.size and np.abs(array).max() > np.iinfo(np.int32).max:
        raise InputError(
            f"label {np.abs(array).max():.0f} is above the maximum {np.iinfo(np.int32).max}"
        )
    return array.astype(np.int64)


def find_label_files(folder: Path) -> dict[str, Path]:
    """Find the label images in a folder, by image id.

    Returns
    -------
    dict of str to Path
        The id is the file name without extension (``.ome.tif`` counts as one) and without an
        ending such as ``_masks``, ``_cp_masks``, ``_labels`` or ``_seg``. If files of the same
        name lie beside those with such an ending, all without one are taken to be images. Empty if
        the folder holds no label image.

    Raises
    ------
    InputError
        When two files belong to the same image.
    """
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in LABEL_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    marked = {path: _id_of(path) for path in paths if _id_of(path) != _stem(path)}
    has_images = any(_stem(path) in marked.values() for path in paths)
    return _index_by_id(marked if has_images else paths)


def _stem(path: Path) -> str:
    return compose(_OME.sub("", path.stem))


def _id_of(path: Path) -> str:
    return _LABEL_SUFFIX.sub("", _stem(path))


def _index_by_id(paths: Iterable[Path]) -> dict[str, Path]:
    by_id: dict[str, Path] = {}
    for path in paths:
        first = by_id.setdefault(_id_of(path), path)
        if first != path:
            raise InputError(f"{path}: {first.name} is for the same image; remove one of them")
    return by_id


def read_label_folder(folder: Path) -> dict[str, Labels]:
    """Read a folder of label images, by image id; see `find_label_files`.

    Raises
    ------
    InputError
        When the folder holds no label image, or one cannot be read.
    """
    paths = find_label_files(folder)
    if not paths:
        raise InputError(
            f"{folder}: contains no label images{_name_contents(folder)}; expected ID.png, ID.tif "
            "or ID.npy for each image"
        )
    return {image_id: read_labels(path) for image_id, path in paths.items()}


def _name_contents(folder: Path) -> str:
    """Describe the contents of a folder without label images: `` (found 3 .jpg)``."""
    kinds = Counter(
        f"{path.name}/" if path.is_dir() else path.suffix or "without an extension"
        for path in sorted(folder.iterdir())
    )
    few = [f"{n} {kind}" if kind[-1] != "/" else kind for kind, n in kinds.most_common(3)]
    return f" (found {', '.join(few)})" if few else ""
