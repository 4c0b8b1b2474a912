"""The style of the figures."""

from typing import Any

FOLD_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a5a00")
"""After Okabe and Ito, distinguishable by the colour-blind; fold numbers are shown as well."""
FOLD_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

PICTURE_DPI = 100
"""Dots per inch of figures with a layout in pixels."""

STYLE: dict[Any, Any] = {
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "savefig.facecolor": "white",
    "font.size": 10,
    "text.parse_math": False,  # names may contain dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
