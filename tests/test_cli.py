"""The command line itself: its help, its errors, what it says and what it keeps to itself."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib

import pytest

from kaggle_dsb import __version__, opening
from kaggle_dsb.cli import app, run
from kaggle_dsb.config import Settings, describe_settings
from kaggle_dsb.settings_files import PROFILES, parse_settings

VERBS = [command.name for command in app.registered_commands]
PANELS = ["Data:", "Train:", "Predict:", "Validate and compare:", "Inspect:", "Kaggle:"]


def test_help_groups_every_verb_under_its_purpose(capsys):
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line in PANELS] == PANELS
    assert all(re.search(rf"^  {verb} ", said, re.MULTILINE) for verb in VERBS)


def test_without_a_verb_the_same_help_is_printed(capsys):
    assert run(["--help"]) == 0
    said = capsys.readouterr()
    assert run([]) == 0
    assert capsys.readouterr() == said


def test_a_tilde_in_any_path_is_the_home_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for call in ("compare ~/a.csv b.csv", "curves ~/a.csv", "submit --weights=~/a.csv"):
        assert run(call.split()) == 2
        assert f"error: {tmp_path / 'a.csv'}: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_whole_fits_80_columns_and_shows_no_type_of_python(verb, capsys):
    assert run([verb, "-h"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert not re.search(r"<(?!gpu\|cpu>|auto\|kaggle\|broad>)", said)
    assert run(["--help"]) == 0
    (summary,) = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {verb} ")
    )
    assert summary.endswith((".", ")"))
    assert not summary.endswith("...")


def test_the_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_a_shell_completes_verbs():
    environment = os.environ | {
        "_KAGGLE_DSB_COMPLETE": "complete_bash",
        "COMP_WORDS": "kaggle-dsb le",
        "COMP_CWORD": "1",
    }
    code = "from kaggle_dsb.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["leaderboard"]


MISTAKES = {
    "sumbit": "No such command 'sumbit'. Did you mean 'submit'? (see `kaggle-dsb --help`)",
    "data --data a --data=b": (
        "Option '--data' is given twice; give it once (see `kaggle-dsb data --help`)"
    ),
    "data --data=": (
        "'--data' is an empty path; expected a file or folder (see `kaggle-dsb data --help`)"
    ),
    "validate --foreign a --foreign=": (
        "'--foreign' is an empty path; expected a file or folder (see `kaggle-dsb validate --help`)"
    ),
    "compare a.csv": "Missing argument 'B' (see `kaggle-dsb compare --help`)",
    "experiment wider": "Missing option '--set' (see `kaggle-dsb experiment --help`)",
    "push sumbit": (
        "Invalid value for 'KERNEL': 'sumbit' is not one of 'submit', 'train' "
        "(see `kaggle-dsb push --help`)"
    ),
    "train --config tpu": (
        "tpu: neither a TOML file nor a profile; the profiles are "
        + ", ".join(path.stem for path in sorted(PROFILES.glob("*.toml")))
    ),
    "train --name a/b": "--name 'a/b': must be a plain folder name, such as first-try",
    "submit --name ": "--name '': must be a plain folder name, such as first-try",
    "report ": "--name '': must be a plain folder name, such as first-try",
    "submit --export": ("Option '--export' requires an argument (see `kaggle-dsb submit --help`)"),
    "submit --weights absent": (
        "absent: no such folder; expected the folder of a finished training run; available: bundled"
    ),
    "validate --save scores.png": "scores.png: must end in .csv",
    "compare a.csv b.csv --save both": "both: must end in .png, .jpg, .pdf or .svg",
    "curves mine --output curves.txt": "curves.txt: must end in .png, .jpg, .pdf or .svg",
    "curves absent": "absent: no such folder; expected the folder of a training run",
    "leaderboard --submissions absent": (
        "absent: no such folder; expected a folder of submissions, such as submissions"
    ),
}


@pytest.mark.parametrize("call", MISTAKES)
def test_a_wrong_call_gets_one_line_before_any_work(call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(call.split(" ")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {MISTAKES[call]}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("value", ["0", "-3", "two", "2.5"])
@pytest.mark.parametrize("words", ["submit --limit", "train --devices", "tune --trials"])
@pytest.mark.parametrize("sign", [" ", "="])
def test_a_wrong_number_is_told_with_the_option_and_the_value(words, value, sign, here, capsys):
    verb, option = words.split()
    assert run(f"{words}{sign}{value}".split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: Invalid value for '{option}': ")
    assert value in line.removesuffix(f" (see `kaggle-dsb {verb} --help`)")
    assert "parse" not in line


@pytest.mark.parametrize(
    ("verb", "then"), [("train", "resume"), ("data", "start over; no partial files were left")]
)
def test_an_interruption_tells_what_the_same_command_does(verb, then, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "say", interrupt)
    assert run([verb]) == 130
    assert capsys.readouterr().err == (
        f"error: interrupted; run the same command again to {then}\n"
    )


def test_ctrl_c_ends_with_130_and_a_line(tmp_path):
    code = (
        "import os, signal, kaggle_dsb.cli as cli, kaggle_dsb.opening as opening\n"
        "opening.say = lambda message: os.kill(os.getpid(), signal.SIGINT)\n"
        "import sys; sys.exit(cli.run(['data']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 130
    assert done.stderr == (
        "error: interrupted; run the same command again to start over; no partial files were left\n"
    )


@pytest.mark.parametrize("call", ["data", "submit", "validate", "train"])
def test_the_first_word_comes_before_the_slow_imports(call, tmp_path):
    code = (
        "import sys, kaggle_dsb.cli as cli, kaggle_dsb.opening as opening\n"
        "def first(message):\n"
        "    loaded = {'numpy', 'pandas', 'torch', 'cv2', 'scipy'} & set(sys.modules)\n"
        "    print(message, loaded)\n"
        "    raise SystemExit\n"
        "opening.say = first\n"
        f"cli.run([{call!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout in (
        "reading the data set()\n",
        "weights: bundled, 4 networks set()\n",
    )


def test_what_is_quiet_prints_its_result_alone(small_demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["data", "--limit", "1", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("stage1_test: 1 image, ")
    assert run(["data", "--limit", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "reading the data"


def test_every_setting_has_a_meaning():
    assert [row.name for row in describe_settings(Settings()) if not row.meaning] == []


def test_config_prints_all_settings_as_a_file_that_can_be_given_back(capsys):
    assert run(["config"]) == 0
    said = capsys.readouterr().out
    assert "\nn_folds = 4  # Number of folds.\n" in said
    assert parse_settings(tomllib.loads(said), source="config") == Settings()


def test_the_leaderboard_is_printed_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["leaderboard", "--json"]) == 0
    boards = json.loads(capsys.readouterr().out)
    first = boards["stage 2 private, 106 images"][0]
    assert (first["name"], first["rank"], first["score"]) == ("topcoders (1st)", 1, 0.631646)


def test_a_package_that_is_not_installed_is_named_with_what_brings_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "kaggle_dsb.report.curves", raising=False)
    monkeypatch.delitem(sys.modules, "kaggle_dsb.commands.curves", raising=False)
    assert run(["curves", "mine"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: pandas is not installed; install all optional dependencies with pip install "
        "'kaggle_dsb[all]'"
    )
