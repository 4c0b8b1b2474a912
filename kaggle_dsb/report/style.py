"""How the figures look."""

from typing import Any

FOLD_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a5a00")
"""After Okabe and Ito, for the colour-blind; the fold's number is written beside each as well."""
FOLD_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

PICTURE_DPI = 100
"""Dots an inch of pictures laid out by the pixel."""

STYLE: dict[Any, Any] = {
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "savefig.facecolor": "white",
    "font.size": 10,
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
