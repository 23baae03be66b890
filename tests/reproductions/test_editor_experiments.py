"""The experiments on HomoInterpGAN and CycleGAN, tiny: fresh models in, pages, numbers and verdicts out."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.cli import run
from attrimorph.data.drawn import faces, shapes
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.responses import DEVIATION, STRENGTHS, Response
from attrimorph.reproductions import fault_figures as measure
from attrimorph.reproductions import faults, group_edits, translation, uniformity
from attrimorph.reproductions.claims import at_most, decide
from attrimorph.reproductions.comparison import lasting
from attrimorph.reproductions.editors import Place, place_of, trained
from attrimorph.reproductions.outcome import Form, Request, write_outcome
from attrimorph.reproductions.runs import RUNS
from tests.small_models import NARROW, small_model
from tests.tiny_models import tiny_model

# Three attributes in place of twenty-five: the same code in an eighth of the time.
FEW: dict[str, Any] = {
    "networks.groups": {"expression": ("Smiling",), "hair colour": ("Blond_Hair",), "age": ("Young",)},
    "networks.others": "residual",
}
TINY = Form(
    "tiny",
    people=3,
    images=40,
    presentations=64,
    changes={
        **NARROW["homointerp-drawn-64"],
        **FEW,
        "networks.blocks": 1,
        "networks.generator_width": 4,
        "networks.discriminator_width": 4,
        "networks.latent": 4,
        "training.images": 32,
        "training.batch_size": 16,
        "training.precision": "float32",
        "training.memory_format": "contiguous",
    },
    per_class=2,
)
NAMES = ("uniformity", "group-edits", "faults", "translation")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A fresh model of each kind, at 32 px."""
    root = tmp_path_factory.mktemp("models")
    small_model(root / "homo", "homointerp-drawn-64", FEW, lively=0.5)
    published = FEW | {"networks.sees_face": False, "networks.composition": "none", "networks.prototypes": "mean"}
    small_model(root / "published", "homointerp-drawn-64", published, lively=0.5)
    small_model(root / "shapes", "homointerp-drawn-64", schema=shapes.SCHEMA, lively=0.5)
    tiny_model(root / "cvae", size=32)
    for name in ("Young", "Blond_Hair"):
        small_model(root / name, "cyclegan-64", {"domains.attribute": name})
    return {path.name: path for path in root.iterdir()}


def asked(out: Path, models: dict[str, Path], *names: str) -> Request:
    return Request(out=out, form=TINY, seeds=(0,), model=",".join(str(models[name]) for name in names) or None)


