"""Read one image from a microscope's TIFF file: select the channel and plane of a stack."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from kaggle_dsb.competition.tiff import require_data, require_end, silence_tifffile
from kaggle_dsb.dataset.png import LONGEST_SIDE_PX
from kaggle_dsb.dataset.read_options import ReadOptions
from kaggle_dsb.files import InputError

Content = Literal["image", "labels", "mask"]
"""What a file holds: an image as it is shown; a label image, whose palette indices are labels; or
the mask of a nucleus, which ImageJ may save with an inverted colour table."""

LARGEST_IMAGE_PX = 2**28
LARGEST_STACK_BYTES = 2**31
LARGEST_STACK_PLANES = 10**6

_LONGEST_NAME = 40
_JPEG_COMPRESSIONS = (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


def require_size(height: int, width: int) -> None:
    """Raise ``InputError`` if an image is too large to be held in memory or saved as a PNG."""
    if max(height, width) > LONGEST_SIDE_PX:
        raise InputError(
            f"is {height} x {width} pixels; the maximum of a side is {LONGEST_SIDE_PX}; crop it"
        )
    if height * width > LARGEST_IMAGE_PX:
        raise InputError(
            f"is {height} x {width} pixels; the maximum is {LARGEST_IMAGE_PX} pixels, such as "
            f"{math.isqrt(LARGEST_IMAGE_PX)} x {math.isqrt(LARGEST_IMAGE_PX)}; crop it"
        )


def decode_tiff(data: bytes, options: ReadOptions, *, content: Content = "image") -> NDArray[Any]:
    """Decode one image from a TIFF file.

    Parameters
    ----------
    data : bytes
        Any TIFF, OME-TIFF or ImageJ hyperstack that tifffile reads.
    options : ReadOptions
    content : {"image", "labels", "mask"}

    Returns
    -------
    (H, W) or (H, W, C)
        With the file's bit depth; C is 3 for RGB, or 2 or 4 with alpha.

    Raises
    ------
    InputError
        When the file is damaged, too large or cyclic, or a channel or plane must be chosen.
    """
    require_end(data)
    try:
        with silence_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as tiff:
            if tiff.is_ome and _has_planes_elsewhere(tiff):
                tiff.is_ome = False  # to read the file's own planes
            picture, page = _read_series(tiff, options, n_bytes=len(data))
    except InputError:
        raise
    except Exception as error:
        raise InputError(_explain_damage(error)) from None
    return orient(_interpret(picture, page, content), page.tags.valueof(274, 1))


def choose_picture(
    stack: NDArray[Any], axes: str, options: ReadOptions, *, channel_names: Sequence[str] = ()
) -> NDArray[Any]:
    """Select one 2D image from a stack.

    Parameters
    ----------
    stack : array
        The last two axes are height and width.
    axes : str
        A letter for each leading axis: ``C`` for channels, ``T`` for time points, any other for
        planes. Planes are numbered from the first to the last of each time point in turn.
    options : ReadOptions
    channel_names : sequence of str
        Channel names in the file, for messages.

    Returns
    -------
    (H, W)

    Raises
    ------
    InputError
        When there are several channels or planes and none was chosen, the chosen one does not
        exist, or a projection would merge time points.

    Examples
    --------
    >>> stack = np.arange(6).reshape(3, 2, 1)
    >>> choose_picture(stack, "Z", ReadOptions(plane=2)).ravel().tolist()
    [2, 3]
    >>> choose_picture(stack, "Z", ReadOptions(project="max")).ravel().tolist()
    [4, 5]
    """
    channels, times = ([at for at, letter in enumerate(axes) if letter == kind] for kind in "CT")
    leading = channels + times
    ordered = np.moveaxis(stack, leading, range(len(leading)))
    height, width = stack.shape[-2:]
    n_channels, n_times = (math.prod(stack.shape[at] for at in kind) for kind in (channels, times))
    grid = ordered.reshape(n_channels, -1, height, width)
    _require_choice(n_channels, grid.shape[1], options, channel_names, n_times=n_times)
    # The options apply to stacks only; single images of the same folder ignore them.
    planes = grid[options.channel - 1 if options.channel and n_channels > 1 else 0]
    chosen = planes[options.plane - 1 if options.plane and len(planes) > 1 else 0]
    return np.asarray(planes.max(axis=0) if options.project else chosen)


def _require_choice(
    n_channels: int,
    n_planes: int,
    options: ReadOptions,
    channel_names: Sequence[str] = (),
    *,
    n_times: int = 1,
) -> None:
    per_time = n_planes // n_times
    planes = f"{per_time} planes"
    advice = " or --project max"
    if n_times > 1:
        planes = f"{n_times} time points" + (f" of {planes}" if per_time > 1 else "")
        advice = " (those of the first time point come first)" if per_time > 1 else ""
    if n_times > 1 and options.project:
        raise InputError(
            f"has {planes}, which --project would merge; choose with --plane 1 to {n_planes}"
        )
    wanted = []
    if n_channels > 1 and options.channel is None:
        wanted.append(f"--channel 1 to {n_channels}")
    if n_planes > 1 and options.plane is None and options.project is None:
        wanted.append(f"--plane 1 to {n_planes}{advice}")
    named = f" ({', '.join(channel_names)})" if len(channel_names) == n_channels else ""
    counts = " and ".join(
        shown for count, shown in (
            (n_channels, f"{n_channels} channels{named}"), (n_planes, planes)
        ) if count > 1
    )  # fmt: skip
    if wanted:
        raise InputError(f"has {counts}; choose with {' and '.join(wanted)}")
    for name, number, count in (
        ("channel", options.channel, n_channels),
        ("plane", options.plane, n_planes),
    ):
        if number is not None and count > 1 and number > count:
            raise InputError(f"has {count} {name}s; {name} {number} does not exist")


def _read_series(
    tiff: tifffile.TiffFile, options: ReadOptions, *, n_bytes: int
) -> tuple[NDArray[Any], tifffile.TiffPage]:
    ome_images = _read_ome_images(tiff)
    _require_few_planes(ome_images)
    series = [part for part in tiff.series if not part.keyframe.is_reduced]
    if not series:
        raise InputError("contains no image")
    chosen = series[0]
    if len(series) > 1:
        if not options.plane:
            raise InputError(
                f"has {len(series)} separate images; choose with --plane 1 to {len(series)}"
            )
        _require_choice(1, len(series), ReadOptions(plane=options.plane))
        chosen = series[options.plane - 1]
        options = replace(options, plane=None)
    page = chosen.keyframe
    require_size(page.imagelength, page.imagewidth)
    require_data(page, n_bytes=n_bytes)
    if chosen.nbytes > LARGEST_STACK_BYTES:
        raise InputError(
            f"unpacks to {chosen.nbytes / 2**30:.1f} GiB; the maximum for a stack is "
            f"{LARGEST_STACK_BYTES >> 30} GiB: save the planes to use as separate files"
        )
    return _arrange(chosen, page, options, _read_channel_names(ome_images)), page


def _has_planes_elsewhere(tiff: tifffile.TiffFile) -> bool:
    """Return whether an OME-TIFF declares planes of other files, for which tifffile takes zeros."""
    blocks = chain.from_iterable(
        pixels.iterfind("{*}TiffData/{*}UUID") for pixels in _read_ome_images(tiff)
    )
    return len({block.text for block in blocks}) > 1


def _require_few_planes(images: Iterable[ElementTree.Element]) -> None:
    """Refuse an OME-TIFF that declares too many planes: tifffile allocates memory for all."""
    n_planes = sum(
        math.prod(max(1, int(pixels.get(f"Size{axis}", 1))) for axis in "ZCT") for pixels in images
    )
    if n_planes > LARGEST_STACK_PLANES:
        raise InputError(f"declares {n_planes} planes; the maximum is {LARGEST_STACK_PLANES}")


def _read_ome_images(tiff: tifffile.TiffFile) -> list[ElementTree.Element]:
    """Return the OME-XML ``Pixels`` element of each image; empty for other files."""
    try:
        return ElementTree.fromstring(tiff.ome_metadata or "<OME/>").findall("{*}Image/{*}Pixels")
    except ElementTree.ParseError:
        return []


def _read_channel_names(images: Sequence[ElementTree.Element]) -> list[str]:
    """Return the OME channel names of the first image; empty if any is missing."""
    channels = images[0].findall("{*}Channel") if images else []
    names = [" ".join(channel.get("Name", "").split())[:_LONGEST_NAME] for channel in channels]
    return names if all(names) else []


def orient(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply a TIFF or EXIF orientation, 1 to 8, to an image (H, W[, C]).

    Examples
    --------
    >>> orient(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    if orientation in (5, 6, 7, 8):
        picture = picture.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture


def _arrange(
    series: tifffile.TiffPageSeries,
    page: tifffile.TiffPage,
    options: ReadOptions,
    channel_names: Sequence[str],
) -> NDArray[Any]:
    array, axes = series.asarray(), series.axes
    if "S" in axes:
        array, axes = np.moveaxis(array, axes.index("S"), -1), axes.replace("S", "")
        is_stack = _is_stack_marked_rgb(series, page)
        if _is_colour(page, array.shape[-1]) and not is_stack:
            samples = np.moveaxis(array, -1, 0)[: 3 if _ends_unspecified(page) else None]
            parts = [choose_picture(sample, axes[:-2], options) for sample in samples]
            return np.stack(parts, axis=-1)
        array, axes = np.moveaxis(array, -1, 0), f"{'Z' if is_stack else 'C'}{axes}"
    array = np.moveaxis(array, [axes.index("Y"), axes.index("X")], [-2, -1])
    axes = axes.replace("Y", "").replace("X", "")
    return choose_picture(array, axes, options, channel_names=channel_names)


def _is_colour(page: tifffile.TiffPage, n_samples: int) -> bool:
    if page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        return n_samples in (3, 4)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        return n_samples == 4
    return n_samples == 2 and tuple(page.extrasamples)[:1] in [(extra,) for extra in _ALPHA]


def _ends_unspecified(page: tifffile.TiffPage) -> bool:
    """Return whether the fourth sample of an RGB page is data of its own, not alpha."""
    return page.photometric == tifffile.PHOTOMETRIC.RGB and tuple(page.extrasamples)[:1] == (
        tifffile.EXTRASAMPLE.UNSPECIFIED,
    )


def _is_stack_marked_rgb(series: tifffile.TiffPageSeries, page: tifffile.TiffPage) -> bool:
    """Return whether an RGB TIFF is really a (3, H, W) stack, which tifffile saves as RGB."""
    return series.kind == "shaped" and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE


def _interpret(picture: NDArray[Any], page: tifffile.TiffPage, content: Content) -> NDArray[Any]:
    """Convert inverted grey, CMYK, YCbCr and palette images to grey or RGB."""
    kind = page.photometric
    if kind == tifffile.PHOTOMETRIC.MINISWHITE and content == "image":
        return _complement(picture)
    if kind == tifffile.PHOTOMETRIC.SEPARATED and picture.ndim == 3:
        return cmyk_to_rgb(_complement(picture))
    # tifffile converts only what is compressed as JPEG.
    if kind == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEG_COMPRESSIONS:
        return np.asarray(Image.fromarray(picture, "YCbCr").convert("RGB"))
    if kind == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        if content == "labels" and not is_white_first(picture, page.colormap.T):
            return picture
        colours = np.moveaxis(page.colormap[:, picture], 0, -1)
        # Some programs write 8-bit colours instead of 16-bit ones.
        is_8_bit = page.colormap.max() <= np.iinfo(np.uint8).max
        return (colours if is_8_bit else colours >> 8).astype(np.uint8)
    return picture


def is_white_first(indices: NDArray[Any], palette: NDArray[Any]) -> bool:
    """Return whether black, not index 0, is the background of a palette image, (N, 3) colours.

    So it is if the first colour is not black, and fewer pixels have it than are black.
    """
    blacks = np.flatnonzero(~palette.any(axis=1))
    if not blacks.size or blacks[0] == 0:
        return False
    return bool(np.count_nonzero(np.isin(indices, blacks)) > np.count_nonzero(indices == 0))


def cmyk_to_rgb(light: NDArray[Any]) -> NDArray[Any]:
    """Return RGB, (H, W, 3), from inverted CMYK: the transmittance of each ink, (H, W, 4)."""
    full = np.iinfo(light.dtype).max
    rgb = light[..., :3].astype(np.float64) * light[..., 3:] / full
    return np.asarray(np.rint(rgb), light.dtype)


def _complement(picture: NDArray[Any]) -> NDArray[Any]:
    if picture.dtype == bool:
        return ~picture
    if np.issubdtype(picture.dtype, np.unsignedinteger):
        return np.asarray(np.iinfo(picture.dtype).max - picture)
    return np.asarray(picture.max() - picture)


def _explain_damage(error: Exception) -> str:
    if "imagecodecs" in str(error):
        return "uses a compression that needs imagecodecs: pip install imagecodecs"
    return "cannot be read as a TIFF; it is damaged or truncated: get the file again"
