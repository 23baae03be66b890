"""A folder is edited into another: names are kept, nothing is lost, and what is done is not done again."""

import csv
import os
import signal
import time
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json
from attrimorph.loading import load
from attrimorph.models.model import Model
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder, EditsTable, results_of
from attrimorph.requests.generating import Reconstruct
from attrimorph.requests.receipt import Receipt
from attrimorph.requests.replay import replay
from tests import terminal
from tests.small_models import small_model
from tests.tiny_models import tiny_model

SMILE = {"changes": {"Smiling": 1.0}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "run"
    tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return tiny_model(run)


def picture(path: Path, seed: int = 0, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((20, 24), Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed, name in enumerate(("b.png", "c.jpg", "sub/a.jpg", "sub/deep/d.webp", "sub/e.gif")):
        picture(folder / name, seed)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "edits.csv").open(newline="", encoding="utf-8") as file:
        return {row["picture"]: row for row in csv.DictReader(file)}


def test_names_and_sub_folders_are_kept_and_the_table_tells_all(
    model: Model, run: Path, photos: Path, tmp_path: Path
) -> None:
    out, told, seen = tmp_path / "out", [], []
    (out / "sub").mkdir(parents=True)
    (out / "sub" / "mine.txt").write_text("mine")
    EditFolder(model=run, folder=photos, **SMILE).write(
        out, model, say=told.append, progress=lambda *counts: seen.append(counts)
    )
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    results = {"b.png", "c.jpg", "sub/a.jpg", "sub/deep/d.webp", "sub/e.png"}
    assert files == results | {"edits.csv", "edits.json", "sub/mine.txt"}
    table = rows(out)
    assert list(table) == ["b.png", "broken.jpg", "c.jpg", "sub/a.jpg", "sub/deep/d.webp", "sub/e.gif"]
    assert table["sub/e.gif"]["result"] == "sub/e.png"
    assert table["broken.jpg"]["status"] == "unreadable"
    assert "no readable image" in table["broken.jpg"]["reason"]
    assert told == [
        "5 of 6 pictures edited\n1 could not be read: broken.jpg (reasons in edits.csv)\n"
        "5 edited with a note: b.png, c.jpg, sub/a.jpg and 2 more (notes in edits.csv)\n"
        "1 under another name (format not written, or name taken): sub/e.gif as sub/e.png"
    ]
    assert seen[-1] == (6, 6)
    for name, row in table.items():
        assert row["model_sha256"] == model.hash
        if row["status"] == "edited":
            before = model.classify(model.prepared([photos / name]))[0, model.schema.names.index("Smiling")]
            assert float(row["Smiling before"]) == pytest.approx(float(before), abs=1e-3)
            assert 0 <= float(row["Smiling after"]) <= 1
    with Image.open(out / "c.jpg") as jpeg:
        assert (jpeg.format, jpeg.size) == ("JPEG", (20, 24))


def test_a_picture_comes_out_as_if_it_were_edited_alone(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    picture(photos / "turned.png", 7, exif=_turned())
    EditFolder(model=run, folder=photos, **SMILE).write(tmp_path / "out", model)
    for name in ("b.png", "turned.png"):
        Edit(model=run, images=[photos / name], changes=SMILE["changes"]).write(tmp_path / "one.png", model)
        alone, edited = (
            np.asarray(Image.open(path)) for path in (tmp_path / "one.edited.png", tmp_path / "out" / name)
        )
        assert np.abs(alone.astype(int) - edited).max() <= 1
    lossy = np.asarray(Image.open(tmp_path / "out" / "c.jpg")).astype(int)
    Edit(model=run, images=[photos / "c.jpg"], changes=SMILE["changes"]).write(tmp_path / "one.png", model)
    assert np.abs(lossy - np.asarray(Image.open(tmp_path / "one.edited.jpg"))).mean() < 5


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_what_is_done_is_not_done_again(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", []
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    first = {name: (out / row["result"]).stat().st_mtime_ns for name, row in rows(out).items() if row["result"]}
    receipt = read_json(out / "edits.json")
    picture(photos / "c.jpg", 40)  # another picture under an old name
    picture(photos / "new.png", 41)
    (out / "sub" / "a.jpg").unlink()
    EditFolder(model=run, folder=photos, **SMILE).write(out, model, say=told.append)
    assert told[0].startswith("6 of 7 pictures edited, 3 of them before")
    again = {name: (out / row["result"]).stat().st_mtime_ns for name, row in rows(out).items() if row["result"]}
    same = {name for name, time in first.items() if again[name] == time}
    assert same == {"b.png", "sub/deep/d.webp", "sub/e.gif"}
    assert len(read_json(out / "edits.json")["outputs"]) == len(receipt["outputs"]) + 1


def test_nothing_of_others_is_overwritten(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_bytes(b"mine")
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    assert (out / "b.png").read_bytes() == b"mine"
    assert rows(out)["b.png"]["status"] == "skipped"
    assert "is another file" in rows(out)["b.png"]["reason"]
    (out / "c.jpg").write_bytes(b"changed by hand")
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    assert (out / "c.jpg").read_bytes() == b"changed by hand"
    assert rows(out)["c.jpg"]["status"] == "skipped"


def test_another_edit_does_not_go_into_the_same_folder(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = tiny_model(tmp_path / "other", seed=5)
    for loaded, change in ((model, {"changes": {"Male": 1.0}}), (model, SMILE | {"known": {"Male": 1.0}}),
                           (other, SMILE)):  # fmt: skip
        with pytest.raises(AttrimorphError, match="hold results of the same edit"):
            EditFolder(model=run, folder=photos, **change).write(out, loaded)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "edits.csv").write_text("my own table\n")
    with pytest.raises(AttrimorphError, match="hold results of the same edit"):
        EditFolder(model=run, folder=photos, **SMILE).write(tmp_path / "mine", model)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_places_that_would_mix_pictures_and_results_are_refused(
    model: Model, run: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(photos)
    for out in (photos, photos / "out", tmp_path, tmp_path / "link", tmp_path / "link" / "out"):
        with pytest.raises(AttrimorphError, match="a folder apart from the pictures"):
            EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    with pytest.raises(AttrimorphError, match="Nose"):
        EditFolder(model=run, folder=photos, changes={"Nose": 1.0}).write(tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.gif", "a.png"], ["a.gif.png", "a.png"]),
        (["a.gif", "b.gif"], ["a.png", "b.png"]),
        (["A.jpg", "a.jpg", "x/a.jpg"], ["A.jpg", "a-2.jpg", "x/a.jpg"]),
        (["a.gif", "a.png/b.png"], ["a.gif.png", "a.png/b.png"]),
        (["a.gif", "a.pgm", "a.png", "a.gif.png"], ["a-2.png", "a.pgm", "a.png", "a.gif.png"]),
    ],
)
def test_no_two_results_share_a_name(names: list[str], places: list[str]) -> None:
    assert [results_of(names)[name] for name in names] == places


def test_names_of_many_results_take_no_longer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = [0], PurePosixPath.with_suffix

    def counted(self: PurePosixPath, suffix: str) -> PurePosixPath:
        made[0] += 1
        return real(self, suffix)

    monkeypatch.setattr(PurePosixPath, "with_suffix", counted)
    names = [f"{number}.png" for number in range(500)] + [f"{number}.gif" for number in range(500, 600)]
    assert len(set(results_of(names).values())) == 600
    assert made[0] < 3 * len(names)


def test_results_are_made_durable_together(
    model: Model, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some wait for the disk at the same time; each is whole, and readable as other files are."""
    for seed in range(24):
        picture(tmp_path / "in" / f"{seed}.png", seed)
    waiting, most, real = [0], [0], os.fsync

    def waits(handle: int) -> None:
        waiting[0] += 1
        most[0] = max(most[0], waiting[0])
        time.sleep(0.002)
        real(handle)
        waiting[0] -= 1

    monkeypatch.setattr(os, "fsync", waits)
    before = os.umask(0o027)
    try:
        EditFolder(model=run, folder=tmp_path / "in", **SMILE).write(tmp_path / "out", model)
    finally:
        assert os.umask(before) == 0o027
    assert most[0] > 1
    files = sorted((tmp_path / "out").iterdir())
    assert {path.name for path in files} == {"edits.csv", "edits.json", *(f"{seed}.png" for seed in range(24))}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


def test_a_torn_line_is_dropped(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    whole = (out / "edits.csv").read_bytes()
    (out / "edits.csv").write_bytes(whole[:-40])
    receipt = read_json(out / "edits.json")
    columns = ["Smiling before", "Smiling after"]
    assert len(EditsTable(out, Receipt.model_validate({**receipt, "inputs": []}), columns).rows) == 5
    # Its result is there without a line of the table, and so is nobody's: it stays as it is.
    EditFolder(model=run, folder=photos, **SMILE).write(out, model)
    assert rows(out)["sub/e.gif"]["status"] == "skipped"


def test_a_receipt_edits_the_folder_again(model: Model, run: Path, photos: Path, tmp_path: Path) -> None:
    written = EditFolder(model=run, folder=photos, **SMILE).write(tmp_path / "out", model)
    picture(photos / "later.png", 50)
    again = replay(written.receipt)
    assert again.identical
    assert again.written.pictures == (tmp_path / "out.again",)
    assert not (tmp_path / "out.again" / "later.png").exists()
    picture(photos / "b.png", 51)
    with pytest.raises(AttrimorphError, match="it has changed"):
        replay(written.receipt, tmp_path / "third")


def test_a_chain_edits_a_folder_and_a_judge_looks(photos: Path, tmp_path: Path) -> None:
    for name in ("Smiling", "Young"):
        small_model(tmp_path / name, "cyclegan-64", {"domains.attribute": name})
    named = f"{tmp_path / 'Smiling'},{tmp_path / 'Young'}"
    change = {"changes": {"Smiling": 1.0, "Young": -1.0}}
    written = EditFolder(model=named, folder=photos, **change).write(tmp_path / "out", load(named))
    (row, *_) = rows(tmp_path / "out").values()
    assert row["Young after"]
    assert replay(written.receipt).identical


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "homointerp-drawn-64", "--like", "REFERENCE", "--set", "hair colour=1"],
        ["--model", "pggan-drawn-64", "--axes", "own", "--set", "Smiling=1", "--invert", "--invert-steps", "2"],
    ],
    ids=["like", "axes"],
)  # fmt: skip
def test_references_and_axes_edit_a_folder(words: list[str], tmp_path: Path) -> None:
    for seed, name in enumerate(("b.png", "c.jpg")):
        picture(tmp_path / "photos" / name, seed)
    reference = str(picture(tmp_path / "reference.png", 9))
    line = [reference if word == "REFERENCE" else word for word in words]
    screen = terminal.run(["edit", str(tmp_path / "photos"), *line, "--out", str(tmp_path / "out")])
    assert screen.code == 0, screen.text
    with Image.open(tmp_path / "out" / "b.png") as edited:
        assert edited.size == (20, 24)
    assert replay(tmp_path / "out" / "edits.json").identical


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl+C"])
def test_an_interrupted_edit_goes_on(number: int, tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    for seed in range(150):
        picture(folder / f"{seed % 3}" / f"{seed}.png", seed)
    words = ["edit", str(folder), "--set", "Smiling=1", "--out", str(out)]

    def stop(child: int, _: str) -> bool:
        if any(out.rglob("[0-9]*.png")):
            os.kill(child, number)
            return True
        return False

    screen = terminal.run(words, during=stop)
    assert screen.code == (-signal.SIGKILL if number == signal.SIGKILL else 130), screen.text
    if number == signal.SIGINT:
        assert "of 150 pictures are in" in screen.text
        assert "go on with" in screen.text
    done = {path: path.stat().st_mtime_ns for path in out.rglob("[0-9]*.png")}
    assert 0 < len(done) < 150
    screen = terminal.run(words)
    assert screen.code == 0, screen.text
    assert any("150 of 150 pictures edited," in line for line in screen.lines)
    assert any("images/s" in frame for frame in screen.frames)
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert len(rows(out)) == 150
    assert {row["status"] for row in rows(out).values()} == {"edited"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["FOLDER"], "add --out photos-edited"),
        (["FOLDER", "FOLDER", "--out", "OUT"], "one folder alone"),
        (["FOLDER", "--axes", "FOLDER", "--seed", "3", "--out", "OUT"], "one folder alone"),
        (["FOLDER", "--invert", "--invert-seconds", "3", "--out", "OUT"], "give --invert-steps instead"),
        (["FOLDER", "--like", "FOLDER", "--known", "Male=1", "--out", "OUT"], "do nothing in an edit with references"),
        (["FOLDER", "--out", "FOLDER"], "a folder apart from the pictures"),
    ],
)
def test_bad_words_are_one_sentence(run: Path, photos: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    places = {"FOLDER": str(photos), "OUT": str(tmp_path / "out")}
    line = ["edit", *(places.get(word, word) for word in words), "--set", "Smiling=1", "--model", str(run)]
    screen = terminal.run(line, columns=400)
    assert screen.code == 2
    assert sentence in screen.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["reconstruct", "transfer", "inpaint", "superresolve"])
def test_other_verbs_say_that_a_folder_is_no_picture(verb: str, run: Path, photos: Path, tmp_path: Path) -> None:
    more = {"transfer": ["--from", str(photos)], "inpaint": ["--hole", "1,1,4,4"]}.get(verb, [])
    screen = terminal.run(
        [verb, str(photos), *more, "--model", str(run), "--out", str(tmp_path / "o.png")], columns=400
    )
    assert screen.code == 2
    assert "is a folder, where a picture was expected" in screen.text


def test_many_pictures_have_no_sheet(model: Model, run: Path, tmp_path: Path) -> None:
    paths = [picture(tmp_path / "in" / f"{seed}.png", seed) for seed in range(33)]
    written = Edit(model=run, images=paths, changes=SMILE["changes"]).write(tmp_path / "edit.png", model)
    assert [path.name for path in written.pictures] == [f"edit.edited-{number}.png" for number in range(1, 34)]
    assert "at most 32 pictures" in written.notes[0]
    assert replay(written.receipt).identical
    written = Reconstruct(model=run, images=paths).write(tmp_path / "rec.png", model)
    assert [path.name for path in written.pictures] == [f"rec.reconstruction-{number}.png" for number in range(1, 34)]
    assert replay(written.receipt).identical
    written = Edit(model=run, images=paths[:32], changes=SMILE["changes"]).write(tmp_path / "few.png", model)
    assert written.pictures[0].name == "few.png"
    assert not written.notes
