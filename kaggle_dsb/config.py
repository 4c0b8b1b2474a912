"""The settings of one run: every default, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

LARGEST_SEED = 2**31


def _require_ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the first value must not be above the second")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` where it would count as 1."""
        is_switch = cls.model_fields[str(info.field_name)].annotation is bool
        if isinstance(value, bool) and not is_switch:
            raise ValueError("expected a number, text or list, not true or false")
        return value


class FoldSettings(_Section):
    """How the training images are split."""

    n_folds: int = Field(4, ge=2)
    """Number of folds."""

    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of the split."""

    extra: Literal["groups", "sources"] = "groups"
    """How extra sources are held out: split by groups, or source k entirely in fold k."""


class NetworkSettings(_Section):
    """The U-Net."""

    encoder_name: str = "tu-tf_efficientnet_lite2"
    """Encoder name in segmentation-models-pytorch."""

    encoder_weights: str | None = "imagenet"
    """Pretrained weights of the encoder; empty for random initialisation."""

    decoder_channels: tuple[PositiveInt, ...] = Field(
        (128, 64, 48, 32, 16), min_length=1, max_length=5
    )
    """Channels of the decoder blocks, deepest first."""

    nucleus_px: float = Field(28, ge=8, le=200)
    """Nucleus diameter, in pixels, that images are rescaled to for the network."""


class AugmentSettings(_Section):
    """How a training crop is made to differ from the image it came from.

    A ``*_probability`` is the share of crops so changed; stain concerns those of stained tissue.
    """

    crop_px: int = Field(192, ge=32, multiple_of=32)
    """Side length of a training crop, in pixels."""

    scale_range: Annotated[
        tuple[PositiveFloat, PositiveFloat], AfterValidator(_require_ascending)
    ] = (0.6, 1.8)
    """Minimum and maximum scale factor of a crop."""

    wide_aspect_probability: float = Field(0.25, ge=0, le=1)
    """Fraction of crops stretched by up to 28 % along one axis; the others by up to 8 %."""

    stain_probability: float = Field(0.3, ge=0, le=1)
    """Fraction of stained-tissue crops with haematoxylin and eosin jitter."""

    copy_paste_probability: float = Field(0.4, ge=0, le=1)
    """Fraction of crops with copy-pasted nuclei."""

    channel_shuffle_probability: float = Field(0.3, ge=0, le=1)
    """Fraction of crops with shuffled colour channels."""

    grey_probability: float = Field(0.2, ge=0, le=1)
    """Fraction of crops converted to greyscale."""

    invert_probability: float = Field(0.1, ge=0, le=1)
    """Fraction of crops with inverted intensities."""

    colour_probability: float = Field(0.7, ge=0, le=1)
    """Fraction of crops with brightness, contrast and hue jitter."""

    blur_or_noise_probability: float = Field(0.3, ge=0, le=1)
    """Fraction of crops with blur or noise."""

    elastic_probability: float = Field(0.15, ge=0, le=1)
    """Fraction of crops with elastic deformation."""


class TypeShares(_Section):
    """How many of the training crops are of each image type, relative to one another."""

    fluorescence: float = Field(0.62, ge=0)
    """Relative share of fluorescence images among the training crops."""

    tissue: float = Field(0.30, ge=0)
    """Relative share of stained-tissue images among the training crops."""

    brightfield: float = Field(0.08, ge=0)
    """Relative share of brightfield images among the training crops."""


class TrainingSettings(_Section):
    """The training of one fold."""

    start_from: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """Run to fine-tune: its folder, its name, or `bundled`."""

    teacher: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    """Teacher run for distillation: its folder, its name, or `bundled`."""

    teacher_share: float = Field(0.5, ge=0, le=1)
    """Weight of the teacher's probabilities in the targets; the rest is ground truth."""

    epochs: int = Field(15, ge=1)
    """Number of epochs."""

    crops_per_epoch: int = Field(2400, ge=1)
    """Number of crops per epoch."""

    batch_size: int = Field(8, ge=1)
    """Number of crops per step."""

    learning_rate: float = Field(1.5e-3, gt=0)
    """Maximum learning rate of the one-cycle schedule."""

    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""

    ema_decay: float = Field(0.995, ge=0, lt=1)
    """Decay of the exponential moving average of the weights."""

    border_share: float = Field(0.1, gt=0, le=0.5)
    """Half-width of the touching border, as a fraction of the smaller nucleus's diameter."""

    type_shares: TypeShares = TypeShares()
    source_shares: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Relative shares of extra sources by name, on the scale of type_shares."""

    extra_share: float = Field(0.8, ge=0)
    """Relative share of all other extra sources together, split equally."""

    validate_every_epochs: int = Field(5, ge=1)
    """Epochs between validations on the held-out fold; the last epoch is validated, too."""

    validation_images: int = Field(200, ge=1)
    """Maximum number of images per validation, evenly sampled."""

    patience: int = Field(3, ge=1)
    """Number of validations without improvement before early stopping."""

    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of the weight initialisation and the crops."""

    workers: int = Field(0, ge=0)
    """Number of data loader processes; 0 loads in the main process."""


