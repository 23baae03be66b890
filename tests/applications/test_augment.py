"""Augmentation: classes come out equal, labels say what was made, and folders are read back as they were written."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from attrimorph import cli
from attrimorph.applications.augment import (
    LabelledFolder,
    balanced,
    classes_by,
    folder_name,
    generated_rows,
    members,
    more_of_each,
    write_worth,
)
from attrimorph.applications.confirm import Confirmation, confirmation
from attrimorph.applications.edit import edited_images
from attrimorph.applications.identities import new_identities
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.images import read_pixels
from attrimorph.data.prepared import PreparedData, open_prepared, prepare
from attrimorph.data.readers import Source
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.files import read_json
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.models.model import Model, decided
from attrimorph.photographs.fields import composed
from attrimorph.requests.on_data import Augment
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model

CLASSES = Schema((Attribute("person", "categorical", ("ada", "ben", "eve", "zoe")), Attribute("Hat")))
NAMES = ["Eyeglasses", "Male"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return write_faces(tmp_path_factory.mktemp("data") / "faces", count=120, size=16, identities=12)


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load("drawn-faces-64")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Faces of the shipped model's size."""
    return write_faces(tmp_path_factory.mktemp("data") / "large", count=120, size=64, identities=12)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Four people, each of a colour; a hat is a bright bar."""
    out, random = tmp_path_factory.mktemp("coloured") / "data", np.random.default_rng(0)
    who = torch.tensor([0] * 60 + [1] * 30 + [2] * 25 + [3] * 20)
    hat = torch.arange(len(who)) * 7 // 3 % 2
    colours = np.array([[220, 40, 40], [40, 200, 40], [40, 40, 220], [200, 200, 40]])
    images = colours[who.numpy()][:, None, None] + random.normal(0, 8, (len(who), 16, 16, 3))
    images[hat.numpy() == 1, :5] = 250
    y = torch.cat([torch.nn.functional.one_hot(who, 4), hat[:, None]], 1).float()
    split = (["train"] * 8 + ["valid", "test"]) * 13 + ["train"] * 5
    write_prepared(out, images.clip(0, 255).astype(np.uint8), CLASSES, y, identity=who, split=split)
    return open_prepared(out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, coloured: PreparedData) -> Path:
    """A model that has learned the four and their hats, by the command itself."""
    run = tmp_path_factory.mktemp("trained") / "run"
    fields = {f"networks.{name}-width": 8 for name in ("encoder", "generator", "discriminator", "classifier")}
    fields |= {"networks.latent": 4, "data.image-size": 16, "training.images": 4000, "training.batch-size": 32}
    fields |= {"training.precision": "float32", "training.memory-format": "contiguous"}
    words = [f"--{name}={value}" for name, value in fields.items()]
    assert cli.run(["train", "cvae-gan-edit", *words, "--data", str(coloured.path), "--out", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def people_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("people") / "run", schema=CLASSES)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    out = tmp_path_factory.mktemp("people") / "data"
    random = np.random.default_rng(0)
    who = torch.tensor([0] * 12 + [1] * 6 + [2] * 5 + [3] * 4)
    y = torch.cat([torch.nn.functional.one_hot(who, 4), torch.arange(27)[:, None] % 2], 1).float()
    write_prepared(
        out, random.integers(0, 256, (27, 16, 16, 3)).astype(np.uint8), CLASSES, y, identity=who,
        split=["train"] * 25 + ["valid", "test"],
    )  # fmt: skip
    return open_prepared(out)


def test_classes_are_the_combinations_that_can_be() -> None:
    assert list(classes_by(faces.SCHEMA, NAMES)) == [
        "Eyeglasses=0,Male=0", "Eyeglasses=0,Male=1", "Eyeglasses=1,Male=0", "Eyeglasses=1,Male=1",
    ]  # fmt: skip
    hair = classes_by(faces.SCHEMA, ["Black_Hair", "Blond_Hair"])
    assert "Black_Hair=1,Blond_Hair=1" not in hair
    assert len(hair) == 3
    assert classes_by(CLASSES, ["person", "Hat"])["person=eve,Hat=0"] == {"person=eve": 1.0, "Hat": -1.0}


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "at least one attribute must be balanced"),
        (["Male", "Male"], "none twice"),
        (["Nose"], "there is no attribute 'Nose'"),
        (list(faces.SCHEMA.names)[:11], "at most 1000 classes"),
    ],
)
def test_bad_names_are_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        classes_by(faces.SCHEMA, names)


@pytest.mark.parametrize("way", ["edit", "sample"])
def test_balancing_makes_all_classes_as_large_as_the_largest(way: str, model: Model, data: PreparedData) -> None:
    cells = classes_by(data.schema, NAMES)
    counts = {words: len(rows) for words, rows in members(data, cells, "train").items()}
    assert len(set(counts.values())) > 1
    for made in balanced(model, data, NAMES, confirm=None, way=way, seed=3):
        counts[made.label] += len(made.images)
        wanted = torch.tensor([float(part[-1]) for part in made.label.split(",")])
        columns = [data.schema.names.index(name) for name in NAMES]
        assert (made.attributes[:, columns] == wanted).all()
    assert len(set(counts.values())) == 1


def test_edits_start_from_different_images_with_the_fewest_changes(model: Model, data: PreparedData) -> None:
    cells = classes_by(data.schema, NAMES)
    found = members(data, cells, "train")
    columns = [data.schema.names.index(name) for name in NAMES]
    by_label: dict[str, list[int]] = {}
    for made in balanced(model, data, NAMES, confirm=None, way="edit"):
        assert made.sources is not None
        by_label.setdefault(made.label, []).extend(made.sources.tolist())
        # Nothing else of the labels changed, but for rivals.
        before = data.attributes[torch.from_numpy(made.sources)]
        torch.testing.assert_close(made.attributes, data.schema.edit(before, cells[made.label]))
    for words, sources in by_label.items():
        assert len(set(sources)) == len(sources)
        goal = torch.tensor([float(part[-1]) for part in words.split(",")])
        changes = (data.attributes[sources][:, columns] != goal).sum(1)
        near = sum(len(found[other]) for other in cells if _distance(words, other) == 1)
        assert int((changes == 1).sum()) == min(near, len(sources))


def _distance(words: str, other: str) -> int:
    return sum(a != b for a, b in zip(words.split(","), other.split(","), strict=True))


def test_edits_are_put_into_their_images(model: Model, data: PreparedData) -> None:
    assert isinstance(model, Editor)
    images, y = data.batch(np.arange(6))
    before, after = model.decode(model.encode(images, y)), model.edit(images, {"Smiling": 1.0}, y)
    found = edited_images(model, images, {"Smiling": 1.0}, y)
    torch.testing.assert_close(found, composed(images, before, after))
    already = y[:, data.schema.names.index("Smiling")] == 1
    assert torch.equal(found[already], images[already])
    # As receipts of before mean it, the difference of the two decodings is added.
    earlier = edited_images(model, images, {"Smiling": 1.0}, y, "earlier")
    torch.testing.assert_close(earlier, (images + after - before).clamp(-1, 1))


def test_more_of_each_class(people_model: Model) -> None:
    made = list(more_of_each(people_model, 3, confirm=None, seed=1))
    assert [each.label for each in made] == ["person=ada", "person=ben", "person=eve", "person=zoe"]
    for number, each in enumerate(made):
        assert each.images.shape == (3, 16, 16, 3)
        assert each.attributes[:, :4].argmax(1).eq(number).all()
    again = list(more_of_each(people_model, 3, confirm=None, seed=1))
    assert all(np.array_equal(a.images, b.images) for a, b in zip(made, again, strict=True))


def test_a_new_identity_mixes_three_class_codes(people_model: Model, people: PreparedData) -> None:
    made = list(new_identities(people_model, people, 5, 2, confirm=None))
    assert [each.label for each in made] == [f"new-000{number}" for number in range(1, 6)]
    for each in made:
        mixture = each.attributes[:, :4]
        assert torch.equal(mixture[0], mixture[1])
        shares = mixture[0][mixture[0] > 0]
        assert len(shares) == 3
        assert float(shares.sum()) == pytest.approx(1)
        assert float(shares.min() / shares.max()) >= 0.5


def test_a_new_identity_of_an_attribute_model_keeps_what_does_not_change(model: Model, data: PreparedData) -> None:
    (made,) = new_identities(model, data, 1, 40, confirm=None)
    fixed = [data.schema.names.index(name) for name in ("Male", "Young", "Big_Nose", "Bald")]
    assert made.attributes[:, fixed].std(0).eq(0).all()
    assert made.attributes[:, data.schema.names.index("Smiling")].std() > 0
    assert set(made.identities) == {"new-0001"}


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({}, "must be told what to make"),
        ({"balance": ("Male",), "identities": 3}, "leave the others out"),
        ({"identities": 0}, "must be at least 1"),
        ({"identities": 3, "each": 0}, "must be at least 1"),
        ({"each": 3}, "only a model with a categorical attribute has classes"),
        ({"balance": ("Male",), "way": "magic"}, "way: must be 'auto', 'edit' or 'sample'"),
        ({"balance": ("Male",), "seed": -1}, "seed must lie in"),
    ],
)
def test_bad_wishes_are_refused_and_write_nothing(
    shipped: Model, large: PreparedData, tmp_path: Path, wish: dict[str, object], sentence: str
) -> None:
    assert large.path is not None
    with pytest.raises(AttrimorphError, match=sentence):
        Augment.checked(model="tiny", data=large.path, **wish).write(tmp_path / "out.png", shipped)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["auto", "classes"])
def test_a_balanced_folder_is_prepared_as_it_was_written(
    format: str, shipped: Model, large: PreparedData, tmp_path: Path
) -> None:
    data = large
    assert data.path is not None
    written = Augment(model="drawn-faces-64", data=data.path, balance=tuple(NAMES)).write(tmp_path / "set.png", shipped)
    summary = prepare(Source(tmp_path / "set", format), tmp_path / "prepared", 64)
    assert summary.skipped == []
    back = open_prepared(tmp_path / "prepared")
    if format == "classes":
        (attribute,) = back.schema.attributes
        assert attribute.values == tuple(sorted(classes_by(data.schema, NAMES)))
        counts = back.attributes[torch.from_numpy(back.indices("train"))].sum(0)
        assert len(set(counts.tolist())) == 1
        return
    assert back.schema.names == data.schema.names
    cells = classes_by(data.schema, NAMES)
    assert len({len(rows) for rows in members(back, cells, "train").values()}) == 1
    for split in ("valid", "test"):
        assert len(back.indices(split)) == len(data.indices(split))
    real = [row for row, name in enumerate(back.files) if "real-" in name]

    # The real images and their labels, pixel by pixel, in another order.
    def key(images: np.ndarray, labels: torch.Tensor, row: int) -> tuple[bytes, bytes]:
        return images[row].tobytes(), labels[row].numpy().tobytes()

    before = sorted(key(data.images, data.attributes, row) for row in range(len(data)))
    assert sorted(key(back.images, back.attributes, row) for row in real) == before
    with written.tables[0].open() as file:
        assert len(list(csv.DictReader(file))) == len(back) - len(real)


@pytest.mark.parametrize(
    "wish",
    [{"balance": ("Hat",)}, {"identities": 2, "each": 3}, {"each": 2}],
    ids=["balance", "identities", "each"],
)
def test_a_receipt_makes_the_same_images_again(
    trained: Path, coloured: PreparedData, tmp_path: Path, wish: dict[str, object]
) -> None:
    assert coloured.path is not None
    written = Augment(model=trained, data=coloured.path, **wish).write(tmp_path / "set.png", load(trained))
    assert replay(written.receipt).identical
    files = sorted(path.relative_to(tmp_path / "set") for path in (tmp_path / "set").rglob("*.*"))
    assert files
    for path in files:
        assert (tmp_path / "set" / path).read_bytes() == (tmp_path / "set.again" / path).read_bytes()


def test_new_identities_come_back_as_identities(trained: Path, coloured: PreparedData, tmp_path: Path) -> None:
    assert coloured.path is not None
    wish = {"identities": 3, "each": 4}
    Augment(model=trained, data=coloured.path, **wish, real=False).write(tmp_path / "set.png", load(trained))
    prepare(tmp_path / "set", tmp_path / "prepared", 16)
    back = open_prepared(tmp_path / "prepared")
    assert torch.bincount(back.identity).tolist() == [4, 4, 4]
    assert back.schema.attribute("person").values == ("new-0001", "new-0002", "new-0003")
    assert "generated" in back.schema.names


def test_equal_classes_leave_nothing_to_make(people_model: Model, tmp_path: Path) -> None:
    images = np.zeros((4, 16, 16, 3), np.uint8)
    y = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 0, 0, 0]])
    write_prepared(tmp_path / "data", images, CLASSES, y)
    with pytest.raises(AttrimorphError, match="equal already"):
        Augment(model="t", data=tmp_path / "data", balance=("Hat",), real=False).write(tmp_path / "o.png", people_model)
    assert not (tmp_path / "o").exists()


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with LabelledFolder(tmp_path / "set", ["Hat"]) as folder:
            pixels = np.zeros((1, 8, 8, 3), np.uint8)
            folder.add(pixels, {"Hat": [1]}, split="train", label="a", identities=[""], stem="real")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(AttrimorphError, match="must be a new or empty folder"), LabelledFolder(tmp_path / "full", []):
        pass
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(("label", "name"), [("a/b", "a_b"), ("..", "_"), ("Male=1", "Male=1"), ("", "_")])
def test_class_names_become_folders(label: str, name: str) -> None:
    assert folder_name(label) == name


def test_generated_images_are_read_back_for_trial(shipped: Model, large: PreparedData, tmp_path: Path) -> None:
    assert large.path is not None
    wish = {"balance": ("Eyeglasses",)}
    Augment(model="drawn-faces-64", data=large.path, **wish).write(tmp_path / "set.png", shipped)
    rows = generated_rows(tmp_path / "set")
    confirm = confirmation(shipped, large.schema, ["Eyeglasses"], None)
    made = np.concatenate([each.images for each in balanced(shipped, large, ["Eyeglasses"], confirm=confirm)])
    read = np.stack([read_pixels(tmp_path / "set" / row["file_name"], 64) for row in rows])
    assert np.array_equal(read, made)
    path, worths = write_worth(large, tmp_path / "set", ["Eyeglasses"], people=False, seeds=[0], images_seen=128)
    assert path == tmp_path / "set.worth.json"
    assert any(worth.name.startswith("accuracy, worst") for worth in worths) or len(worths) >= 1
    with pytest.raises(AttrimorphError, match="must be a folder that augment wrote"):
        generated_rows(tmp_path)


@pytest.mark.parametrize(
    "wish",
    [
        {"balance": ("Hat",), "composition": "earlier"},
        {"balance": ("Hat", "person"), "way": "sample"},
        {"each": 6},
    ],
    ids=str,
)
def test_a_weak_model_is_refused_and_writes_nothing(
    people_model: Model, coloured: PreparedData, tmp_path: Path, wish: dict[str, object]
) -> None:
    assert coloured.path is not None
    with pytest.raises(AttrimorphError, match=r"at least half of the generated images .* \([0-4]?\d%; "):
        Augment(model="tiny", data=coloured.path, **wish).write(tmp_path / "set.png", people_model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wish", [{"balance": tuple(NAMES)}, {"balance": tuple(NAMES), "way": "sample"}], ids=["edit", "sample"]
)
def test_every_label_that_is_written_is_seen_by_classifier_and_judge(
    shipped: Model, large: PreparedData, tmp_path: Path, wish: dict[str, object]
) -> None:
    assert large.path is not None
    told: list[str] = []
    written = Augment(model="drawn-faces-64", data=large.path, **wish, real=False).write(
        tmp_path / "set.png", shipped, say=told.append
    )
    rows, judge = generated_rows(tmp_path / "set"), load_judge("drawn-faces-64")
    pixels = np.stack([read_pixels(tmp_path / "set" / row["file_name"], 64) for row in rows])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.from_numpy(large.schema.encode({name: [row[name] for row in rows] for name in large.schema.names}))
    for seen in (decided(shipped.classify(images), shipped.schema), decided(judge(images), judge.schema)):
        assert ((seen == y) | y.isnan()).all()
    columns = [large.schema.names.index(name) for name in NAMES]
    assert not y[:, columns].isnan().any()
    facts = read_json(written.receipt)["facts"]["confirmation"]
    assert facts["labels left empty"] == int(y.isnan().sum())
    assert facts["confirmed"] == len(rows) <= facts["tried"]
    assert facts["by"] == ["classifier of drawn-faces-64", "judge drawn-faces-64"]
    assert told == [
        f"{len(rows):,} of {facts['tried']:,} images confirmed (classifier of drawn-faces-64, judge drawn-faces-64); "
        f"{facts['tried'] - len(rows):,} left out; {facts['labels left empty']:,} other labels left empty"
    ]


def test_what_is_not_confirmed_is_tried_again_up_to_twice(shipped: Model, large: PreparedData) -> None:
    class Doubts(Confirmation):
        """One that doubts every third image."""

        def __call__(
            self, label: str, images: torch.Tensor, y: torch.Tensor, claimed: Sequence[str]
        ) -> tuple[torch.Tensor, torch.Tensor]:
            kept = (torch.arange(len(images)) + self.tried[label]) % 3 > 0
            self.tried[label] += len(images)
            self.confirmed[label] += int(kept.sum())
            return kept, y

    cells = classes_by(large.schema, NAMES)
    counts = {words: len(rows) for words, rows in members(large, cells, "train").items()}
    doubts = Doubts(large.schema, ())
    made = list(balanced(shipped, large, NAMES, confirm=doubts))
    for words, count in counts.items():
        lacking = max(counts.values()) - count
        assert sum(len(each.images) for each in made if each.label == words) == lacking
        assert doubts.tried[words] <= 2 * lacking
    assert not doubts.lacking.total()
    assert doubts.tried.total() > doubts.confirmed.total()


def test_a_new_person_is_confirmed_by_the_identity_encoder(shipped: Model, large: PreparedData) -> None:
    confirm = confirmation(shipped, large.schema, (), None, people=True)
    made = list(new_identities(shipped, large, 3, 6, confirm=confirm))
    assert {each.label: len(each.images) for each in made} == dict.fromkeys(["new-0001", "new-0002", "new-0003"], 6)
    # The same person under three names is none of them.
    again = confirmation(shipped, large.schema, (), None, people=True)
    images = torch.from_numpy(made[0].images).permute(0, 3, 1, 2).float() / 127.5 - 1
    shares = [again(f"new-{number}", images, made[0].attributes, ())[0].float().mean() for number in range(3)]
    assert shares[0] == 1
    assert max(shares[1:]) < 0.5


def test_who_confirms_must_be_able_to(model: Model, data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="--judge must know person"):
        confirmation(tiny_model(tmp_path / "large", schema=CLASSES, size=32), CLASSES, ["person"], "drawn-faces-32")
    with pytest.raises(AttrimorphError, match="--judge must look at 16 px"):
        confirmation(model, data.schema, ["Male"], "drawn-faces-32")
    with pytest.raises(AttrimorphError, match="no identity encoder ships for these images"):
        confirmation(model, data.schema, (), None, people=True)
    gan = tiny_model(tmp_path / "gan", method="gan")
    with pytest.raises(AttrimorphError, match="somebody must confirm Male"):
        confirmation(gan, data.schema, ["Male"], None)
