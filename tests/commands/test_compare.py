import os
from pathlib import Path

import pandas as pd

from kaggle_dsb.cli import run
from kaggle_dsb.commands import compare
from tests.commands.examples import QUICK, call_in_a_process


def test_the_leaderboard_ranks_each_set_of_images_apart(here, capsys):
    assert run(["leaderboard"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("stage 1 test, 65 images") < printed.index("stage 2 private, 106 images")


def test_the_leaderboard_is_printed_in_an_encoding_without_a_name(here):
    folder = here / "submissions" / "nuclei-核"
    folder.mkdir(parents=True)
    (folder / "score.json").write_text('{"score": 0.5, "images": {"a": {}}}')
    options = {"env": os.environ | {"PYTHONIOENCODING": "cp1252"}, "encoding": "cp1252"}
    said, fault = call_in_a_process("leaderboard", "--own", **options).communicate()
    assert fault == ""
    assert said.splitlines()[-1].startswith(r">  nuclei-\u6838")


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
    assert run(["compare", "a.csv", "part.csv", "--common", "--save", "part.png"]) == 0
    assert Path("part.png").exists()
    assert capsys.readouterr().out.rstrip("\n").splitlines()[-1].split()[:2] == [
        "fluorescence",
        "1",
    ]


def test_images_of_different_sources_are_not_compared(here, capsys):
    scores = {"score": 0.5, "type": "tissue", "fold": 0, "n_true": 1, "n_predicted": 1}
    hits = {f"hits_{t}": 1 for t in range(50, 100, 5)}
    for name in ("tnbc", "other"):
        row = {"ImageId": "1", "source": name, "kind": "tissue 8x8", **scores, **hits}
        pd.DataFrame([row]).to_csv(f"{name}.csv", index=False)
    assert run(["compare", "tnbc.csv", "other.csv"]) == 2
    assert "the runs scored different images: 2 of 2" in capsys.readouterr().err


def test_a_picture_of_common_images_shows_them_under_the_kinds_of_the_first_run(here, monkeypatch):
    table = pd.DataFrame({"ImageId": ["x", "y"], "source": "tissue 8x8", "kind": "tissue 8x8"})
    table.assign(score=[0.2, 0.4]).to_csv("a.csv", index=False)
    part = table[1:].assign(source="tissue, other sizes", kind="tissue, other sizes", score=0.6)
    part.to_csv("b.csv", index=False)
    drawn = []
    monkeypatch.setattr(
        compare, "draw_sources", lambda _, after, *, baseline: drawn.append((after, baseline))
    )
    compare.draw_comparison(Path("c.png"), Path("a.csv"), Path("b.csv"), only_common=True)
    ((after, baseline),) = drawn
    assert after.to_dict("index") == {
        "y": {"source": "tissue 8x8", "kind": "tissue 8x8", "score": 0.6}
    }
    assert baseline["score"].to_dict() == {"y": 0.4}


def test_comparing_with_a_file_that_is_not_there_is_a_mistake_of_the_call(here, capsys):
    assert run(["compare", "no.csv", "no.csv"]) == 2
    message = "error: no.csv: no such file; expected a CSV from `validate --save` or a score.json\n"
    assert capsys.readouterr().err == message