class PredictionSettings(_Section):
    """How probabilities are made from images."""

    tta: Literal["none", "flips", "rotations", "d4"] = "rotations"
    """Test-time augmentation: the views to average over."""

    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field((0.6, 1, 1.6), min_length=1)
    """Scales, relative to network.nucleus_px: nuclei are merged; the watershed takes the mean."""

    diameter_px: float = Field(0, ge=0)
    """Typical diameter of the nuclei, in pixels, if known; 0 estimates it for each image."""

    tile_px: int = Field(1024, ge=64, multiple_of=32)
    """Side length of a tile, in pixels; larger images are predicted in tiles."""

    overlap_px: int = Field(128, ge=0, multiple_of=32, validate_default=True)
    """Overlap of neighbouring tiles, in pixels."""

    @field_validator("overlap_px")
    @classmethod
    def _overlap_within_a_tile(cls, overlap_px: int, info: ValidationInfo) -> int:
        tile_px = info.data.get("tile_px", overlap_px + 1)
        if overlap_px >= tile_px:
            raise ValueError(f"must be below prediction.tile_px = {tile_px}")
        return overlap_px


class InstanceSettings(_Section):
    """How probabilities are cut into nuclei."""

    body_threshold: float = Field(0.6, gt=0, lt=1)
    """Watershed: probability above which a pixel belongs to a nucleus."""

    seed_threshold: float = Field(0.6, gt=0, lt=1)
    """Watershed: probability above which a pixel belongs to a seed."""

    min_seed_px: int = Field(15, ge=0)
    """Watershed: minimum area of a seed, in pixels."""

    min_area_px: int = Field(12, ge=0)
    """Minimum area of a nucleus, in pixels."""

    outline_threshold: float = Field(0.45, gt=0, lt=1)
    """Outline level of candidates darker than the background (0 background, 1 inside)."""

    glow_threshold: float = Field(0.2, gt=0, lt=1)
    """The same for brighter candidates, unless the image resembles one in outlines.csv."""

    candidate_scorer: bool = True
    """Whether to select nuclei with the candidate scorers, if the run has them."""

    def watershed(self) -> dict[str, Any]:
        """Return the parameters of the watershed."""
        return self.model_dump(exclude={"outline_threshold", "glow_threshold", "candidate_scorer"})


class HardwareSettings(_Section):
    """What the computation runs on."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device; auto uses the GPU if available."""

    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Numeric precision; auto is the fastest native one. int8 is for prediction only."""

    engine: Literal["auto", "torch", "openvino"] = "auto"
    """Inference engine; auto is OpenVINO on a CPU if installed, else torch."""

    devices: int = Field(1, ge=1)
    """GPUs, or CPU processes, to train one network on; processes to predict with."""

    nodes: int = Field(1, ge=1)
    """Machines to train one network on; start the command on each."""

    threads: int = Field(0, ge=0, le=1024)
    """Number of threads; 0 is one per core, or OMP_NUM_THREADS if lower."""


class LoggingSettings(_Section):
    """What a training writes beside its metrics."""

    tensorboard: bool = False
    """Whether to write TensorBoard logs."""


class Settings(_Section):
    """The settings of one run."""

    folds: FoldSettings = FoldSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()
    prediction: PredictionSettings = PredictionSettings()
    instances: InstanceSettings = InstanceSettings()
    hardware: HardwareSettings = HardwareSettings()
    logging: LoggingSettings = LoggingSettings()


class Setting(NamedTuple):
    """A setting: its name ``section.key``, its value and what it means."""

    name: str
    value: Any
    meaning: str


def describe_settings(settings: Settings) -> list[Setting]:
    """Return every setting with its value and what it means.

    Examples
    --------
    >>> describe_settings(Settings())[0]
    Setting(name='folds.n_folds', value=4, meaning='Number of folds.')
    """
    return list(_describe_section("", settings))


def _describe_section(prefix: str, section: BaseModel) -> Iterator[Setting]:
    values = {key: getattr(section, key) for key in type(section).model_fields}
    for key, value in values.items():
        if not isinstance(value, BaseModel):
            meaning = type(section).model_fields[key].description or ""
            yield Setting(f"{prefix}{key}", value, meaning)
    for key, value in values.items():
        if isinstance(value, BaseModel):
            yield from _describe_section(f"{prefix}{key}.", value)
