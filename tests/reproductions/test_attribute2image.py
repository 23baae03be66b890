"""The experiments on Attribute2Image, tiny: each leaves its page, pictures and numbers; bars are decided by numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attrimorph.cli import run
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces, write_shapes
from attrimorph.data.prepared import open_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json
from attrimorph.loading import load
from attrimorph.methods.attribute2image.model import LayeredModel
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.models.model import Encodes
from attrimorph.models.model import ImageLayers as Painted
from attrimorph.reproductions import EXPERIMENTS, attribute2image, inversion, names_of
from attrimorph.reproductions.contexts import face_model, reconstructed, training_faces
from attrimorph.reproductions.frame import FULL, QUICK, Form, Request, decide, write_outcome
from tests.reproductions import tiny
from tests.tiny_models import tiny_layers, tiny_model

FIELDS = tiny.FIELDS | {"networks.background_latent": 4, "networks.decoder_width": 4, "networks.background_width": 4}
TINY = Form("tiny", changes=FIELDS, faces=40, unseen=8, search=(2, 3))
NAMES = [name for name, each in EXPERIMENTS.items() if each.paper == "Attribute2Image"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the experiments share: data and models."""
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The second models: a GAN and a CVAE-GAN of the tiny size; drift trains its own."""
    places = {name: tmp_path_factory.mktemp(name) for name in ("inversion", "completion")}
    tiny_model(places["inversion"], method="gan")
    tiny_model(places["completion"])
    return {name: str(place) for name, place in places.items()}


def asked(out: Path, **changes: object) -> Request:
    return replace(Request(out, form=TINY, seeds=(0,)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_leaves_page_numbers_and_pictures(name: str, folder: Path, others: dict[str, str]) -> None:
    asks = asked(folder, other_model=others.get(name))
    page = write_outcome(EXPERIMENTS[name].run(asks), folder)
    told = json.loads((folder / name / "results.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert told["claims"]
    assert {claim["verdict"] for claim in told["claims"]} <= {"seen once", "not reproduced", "not decided"}
    assert list((folder / name / "pictures").glob("*.png"))
    content = page.read_text().replace("&#x27;", "'")
    assert all(claim["evidence"].split(",")[0] in content for claim in told["claims"])
    models = {path: path.stat().st_mtime_ns for path in folder.glob("models/*/*/checkpoints/*/model.safetensors")}
    assert models
    EXPERIMENTS[name].run(asks)
    assert models == {path: path.stat().st_mtime_ns for path in models}


def test_named_models_are_taken_and_nothing_is_trained(tmp_path: Path) -> None:
    tiny_layers(tmp_path / "discvae")
    tiny_layers(tmp_path / "cvae", method="attribute2image-cvae")
    asks = asked(tmp_path / "out", model=str(tmp_path / "discvae"), other_model=str(tmp_path / "cvae"))
    assert attribute2image.drift(asks).figures["mean drift"].keys() == {"cvae", "discvae"}
    attribute2image.layers(asks)
    assert not (tmp_path / "out").exists()


# --- refusals


def test_models_that_cannot_are_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path / "gan", method="gan")
    tiny_model(tmp_path / "editor")
    tiny_layers(tmp_path / "cvae", method="attribute2image-cvae")
    with pytest.raises(AttrimorphError, match="the experiment layers needs a model that paints in layers"):
        attribute2image.layers(asked(tmp_path, model=str(tmp_path / "editor")))
    with pytest.raises(AttrimorphError, match="compares with an encoder"):
        inversion.run(asked(tmp_path, model=str(tmp_path / "gan")))
    with pytest.raises(AttrimorphError, match="--other-model must be a GAN"):
        inversion.run(asked(tmp_path, model=str(tmp_path / "editor"), other_model=str(tmp_path / "cvae")))
    with pytest.raises(AttrimorphError, match="images of one size; they make 16 and 64 pixels"):
        inversion.completion(asked(tmp_path, model=str(tmp_path / "editor")))


def test_data_must_be_drawn_faces(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", count=20, size=16)
    with pytest.raises(
        AttrimorphError,
        match="must have the attributes of drawn faces, by name, kind, values and order",
    ):
        training_faces(asked(tmp_path, data=tmp_path / "shapes"), 16)
    write_faces(tmp_path / "faces", count=20, size=16)
    assert len(training_faces(asked(tmp_path, data=tmp_path / "faces"), 16)) == 20


# --- figures


def test_true_layers_reach_every_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unseen = drawn_images(6, 16)
    true = attribute2image.true_layers(unseen)
    found = Painted(attribute2image.on_black(true), 1 - true.mask, true.background, true.image)
    model = tiny_layers(tmp_path)
    assert isinstance(model, LayeredModel)
    honest = attribute2image.layer_figures(model, unseen)
    assert [each.verdict for each in decide(attribute2image.layer_claims(honest))] == ["not reproduced"] * 3
    monkeypatch.setattr(attribute2image, "layers_of", lambda *_: found)
    figures = attribute2image.layer_figures(model, unseen)
    assert figures[attribute2image.GATE] == 1
    assert (
        min(figures[name] for name in (attribute2image.HIDDEN, attribute2image.FOREGROUND, attribute2image.INSIDE)) > 90
    )
    assert figures[attribute2image.COMPOSITE] > 40
    assert [each.verdict for each in decide(attribute2image.layer_claims(figures))] == ["seen once"] * 3
    # What is wrong behind the face alone does not count elsewhere.
    spoilt = Painted(found.foreground, found.gate, torch.where(true.mask > 0.5, -true.background, true.background),
                     found.composite)  # fmt: skip
    monkeypatch.setattr(attribute2image, "layers_of", lambda *_: spoilt)
    figures = attribute2image.layer_figures(model, unseen)
    assert figures[attribute2image.HIDDEN] < figures[attribute2image.BACKGROUND] < 40


def test_the_bound_is_that_of_the_model(tmp_path: Path) -> None:
    model, unseen = tiny_layers(tmp_path), drawn_images(5, 16)
    assert isinstance(model, LayeredModel)
    assert unseen.masks is not None
    whole = model.lower_bound(unseen.images, unseen.labels, torch.Generator().manual_seed(0), unseen.masks)
    found = attribute2image.lower_bound(model, unseen, unseen.masks).means()
    assert found == pytest.approx(whole.means(), rel=1e-5)
    terms = [name for name in found if name != "bound"]
    assert found["bound"] == pytest.approx(sum(found[name] for name in terms), rel=1e-4)


def test_drift_is_none_where_nothing_is_edited_and_counts_what_moves(tmp_path: Path) -> None:
    model, unseen = tiny_model(tmp_path), drawn_images(8, 16)
    before = reconstructed(model, unseen.images, unseen.labels)
    changes = attribute2image.true_edits(unseen, each=3)
    assert {change.name for change in changes} == set(faces.SCHEMA.names)
    for change in changes:
        column = faces.SCHEMA.columns(change.name).start
        assert unseen.labels[change.rows, column].eq(float(not change.goal)).all()

    class Still:
        def edit(self, images: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.cat([before[(unseen.images == image).all(3).all(2).all(1)] for image in images])

    class Brighter(Still):
        def edit(self, images: torch.Tensor, *_: object) -> torch.Tensor:
            return super().edit(images) + 2 / 255

    still, reached = attribute2image.drifts(Still(), unseen, before, changes, None)  # type: ignore[arg-type]
    assert set(still.values()) == {0.0}
    assert np.isnan(reached)
    moved, _ = attribute2image.drifts(Brighter(), unseen, before, changes, None)  # type: ignore[arg-type]
    assert list(moved.values()) == pytest.approx([1.0] * len(moved), rel=1e-4)
    assert decide(attribute2image.drift_claims({"cvae": 5.0, "discvae": 0.9}))[0].verdict == "seen once"
    assert decide(attribute2image.drift_claims({"cvae": 5.0, "discvae": 1.1}))[0].verdict == "not reproduced"


def test_bars_of_inversion_are_decided_by_numbers() -> None:
    quality = {"given": {"0": 20.0, "100": 23.0}, "unknown": {"0": 20.0, "100": 21.0}, "no encoder": {"100": 19.0}}
    seconds = {"with encoder": 5.0, "without encoder": 12.0}
    verdicts = [each.verdict for each in decide(inversion.claims(quality, seconds, 64, "100"))]
    assert verdicts == ["seen once", "not reproduced", "seen once", "seen once"]
    assert decide(inversion.claims(quality, seconds, 32, "100"))[-1].verdict == "not decided"
    assert decide(inversion.claims(quality, {"with encoder": 21.0}, 64, "100"))[-1].verdict == "not reproduced"


def test_an_encoder_can_be_withheld_and_the_page_says_so(tmp_path: Path) -> None:
    editor = tiny_model(tmp_path / "editor")
    plain, words = inversion.without_encoder(editor)
    assert not isinstance(plain, Encodes)
    assert "withheld" in words
    code = editor.sample_codes(2, torch.Generator().manual_seed(0))
    assert torch.equal(plain.decode(code), editor.decode(code))
    gan = tiny_model(tmp_path / "gan", method="gan")
    assert inversion.without_encoder(gan) == (gan, "a model without encoder")


def test_holes_lie_where_they_should() -> None:
    unseen = drawn_images(2, 32)
    assert inversion.hole("half", unseen)[0, 0].sum() == 32 * 16
    assert inversion.hole("eyes", unseen)[0, 0].nonzero().amin(0).tolist() == [12, 7]
    assert inversion.hole("mouth", unseen)[1, 0].nonzero().amax(0).tolist() == [26, 21]


def test_losses_of_wrong_masks_go_by_composition_and_seed() -> None:
    def runs(*values: float) -> list[dict[str, float]]:
        return [dict.fromkeys(attribute2image.CLAIMED, value) for value in values]

    figures = {
        "sum, right masks": runs(30, 31, 31),
        "sum, wrong masks": runs(29, 30, 30),
        "convex, right masks": runs(32, 32, 32),
        "convex, wrong masks": runs(30, 31.5, 30),
    }
    assert attribute2image.losses(figures, "convex")[attribute2image.COMPOSITE] == [2, 0.5, 2]
    assert {each.verdict for each in decide(attribute2image.mask_claims(figures))} == {"not decided"}
    figures["convex, wrong masks"] = runs(30, 29.9, 30.1)
    assert {each.verdict for each in decide(attribute2image.mask_claims(figures))} == {"reproduced"}


# --- models and the command


def test_the_form_and_the_request_set_the_length(folder: Path) -> None:
    assert Request(form=FULL).recipe("attribute2image-discvae", 0).training.images == 150_000
    assert Request(form=QUICK).recipe("attribute2image-discvae", 2).training.seed == 2
    assert Request(form=QUICK).recipe("attribute2image-discvae", 0, attribute2image.SHORT).training.images == 8_000
    assert Request(images=500).recipe("attribute2image-discvae", 0, attribute2image.SHORT).training.images == 500
    short = Request(form=FULL).recipe("attribute2image-discvae", 0, attribute2image.SHORT)
    assert (short.training.images, short.data.image_size) == (40_000, 32)


def test_right_and_wrong_runs_differ_in_their_masks_alone(folder: Path) -> None:
    attribute2image.wrong_masks(asked(folder))
    runs = sorted(folder.glob("models/tiny-*/attribute2image-discvae-*-seed0-32"))
    recipes = [read_json(run / "recipe.json")["recipe"] for run in runs if "sum" in run.name]
    assert len(recipes) == 2
    assert recipes[0] == recipes[1]
    hashes = {load(run).hash for run in runs}
    assert len(hashes) == 4
    assert len(list((folder / "data").iterdir())) == 1
    assert open_prepared(next((folder / "data").iterdir())).image_size == 16


def test_experiments_go_by_the_name_of_their_paper(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names_of("attribute2image") == NAMES
    assert names_of("layers") == ["layers"]
    assert {each for paper in ("cvae-gan", "homointerpgan", "cyclegan", "tl-gan") for each in names_of(paper)} == set(
        EXPERIMENTS
    ) - set(NAMES)
    assert names_of("homointerpgan") == ["uniformity", "group-edits", "faults"]
    assert names_of("CycleGAN") == ["translation"]
    assert run(["experiment"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["Attribute2Image", "drift"] for line in listed)
    assert any(line.split()[:3] == ["CVAE-GAN", "bc", "table-one"] for line in listed)
    monkeypatch.setattr("attrimorph.reproductions.frame.QUICK", TINY)
    assert run(["experiment", "layers", "--quick", "--out", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "layers" / "report.html")


def test_a_model_of_other_attributes_is_refused(tmp_path: Path) -> None:
    from attrimorph.data.drawn import shapes

    tiny_model(tmp_path, schema=shapes.SCHEMA)
    with pytest.raises(AttrimorphError, match="must have the attributes of drawn faces"):
        face_model(asked(tmp_path), str(tmp_path), "attribute2image-discvae")
