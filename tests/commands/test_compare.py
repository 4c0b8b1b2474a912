from pathlib import Path

from kaggle_dsb.cli import run
from tests.commands.examples import QUICK


def test_the_leaderboard_ranks_each_set_of_images_apart(here, capsys):
    assert run(["leaderboard"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("stage 1 test, 65 images") < printed.index("stage 2 private, 106 images")


def test_two_validations_are_compared(data, weights, capsys):
    call = ["validate", "--weights", "weights", *QUICK, "--save"]
    for name in ("a.csv", "b.csv"):
        assert run([*call, name]) == 0
    capsys.readouterr()
    assert run(["compare", "a.csv", "b.csv", "--save", "both.png"]) == 0
    assert all(Path(picture).exists() for picture in ("a.png", "b.png", "both.png"))
    assert capsys.readouterr().out.startswith(
        "b.csv does not differ significantly from a.csv: difference 0.000"
    )
    lines = Path("b.csv").read_text().splitlines(keepends=True)
    Path("part.csv").write_text("".join(lines[:2]))
    assert run(["compare", "a.csv", "part.csv"]) == 2
    assert run(["compare", "a.csv", "part.csv", "--common"]) == 0
    assert capsys.readouterr().out.rstrip("\n").splitlines()[-1].split()[:2] == [
        "fluorescence",
        "1",
    ]


def test_comparing_with_a_file_that_is_not_there_is_a_mistake_of_the_call(here, capsys):
    assert run(["compare", "no.csv", "no.csv"]) == 2
    message = "error: no.csv: no such file; expected a CSV from `validate --save` or a score.json\n"
    assert capsys.readouterr().err == message
