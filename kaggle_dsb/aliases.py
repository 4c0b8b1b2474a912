"""Type aliases shared by all subpackages."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""

Labels = NDArray[np.int32]
"""(H, W): 0 is background, 1..N are the nuclei."""

LabelsById = Mapping[str, Labels]
"""The labels of several images by image id."""

Plane = NDArray[np.float32]
"""(H, W), one channel of an image or of a probability."""

Progress = Callable[[int, int], None]
"""Called with the number of items done and the total."""