GIVEN = {
    "uniformity": ("homo", "cvae"),
    "group-edits": ("homo", "cvae"),
    "faults": ("homo", "published", "shapes"),
    "translation": ("homo", "Young", "Blond_Hair"),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_on_named_models_trains_nothing(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    outcome = RUNS[name](asked(tmp_path, models, *GIVEN[name]))
    page = write_outcome(outcome, tmp_path)
    told = json.loads((tmp_path / name / "results.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert told["experiment"] == name
    assert told["claims"]
    assert told["figures"]
    assert list((tmp_path / name / "pictures").glob("*.png"))
    assert page.stat().st_size > 10_000
    assert not (tmp_path / "models").exists()
    for each in (load(models[given]) for given in GIVEN[name]):
        assert each.hash[:16] in json.dumps(told["protocol"]), each.recipe.name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_trains_what_it_needs_once(name: str, tmp_path: Path) -> None:
    request = Request(out=tmp_path, form=TINY, seeds=(0,))
    RUNS[name](request)
    found = {path: path.stat().st_mtime_ns for path in tmp_path.glob("models/*/*/checkpoints/*/model.safetensors")}
    assert len(found) == {"uniformity": 2, "group-edits": 2, "faults": 4, "translation": 4}[name]
    RUNS[name](request)
    assert found == {path: path.stat().st_mtime_ns for path in found}


def test_a_run_is_of_the_form_and_trained_once(models: dict[str, Path], tmp_path: Path) -> None:
    place = place_of(Request(out=tmp_path, form=TINY, seeds=(3,)), "homointerp-drawn-64")
    run = trained(place, "homointerp-drawn-64", name="mine", losses__head_real=0.5)
    recipe = load(run).recipe
    assert run == tmp_path / "models" / f"tiny-{place.data.fingerprint}" / "mine-32"
    assert recipe.data.image_size == 32
    assert (recipe.training.images, recipe.training.seed) == (32, 3)
    assert recipe.model_dump()["losses"]["head_real"] == 0.5
    before = {path: path.stat().st_mtime_ns for path in run.glob("checkpoints/*/*")}
    assert trained(place, "homointerp-drawn-64", name="mine", losses__head_real=0.5) == run
    assert before == {path: path.stat().st_mtime_ns for path in run.glob("checkpoints/*/*")}


def test_what_is_told_in_images_keeps_its_share(tmp_path: Path) -> None:
    recipe = recipe_named("homointerp-drawn-64")
    short = lasting(recipe, recipe.training.images // 10, 0)
    assert short.model_dump()["losses"]["warmup_images"] == recipe.model_dump()["losses"]["warmup_images"] // 10


class Truth:
    """An editor that draws the true counterfactual, at a strength bent by a power."""

    def __init__(self, place: Place, power: float = 1.0, wrong: tuple[str, ...] = ()) -> None:
        self.place, self.power, self.wrong = place, power, wrong

    def edit(self, images: torch.Tensor, changes: Any, attributes: Any = None) -> torch.Tensor:
        unseen = self.place.unseen
        rows = [int((unseen.images == image).flatten(1).all(1).nonzero()[0]) for image in images]
        factors = unseen.factors[rows]
        for name, strength in changes.items():
            share = abs(strength) ** self.power
            if strength:
                factors = faces.dial(factors, name, share if strength > 0 else 1 - share)
        for name in self.wrong if changes else ():
            factors = faces.set_attribute(factors, name, True)
        return faces.render(factors, images.shape[-1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Place:
    request = replace(asked(tmp_path_factory.mktemp("place"), models, "homo"), form=replace(TINY, per_class=6))
    return place_of(request, "homointerp-drawn-64")


def test_an_even_editor_is_straighter_than_one_that_jumps(place: Place) -> None:
    names = ["Smiling"]
    found = [uniformity.responses(place, Truth(place, power), names, "x") for power in (1.0, 5.0)]
    common = uniformity.moved_by_all(found)
    assert common == {("Smiling", True), ("Smiling", False)}
    even, late = (uniformity.shape(each, common) for each in found)
    assert even["that move"] == late["that move"] == 2
    assert even[DEVIATION] < 0.5 * late[DEVIATION]
    methods = {uniformity.SLIDER: even, uniformity.FOLLOWING: even, uniformity.STRAIGHT: late, uniformity.CVAE: late}
    assert [claim.margins[0] > 0 for claim in uniformity.claims(methods)][2]
    assert [each.verdict for each in decide(uniformity.claims(dict.fromkeys(methods, even)))] == ["not reproduced"] * 3
    del methods[uniformity.CVAE]
    assert decide(uniformity.claims(methods))[2].verdict == "not decided"


def test_only_what_every_method_moves_the_right_way_is_compared() -> None:
    def response(name: str, last: float, goal: bool = True) -> Response:
        return Response(name, goal, STRENGTHS, last * torch.tensor(STRENGTHS)[None] ** 2, torch.zeros(0, 10), None)

    one = [response("Smiling", 0.9), response("Male", -0.9), response("Young", -0.9, False), response("Bald", 0.05)]
    other = [response(name, last, goal) for name, last, goal in (("Smiling", 0.2, True), ("Young", -0.2, False))]
    assert [uniformity.moves(each) for each in one] == [True, False, True, False]
    common = uniformity.moved_by_all([one, other])
    assert common == {("Smiling", True), ("Young", False)}
    figures = uniformity.shape(one, common)
    assert (figures["responses"], figures["that move"]) == (4, 2)
    assert figures[DEVIATION] == pytest.approx(uniformity.shape(other, common)[DEVIATION])
    assert math.isnan(uniformity.shape(one, set())[DEVIATION])


def test_a_bar_without_its_other_side_is_not_decided() -> None:
    shapes = dict.fromkeys((uniformity.SLIDER, uniformity.FOLLOWING, uniformity.STRAIGHT, uniformity.CVAE))
    even = {DEVIATION: 0.1}
    told = {**dict.fromkeys(shapes, even), uniformity.LEARNED.format(uniformity.SLIDER): even}
    assert [each.verdict for each in decide(uniformity.claims(told))][3:] == ["not reproduced", "not decided"]


def test_towards_a_reference_means_both_ends(place: Place, models: dict[str, Path]) -> None:
    model = load(models["homo"])
    assert isinstance(model, InterpolationModel)
    straight = uniformity.Towards(model, place, straight=True)
    images = place.unseen.images[:3]
    torch.testing.assert_close(straight.edit(images, {"Smiling": -0.0}), model.render(model.features(images)))
    others = place.with_label("Smiling", True)[:3]
    torch.testing.assert_close(
        straight.edit(images, {"Smiling": 1.0}), model.render(model.features(others)), atol=1e-4, rtol=1e-4
    )
    branch = uniformity.Towards(model, place, straight=False)
    torch.testing.assert_close(branch.edit(images, {"Smiling": 0.5}), model.follow(images, others, {"expression": 0.5}))


def test_the_truth_reaches_its_target_and_changes_no_other_group(place: Place, models: dict[str, Path]) -> None:
    model = load(models["homo"])
    assert isinstance(model, InterpolationModel)
    names = ["Smiling", "Young"]
    good, bad = (
        group_edits.summary(place, group_edits.measured(place, Truth(place, wrong=wrong), names), model.groups)
        for wrong in ((), ("Eyeglasses", "Wearing_Hat"))
    )
    assert good[group_edits.REACHED] > 0.9
    assert good[group_edits.CHANGED] < 0.03
    assert good[group_edits.ERROR] > 60
    assert good[group_edits.FAR] < 1e-6
    assert bad[group_edits.CHANGED] > good[group_edits.CHANGED] + 0.03
    assert bad[group_edits.ERROR] < 40
    figures = {group_edits.HOMO: good, group_edits.CVAE: bad}
    assert [each.verdict for each in decide(group_edits.claims(figures, 10_000))] == ["seen once"] * 4
    figures = {group_edits.HOMO: bad, group_edits.CVAE: good}
    assert [each.verdict for each in decide(group_edits.claims(figures, 10_000))][1:] == ["not reproduced"] * 3
    assert [each.verdict for each in decide(group_edits.claims({group_edits.HOMO: good}, 9))][2:] == ["not decided"] * 2


def test_pictures_move_by_whole_pixels() -> None:
    images = torch.arange(25.0).view(1, 1, 5, 5).expand(1, 3, 5, 5)
    right = measure.moved(images, 2, 0)
    assert torch.equal(right[..., 2:], images[..., :3])
    assert torch.equal(right[..., 0], images[..., 0])
    up = measure.moved(images, 0, -1)
    assert torch.equal(up[..., :4, :], images[..., 1:, :])
    assert torch.equal(up[..., 4, :], images[..., 4, :])


def test_a_white_background_is_white_and_its_shift_is_measured(place: Place, tmp_path: Path) -> None:
    images, masks, _ = measure.on_white(place)
    assert (images.masked_select(masks.expand_as(images) == 0) == 1).all()
    # Its edits change nearly nothing, and its decoder paints grey.
    model = small_model(tmp_path, "homointerp-drawn-64")
    assert isinstance(model, InterpolationModel)
    plain, mended = (
        measure.background(place, measure.composed(model, word), ["Smiling"])[measure.BACKGROUND]
        for word in ("none", "difference")
    )
    assert plain > 20
    assert mended < 0.3 * plain


def test_gaps_are_told_by_the_true_shapes(models: dict[str, Path]) -> None:
    class Same(InterpolationModel):
        """It changes nothing."""

        def __init__(self) -> None:
            self.image_size = 32

        def edit(self, images: torch.Tensor, changes: Any, attributes: Any = None) -> torch.Tensor:
            return images

    figures, ways = measure.gaps(Same(), 20)
    assert figures[measure.KIND] == 0
    assert figures[measure.NEAREST] == figures[measure.BETWEEN] == 0
    assert ways.shape == (6, 5, 3, 32, 32)

    class Fades(Same):
        """It fades to the true picture of the next shape."""

        def edit(self, images: torch.Tensor, changes: Any, attributes: Any = None) -> torch.Tensor:
            ((name, strength),) = changes.items()
            factors = shapes.sample_factors(20, torch.Generator().manual_seed(measure.SHAPES_SEED))
            rows = (factors[:, 0].long() + 1) % 4 == shapes.SHAPES.index(name.partition("=")[2])
            true = shapes.render(shapes.set_attribute(factors[rows], "Shape", name.partition("=")[2]), 32)
            return torch.lerp(images, true, strength)

    figures, _ = measure.gaps(Fades(), 20)
    assert figures[measure.KIND] == 1
    assert figures[measure.NEAREST] < 1e-4
    assert figures[measure.BETWEEN] > 1


def test_the_faults_are_decided_by_their_figures() -> None:
    position = {"mended": {measure.LOST: 2.0}, "published": {measure.LOST: 9.0}}
    white = {"mended": {measure.BACKGROUND: 0.5}}
    following = {"mended": {measure.WITHOUT: 0.9, measure.WITH: 0.8}}
    gaps = {"mended": {measure.KIND: 0.8}, "published": {measure.KIND: 0.3}}
    assert [each.verdict for each in decide(faults.claims(position, white, following, gaps, 500))] == ["seen once"] * 4
    position["mended"][measure.LOST] = white["mended"][measure.BACKGROUND] = 3.5
    verdicts = [each.verdict for each in decide(faults.claims(position, white, following, {}, 500))]
    assert verdicts == ["not reproduced", "not reproduced", "seen once", "not decided"]
    # Two shares of 500 images that lie so close together differ by chance.
    gaps = {"mended": {measure.KIND: 0.218}, "published": {measure.KIND: 0.202}}
    assert decide(faults.claims(position, white, following, gaps, 500))[3].verdict == "not decided"


def test_chains_turn_every_attribute(place: Place) -> None:
    rows = translation.chain_goals(place, ["Male", "Blond_Hair"])
    labels = place.unseen.labels
    blond, male = (faces.SCHEMA.names.index(name) for name in ("Blond_Hair", "Male"))
    assert (labels[rows, blond] == 0).all()
    made, goals = translation.turned(place, Truth(place), ["Male", "Blond_Hair"], rows)
    assert torch.equal(goals, torch.stack([1 - labels[rows, male], torch.ones(len(rows))], 1))
    judged = place.judge(made)[:, [male, blond]].round()
    assert (judged == goals).double().mean() > 0.9


def test_other_models_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="one of the models must be a HomoInterpGAN"):
        uniformity.run(asked(tmp_path, models, "cvae"))
    with pytest.raises(AttrimorphError, match="some of the models must be CycleGANs"):
        translation.run(asked(tmp_path, models, "homo"))
    with pytest.raises(AttrimorphError, match="a HomoInterpGAN of drawn faces or shapes"):
        faults.run(asked(tmp_path, models, "cvae"))
    with pytest.raises(AttrimorphError, match="must have the attributes of the images"):
        group_edits.run(asked(tmp_path, models, "shapes"))
    with pytest.raises(AttrimorphError, match="one image size; got 32, 64"):
        uniformity.run(Request(out=tmp_path, form=TINY, model=f"{models['homo']},drawn-faces-64"))
    with pytest.raises(AttrimorphError, match="leave --data out"):
        faults.run(Request(out=tmp_path, form=TINY, data=tmp_path))


def test_shapes_alone_are_enough_for_their_fault(models: dict[str, Path], tmp_path: Path) -> None:
    outcome = faults.run(asked(tmp_path, models, "shapes"))
    assert outcome.figures["Position"] == {}
    assert len(outcome.figures["A domain with gaps: drawn shapes"]) == 1


def test_the_command_takes_several_models(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("attrimorph.reproductions.outcome.QUICK", TINY)
    named = ",".join(str(models[name]) for name in GIVEN["translation"])
    assert run(["experiment", "translation", "--quick", "--model", named, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(tmp_path / "translation" / "report.html")
    assert len(said) == 5


def test_at_most_means_at_most() -> None:
    bars = [at_most("x", [value], 0.5, source="s", name="n") for value in (0.4, 0.5, 0.6)]
    assert [each.verdict for each in decide(bars)] == ["seen once", "seen once", "not reproduced"]
    (unknown,) = decide([at_most("x", [float("nan")], 0.5, source="s", name="n")])
    assert unknown.verdict == "not decided"
