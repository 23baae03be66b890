"""Evaluation: which figures there are, with what protocol, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import attribute_accuracy
from attrimorph.evaluators.identity_encoder import IdentityEncoder, IdentityNetwork
from attrimorph.evaluators.judge import OwnClassifier, load_judge
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.metrics.evaluate import GROUPS, Evaluation, evaluate
from attrimorph.metrics.evaluate.images import EvaluationContext
from attrimorph.metrics.evaluation_set import drawn_images, held_out_images
from attrimorph.metrics.figures import KEYS, base_of, wilson
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Code, Edits, Model
from tests.small_models import small_model
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model"), size=32)


@pytest.fixture(scope="module")
def found(model: Model) -> Evaluation:
    """Nearly all groups, measured on twelve faces; edits on eight of them."""
    options = {"edits": 8 * len(faces.SCHEMA.names), "counterfactuals": 1}
    groups = [name for name in GROUPS if name != "responses"]
    return evaluate(model, judge=load_judge("drawn-faces-32"), count=12, metrics=groups, **options)


def test_everything_is_measured_on_drawn_faces(model: Model, found: Evaluation) -> None:
    assert isinstance(model, Editor)
    unseen = drawn_images(12, 32)
    made = model.decode(model.encode(unseen.images, unseen.labels))
    assert found.figures["reconstruction.psnr"] == pytest.approx(float(psnr(unseen.images, made).mean()), rel=1e-5)
    assert found.figures["images.attribute_accuracy"] > 0.9
    assert found.figures["edit.target_reached"] < 0.9
    # An untrained model's edits change pictures less than its decoder does.
    assert found.figures["composed.psnr"] > found.figures["edit.psnr"]
    assert found.figures["composed.background_drift"] >= 0
    assert found.of_attributes("edit.target_reached").keys() == set(faces.SCHEMA.names)
    assert found.leakage["Smiling"].keys() == set(faces.SCHEMA.names)
    assert found.leakage["Smiling"]["Smiling"] == pytest.approx(1 - found.figures["edit.target_reached.Smiling"])
    assert {"samples", "reconstructions", "samples of one class", "edit Smiling"} <= found.pictures.keys()
    json.dumps(found.to_json(), allow_nan=False)


def test_every_figure_has_a_key_that_is_told_and_its_protocol_beside_it(found: Evaluation) -> None:
    assert found.protocols.keys() == found.figures.keys()
    by_itself = ("reconstruction", "classifier", "code", "samples.ms", "truth.ms")
    by_itself += tuple(f"{how}.{what}" for how in ("edit", "composed") for what in ("psnr", "background", "skin"))
    for key, protocol in found.protocols.items():
        assert base_of(key) in KEYS, key
        assert re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*(\.[A-Z][A-Za-z_]*)?", key), key
        of_samples = key.startswith(("samples", "truth.ms", "truth.div")) and "seed 1" in protocol
        assert "12 unseen drawn faces, 32 px, seed 990001" in protocol or of_samples, key
        assert key.startswith(by_itself) or "judge drawn-faces-32" in protocol, key
    assert found.about["weights"].keys() == {"judge drawn-faces-32"}


def test_figures_that_count_have_intervals(found: Evaluation) -> None:
    counted = {"edit.target_reached", "edit.leakage", "reconstruction.psnr", "edit.target_reached.Smiling"}
    assert counted <= found.intervals.keys()
    for key, (low, high) in found.intervals.items():
        assert low <= found.figures[key] <= high, key
    # Eight edits, one each of eight images: Wilson's interval.
    share = found.figures["edit.target_reached.Smiling"]
    assert found.intervals["edit.target_reached.Smiling"] == wilson(share, 8)
    assert found.to_json()["keys"]["edit.leakage"] == {
        "what": "other attributes that are not as they truly should be", "unit": "share", "better": "lower",
    }  # fmt: skip


def test_all_groups_are_measured_and_one_can_be_chosen(model: Model, found: Evaluation) -> None:
    for name in (
        "reconstruction.ms_ssim", "reconstruction.perceptual_distance", "samples.frechet_distance",
        "samples.kernel_distance",
        "samples.precision", "samples.recall", "samples.attribute_accuracy",
        "samples.score", "samples.diversity",
        "truth.diversity", "code.mig", "code_and_y.sap",
    ):  # fmt: skip
        assert name in found.figures
    assert set(found.about["seconds"]) == {"images", *GROUPS} - {"responses"}
    assert {row["group"] for row in found.parts["fairness"]} >= {"Male", "Young"}
    assert "edits of strength 1 on the first 8 of 12 unseen" in found.protocols["edit.target_reached"]
    assert any(note.startswith("Identity needs an identity encoder") for note in found.notes)
    one = evaluate(model, judge=load_judge("drawn-faces-32"), count=12, metrics=["disentanglement"])
    assert one.figures.keys() == {"code.mig", "code.sap", "code_and_y.mig", "code_and_y.sap"}
    assert one.figures["code.mig"] == found.figures["code.mig"]
    assert any("DCI of code_and_y needs 66 images" in note for note in one.notes)
    more = evaluate(model, judge=load_judge("drawn-faces-32"), count=70, metrics=["disentanglement"])
    assert more.figures["code_and_y.completeness"] > 0
    with pytest.raises(AttrimorphError, match="no group of metrics 'edit'; did you mean 'edits'"):
        evaluate(model, count=4, metrics=["edit"])
    with pytest.raises(AttrimorphError, match="must name at least one group"):
        evaluate(model, count=4, metrics=[])


def test_an_identity_encoder_says_whether_a_reconstruction_is_the_same_person(model: Model) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = IdentityNetwork(32, 2).eval()
    identity_encoder = IdentityEncoder("recogniser fresh", 32, ("a", "b"), network, 1.0, {})
    options = {"count": 24, "metrics": ["identity"], "identity_encoder": identity_encoder}
    poor = evaluate(model, **options)  # type: ignore[arg-type]
    assert poor.about["weights"].keys() == {"recogniser fresh"}
    copied = evaluate(Copies(model), **options)  # type: ignore[arg-type]
    assert copied.figures["identity.cosine"] == pytest.approx(1)
    assert copied.figures["identity.verification"] == 1
    assert copied.figures["identity.area"] == 1
    assert poor.figures["identity.area"] < 1
    big = replace(identity_encoder, image_size=64)
    with pytest.raises(AttrimorphError, match="recogniser fresh takes 64"):
        evaluate(model, count=4, identity_encoder=big)


def test_sets_of_images_are_compared_in_the_judges_features(model: Model) -> None:
    judge = load_judge("drawn-faces-32")
    found = evaluate(model, judge=judge, count=30, metrics=["distribution"])
    unseen = drawn_images(30, 32)
    code = model.sample_codes(30, torch.Generator().manual_seed(1))
    samples = model.decode(code)
    expected = frechet_distance(judge.features(unseen.images), judge.features(samples))
    assert found.figures["samples.frechet_distance"] == pytest.approx(expected, rel=1e-4)
    accuracy = attribute_accuracy(judge(samples), code.attributes, model.schema)
    expected = sum(accuracy.values()) / len(accuracy)
    assert found.figures["samples.attribute_accuracy"] == pytest.approx(expected, abs=1e-6)
    # Drawn faces against other drawn faces: what no model can beat.
    found = evaluate(model, judge=judge, count=200, metrics=["distribution"])
    true = evaluate(Drawn(model), judge=judge, count=200, metrics=["distribution"])  # type: ignore[arg-type]
    assert true.figures["samples.attribute_accuracy"] > 0.97
    assert true.figures["samples.frechet_distance"] < found.figures["samples.frechet_distance"] / 2
    assert true.figures["samples.precision"] > 0.5
    assert true.figures["samples.recall"] > 0.5


class Copies:
    """The perfect autoencoder of 32 px: its code is the image."""

    conditional, hash, image_size, schema = True, "0", 32, faces.SCHEMA

    def __init__(self, model: Model) -> None:
        self.classify = model.classify

    def sample_codes(self, count: int, generator: torch.Generator) -> Code:
        return Code(torch.rand(count, 3, 32, 32, generator=generator), torch.zeros(count, self.schema.width))

    def encode(self, images: torch.Tensor, attributes: torch.Tensor) -> Code:
        return Code(images, attributes)

    def decode(self, code: Code) -> torch.Tensor:
        return code.z


class Drawn(Copies):
    """The perfect generator: it draws faces with the attributes of its codes."""

    def sample_codes(self, count: int, generator: torch.Generator) -> Code:
        factors = faces.sample_factors(count, generator)
        return Code(factors, faces.attributes(factors))

    def decode(self, code: Code) -> torch.Tensor:
        return faces.render(code.z, 32)


def test_without_a_judge_no_edit_is_measured_and_that_is_said(model: Model) -> None:
    found = evaluate(model, count=6)
    assert "edit.target_reached" not in found.figures
    assert found.leakage == {}
    assert any("No judge" in note for note in found.notes)


def test_a_gan_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    found = evaluate(tiny_model(tmp_path, method="gan", size=32), judge=load_judge("drawn-faces-32"), count=6)
    assert found.figures.keys() == {
        "samples.score",
        "images.score",
        "samples.diversity",
        "samples.ms_ssim",
    }
    assert len(found.notes) == len(GROUPS)
    assert "samples" in found.pictures


def test_held_out_images_of_drawn_data_bring_their_truth(model: Model, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "data", count=40, size=32, seed=3)
    unseen = held_out_images(data, 100)
    assert len(unseen.images) == len(data.indices("test"))
    assert unseen.factors is not None
    torch.testing.assert_close(faces.render(unseen.factors, 32), unseen.images, rtol=0, atol=0.02)
    found = evaluate(model, data, load_judge("drawn-faces-32"), metrics=["edits"], counterfactuals=1)
    assert "edit.psnr" in found.figures


def test_other_data_have_no_truth_and_a_model_judge_says_that_it_is_one(model: Model, tmp_path: Path) -> None:
    data = replace(write_faces(tmp_path / "data", count=60, size=32, seed=3), factors=None)
    data.attributes[:, 0] = torch.nan
    found = evaluate(model, data, OwnClassifier(model), metrics=["edits", "responses", "reconstruction"])
    assert "edit.psnr" not in found.figures
    assert "classifier of tiny" in found.protocols["edit.target_reached"]
    assert "Arched_Eyebrows" not in found.leakage
    assert "Blond_Hair" not in found.of_attributes("edit.reached_when_taken_away")
    assert "Blond_Hair" in found.of_attributes("edit.reached_when_set")
    directions = {(row["attribute"], row["direction"]) for row in found.parts["responses"]}
    assert ("Blond_Hair", "set") in directions
    assert ("Blond_Hair", "taken away") not in directions


def test_an_editor_without_codes_is_measured_from_what_it_makes_when_nothing_is_asked(tmp_path: Path) -> None:
    editor, unseen = small_model(tmp_path / "new", "stargan-64"), drawn_images(6, 16)
    assert isinstance(editor, Edits)
    again = editor.edit(unseen.images, {}, unseen.labels)
    context = EvaluationContext(editor, unseen)
    assert torch.equal(context.edited_images.reconstructions, again)  # type: ignore[arg-type]
    found = evaluate(editor, judge=OwnClassifier(editor), count=6, metrics=["reconstruction"])
    assert found.figures["reconstruction.psnr"] == pytest.approx(float(psnr(unseen.images, again).mean()), rel=1e-5)
    # This one leaves the picture alone.
    other = EvaluationContext(small_model(tmp_path / "own", "retouch-64"), drawn_images(6, 32))
    assert other.edited_images.reconstructions is None


def test_what_does_not_go_together_is_refused(model: Model, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "data", count=20, size=16, seed=3)
    with pytest.raises(AttrimorphError, match="the data must have 32 px"):
        evaluate(model, data)
    other = tiny_model(tmp_path / "other", schema=Schema((Attribute("A"), Attribute("B"))))
    with pytest.raises(AttrimorphError, match="add --data"):
        evaluate(other)
    with pytest.raises(AttrimorphError, match="must have the attributes of the model, by name, kind and values"):
        evaluate(model, count=4, judge=OwnClassifier(other))
    with pytest.raises(AttrimorphError, match=r"count must lie in 1\.\.50000; got 0"):
        evaluate(model, count=0)
