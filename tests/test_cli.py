"""The command line itself: its help, its errors, what it says and what it keeps to itself."""

from kaggle_dsb.cli import run


def test_help_and_version_are_there(capsys):
    assert run(["--help"]) == 0
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0.1.0"
