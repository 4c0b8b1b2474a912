"""The settings of one run: every default, once.

A TOML file names only what differs from these, ``--set section.key=value`` goes on top, and the
resolved settings are stored with every checkpoint and submission.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from kaggle_dsb.files import InputError, replacing


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoldSettings(_Section):
    """How the training images are split."""

    n_folds: int = Field(4, ge=2)
    seed: int = Field(0, ge=0)


class NetworkSettings(_Section):
    """The U-Net."""

    encoder_name: str = "tu-tf_efficientnet_lite2"
    encoder_weights: str | None = "imagenet"
    decoder_channels: tuple[int, ...] = (128, 64, 48, 32, 16)
    # The diameter in pixels that the nuclei of an image are scaled to before the network sees it.
    nucleus_px: float = Field(28, ge=8, le=200)


class AugmentSettings(_Section):
    """How a training crop is made to differ from the image it came from.

    Every ``*_probability`` is the share of crops so changed.
    """

    crop_px: int = Field(192, ge=32, multiple_of=32)
    scale_range: tuple[float, float] = (0.6, 1.8)
    # Share of crops that are stretched by up to 28 % along an axis; the others by up to 8 %.
    wide_aspect_probability: float = Field(0.25, ge=0, le=1)
    # Share of the crops of stained tissue whose haematoxylin and eosin are varied.
    stain_probability: float = Field(0.3, ge=0, le=1)
    copy_paste_probability: float = Field(0.4, ge=0, le=1)
    channel_shuffle_probability: float = Field(0.3, ge=0, le=1)
    grey_probability: float = Field(0.2, ge=0, le=1)
    invert_probability: float = Field(0.1, ge=0, le=1)
    colour_probability: float = Field(0.7, ge=0, le=1)
    blur_or_noise_probability: float = Field(0.3, ge=0, le=1)
    elastic_probability: float = Field(0.15, ge=0, le=1)


class TypeShares(_Section):
    """How many of the training crops are of each image type, relative to one another."""

    fluorescence: float = Field(0.62, ge=0)
    tissue: float = Field(0.30, ge=0)
    brightfield: float = Field(0.08, ge=0)


class TrainingSettings(_Section):
    """The training of one fold."""

    # The folder of a run with the same folds, whose network of the same fold is trained further.
    start_from: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = None
    epochs: int = Field(15, ge=1)
    crops_per_epoch: int = Field(2400, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1.5e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    ema_decay: float = Field(0.995, ge=0, lt=1)
    # The half width of the touching border as a share of the smaller nucleus's diameter.
    border_share: float = Field(0.1, gt=0, le=0.5)
    type_shares: TypeShares = TypeShares()
    validate_every_epochs: int = Field(5, ge=1)
    patience: int = Field(3, ge=1)
    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0)


class PredictionSettings(_Section):
    """How probabilities are made from images."""

    tta: Literal["none", "flips", "rotations", "d4"] = "rotations"
    # The scales, relative to that of `network.nucleus_px`, whose mean is taken.
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field((0.8, 1.25), min_length=1)
    tile_px: int = Field(1024, ge=64, multiple_of=32)
    overlap_px: int = Field(128, ge=0, multiple_of=32, validate_default=True)

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
    seed_threshold: float = Field(0.6, gt=0, lt=1)
    min_seed_px: int = Field(15, ge=0)
    min_area_px: int = Field(12, ge=0)
    # Candidate nuclei end where their membership, about 0 on the ground and 1 inside, falls to this.
    outline_threshold: float = Field(0.3, gt=0, lt=1)
    # Where the run has candidate scorers: whether they choose the nuclei, and what each costs.
    candidate_scorer: bool = True
    nucleus_cost: float = Field(0.25, ge=0, le=1)

    def watershed(self) -> dict[str, Any]:
        """Return the parameters of the watershed."""
        return self.model_dump(exclude={"outline_threshold", "candidate_scorer", "nucleus_cost"})


class HardwareSettings(_Section):
    """What the computation runs on."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    # What predicts: auto is OpenVINO on a CPU where it is installed, else torch.
    engine: Literal["auto", "torch", "openvino"] = "auto"
    threads: int = Field(0, ge=0)  # 0: as many as there are cores, or OMP_NUM_THREADS if fewer


class LoggingSettings(_Section):
    """What a training writes beside its metrics."""

    tensorboard: bool = False


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


def load_settings(*paths: Path, overrides: Sequence[str] = ()) -> Settings:
    """Resolve the settings of a run.

    Parameters
    ----------
    *paths : Path
        TOML files that name what differs from the defaults; a later one counts more.
    overrides : sequence of str
        ``section.key=value`` each, with the value as TOML writes it; a bare word is a string.

    Raises
    ------
    InputError
        For a file that cannot be read, an unknown key (with the keys that are allowed) or a value
        out of range.

    Examples
    --------
    >>> load_settings(overrides=["training.epochs=3"]).training.epochs
    3
    """
    values: dict[str, Any] = {}
    for path in paths:
        tables = migrate(_read_toml(path))
        _validate(tables, source=str(path))
        _merge(values, tables)
    for override in overrides:
        _apply(values, override)
    return _validate(values, source="--set")


REMOVED = ("training.overlap_loss", "training.edge_weight", "training.focal_gamma")
RENAMED = {"instances.second_level": "instances.candidate_scorer"}


def migrate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an older version of the package as the current one names them.

    Parameters
    ----------
    values : mapping
        Nested tables, as a ``config.toml`` or a network's file holds them. What was removed is
        left out: a network is used alike whatever loss it was trained with.

    Examples
    --------
    >>> migrate({"training": {"edge_weight": 0.0, "epochs": 3}})
    {'training': {'epochs': 3}}
    """
    tables: dict[str, Any] = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in values.items()
    }
    for old in (*REMOVED, *RENAMED):
        section, _, key = old.partition(".")
        table = tables.get(section)
        if not isinstance(table, dict) or key not in table:
            continue
        value = table.pop(key)
        if old in RENAMED:
            table.setdefault(RENAMED[old].partition(".")[2], value)
    return tables


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(values.setdefault(key, {}), value)
        else:
            values[key] = value


def parse_settings(values: Mapping[str, Any], *, source: str) -> Settings:
    """Check stored settings, of this or an older version; ``source`` names them in errors."""
    return _validate(migrate(values), source=source)


def _validate(values: Mapping[str, Any], *, source: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error)}") from None


def dump_settings(settings: Settings) -> str:
    """Return all resolved settings as TOML text, defaults included."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def write_settings(path: Path, settings: Settings) -> None:
    """Write all resolved settings as TOML, defaults included."""
    with replacing(path) as temporary:
        temporary.write_text(dump_settings(settings))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a TOML file of settings ({error})") from None


def _apply(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *sections, key = name.strip().split(".")
    if not (equals and sections and all(sections) and key):
        raise InputError(f"--set {override}: must read section.key=value, as training.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for section in reversed(sections):
        key, value = section, {key: value}
    _merge(values, {key: value})


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        return f"{name} = {first['input']!r}: {message[0].lower()}{message[1:]}"
    section: Any = Settings()
    for part in place[:-1]:
        section = getattr(section, part)
    return f"unknown key {name}; allowed here: {', '.join(type(section).model_fields)}"
