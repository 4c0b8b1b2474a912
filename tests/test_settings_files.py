import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.settings_files import (
    annotate_settings,
    load_settings,
    parse_settings,
    write_settings,
)


def test_without_a_file_the_defaults_hold():
    assert load_settings() == Settings()


PROFILES = sorted(Path(str(files("kaggle_dsb") / "profiles")).glob("*.toml"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_is_read_and_differs_from_the_defaults(profile):
    assert load_settings(profile) != Settings()


def test_there_are_the_profiles_that_the_docs_name():
    names = ["distilled", "finetune", "further", "gpu", "sources"]
    assert [path.stem for path in PROFILES] == names


def test_a_file_names_only_what_differs_and_set_goes_on_top(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 9\nbatch_size = 2\n")
    settings = load_settings(path, overrides=["training.epochs=3", "prediction.tta=flips"])
    assert (settings.training.epochs, settings.training.batch_size) == (3, 2)
    assert settings.prediction.tta == "flips"
    assert settings.instances == Settings().instances


def test_an_empty_text_takes_back_what_a_training_starts_from(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[training]\nstart_from = "runs/first"\n')
    assert load_settings(path).training.start_from == Path("runs/first")
    assert load_settings(path, overrides=["training.start_from="]).training.start_from is None


def test_what_a_training_starts_from_is_written_and_read_again(tmp_path):
    settings = load_settings(overrides=["training.start_from=runs/first"])
    write_settings(tmp_path / "config.toml", settings)
    assert load_settings(tmp_path / "config.toml") == settings


def test_a_later_file_counts_more_key_by_key(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[training]\nepochs = 9\nbatch_size = 2\n")
    second.write_text("[training]\nepochs = 4\n")
    training = load_settings(first, second).training
    assert (training.epochs, training.batch_size) == (4, 2)


def test_files_that_are_valid_each_but_not_together_are_named_unless_set_resolves_it(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[prediction]\ntile_px = 2048\noverlap_px = 1024\n")
    second.write_text("[prediction]\ntile_px = 512\n")
    for overrides in ([], ["training.epochs=3"]):
        with pytest.raises(InputError) as error:
            load_settings(first, second, overrides=overrides)
        assert str(error.value) == (
            f"{first} with {second}: prediction.overlap_px = 1024: must be below "
            "prediction.tile_px = 512"
        )
    resolved = load_settings(first, second, overrides=["prediction.overlap_px=64"])
    assert resolved.prediction.overlap_px == 64


def test_written_settings_come_back(tmp_path):
    settings = load_settings(overrides=["network.decoder_channels=[8, 8]", "training.seed=5"])
    write_settings(tmp_path / "config.toml", settings)
    assert load_settings(tmp_path / "config.toml") == settings


def test_a_nested_section_can_be_set():
    settings = load_settings(overrides=["training.type_shares.tissue=0.5"])
    assert settings.training.type_shares.tissue == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epochs",
            "--set training.epochs: expected section.key=value, such as training.epochs=3",
        ),
        ("epochs=3", "--set epochs=3: expected section.key=value, such as training.epochs=3"),
        (
            "folds.number=3",
            "--set: unknown key folds.number; allowed here: n_folds, seed, extra",
        ),
        (
            "fold.seed=3",
            "--set: unknown key fold; allowed here: folds, network, augment, training, prediction, "
            "instances, hardware, logging",
        ),
        (
            "training.epochs=0",
            "--set: training.epochs = 0: input should be greater than or equal to 1",
        ),
        (
            "training.start_from=3",
            "--set: training.start_from = 3: expected the folder of a run, or its name",
        ),
        (
            "training.epochs=true",
            "--set: training.epochs = True: expected a number, text or list, not true or false",
        ),
        (
            "prediction.diameter_px=-1",
            "--set: prediction.diameter_px = -1: input should be greater than or equal to 0",
        ),
        (
            "prediction.scales=1",
            "--set: prediction.scales = 1: expected a list in brackets, such as [1, 2]",
        ),
        (
            "prediction.scales=[1, 0]",
            "--set: prediction.scales.1 = 0: input should be greater than 0",
        ),
        (
            "prediction.tile_px=128",
            "--set: prediction.overlap_px = 128: must be below prediction.tile_px = 128",
        ),
        (
            "prediction.tta=many",
            "--set: prediction.tta = 'many': input should be 'none', 'flips', 'rotations' or 'd4'",
        ),
        (
            "augment.scale_range=[2, 1]",
            "--set: augment.scale_range = [2, 1]: the first value must not be above the second",
        ),
        (
            "augment.scale_range=[0, 2]",
            "--set: augment.scale_range.0 = 0: input should be greater than 0",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(override, message):
    with pytest.raises(InputError) as error:
        load_settings(overrides=[override])
    assert str(error.value) == message


def test_a_key_below_a_value_is_refused(tmp_path):
    write_settings(tmp_path / "config.toml", Settings())
    with pytest.raises(InputError, match=r"prediction.tta = \{'x': 1\}: input should be 'none'"):
        load_settings(tmp_path / "config.toml", overrides=["prediction.tta.x=1"])


@pytest.mark.parametrize("text", ["[training", f"[training]\nepochs = {'9' * 5000}"])
def test_a_file_that_is_no_toml_is_named(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_settings(path)
    assert str(error.value).startswith(f"{path}: cannot be read as a TOML file of settings (")


def test_a_number_of_thousands_of_digits_is_refused():
    with pytest.raises(InputError, match=r"training\.epochs"):
        load_settings(overrides=[f"training.epochs={'9' * 5000}"])


def test_a_value_nested_thousands_of_times_is_refused():
    with pytest.raises(InputError, match=r"training\.epochs"):
        load_settings(overrides=[f"training.epochs={'[' * 3000}"])


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match=r"training\.learning_rate"):
        load_settings(overrides=[f"training.learning_rate={value}"])


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 3\n", encoding="utf-8-sig")
    assert load_settings(path).training.epochs == 3


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(InputError) as error:
        load_settings(path)
    assert str(error.value) == (
        f"{path}: cannot be read as a TOML file of settings ([Errno 2] No such file or directory: "
        f"'{path}')"
    )


def test_an_unknown_key_in_a_file_names_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[folds]\nk = 3\n")
    with pytest.raises(InputError) as error:
        load_settings(path)
    assert str(error.value) == f"{path}: unknown key folds.k; allowed here: n_folds, seed, extra"


OLD_FILE = Path(__file__).parent / "golden" / "config-0.1.toml"


def test_the_settings_of_an_older_version_are_read(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(OLD_FILE.read_bytes())
    settings = load_settings(path)
    assert settings.training.crops_per_epoch == 1400
    assert settings.training.start_from == Path("runs/first")
    assert settings.instances.body_threshold == 0.558
    assert settings.instances.candidate_scorer
    path.write_text(OLD_FILE.read_text().replace("second_level = true", "second_level = false"))
    assert not load_settings(path).instances.candidate_scorer


def test_the_settings_in_an_older_network_are_read():
    values = tomllib.loads(OLD_FILE.read_text())
    settings = parse_settings(values, source="fold0.safetensors")
    assert settings.instances.candidate_scorer
    assert values["training"]["edge_weight"] == 0  # what was passed in is not modified


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("training.edge_weight=1", "start_from, teacher, teacher_share, epochs"),
        ("instances.second_level=true", "body_threshold"),
    ],
)
def test_what_older_versions_had_cannot_be_set_anew(override, allowed):
    with pytest.raises(InputError) as error:
        load_settings(overrides=[override])
    name = override.partition("=")[0]
    assert str(error.value).startswith(f"--set: unknown key {name}; allowed here: {allowed}")


def test_shares_of_sources_are_written_and_read_again(tmp_path):
    settings = load_settings(overrides=["training.source_shares.my_cells=0.5"])
    write_settings(tmp_path / "config.toml", settings)
    assert load_settings(tmp_path / "config.toml") == settings
    (tmp_path / "annotated.toml").write_text(annotate_settings(settings))
    assert load_settings(tmp_path / "annotated.toml") == settings
