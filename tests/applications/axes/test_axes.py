"""Axes from end to end: found where they are known to lie, kept in a file, moved along with others locked."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from attrimorph.applications.axes import AxisPack, load_pack, save_pack
from attrimorph.applications.axes.editor import AxisEditor, Remembered, free_share
from attrimorph.applications.axes.fitting import FitOptions, calibrated, fit_axes, judged_by, labelled
from attrimorph.applications.axes.linear import cosines
from attrimorph.applications.axes.space import CHUNK, REACH, Space, drawn_codes, normalises
from attrimorph.applications.edit import edit
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges
from attrimorph.metrics.edits import measure_edits
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.models.model import Code, Edits, decisions
from tests.applications.axes.linear_world import LATENT, NAMES, LinearGenerator, LinearJudge, Normalising
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model() -> LinearGenerator:
    return LinearGenerator()


@pytest.fixture(scope="module")
def judge(model: LinearGenerator) -> LinearJudge:
    return LinearJudge(model)


@pytest.fixture(scope="module")
def pack(model: LinearGenerator, judge: LinearJudge) -> AxisPack:
    return fit_axes(model, judged_by(model, judge, count=4000))


# ---- where axes live


def test_drawn_codes_are_a_function_of_seed_and_place(model: LinearGenerator) -> None:
    many = torch.cat([code.z for code in drawn_codes(model, CHUNK + 50, 3)])
    few = torch.cat([code.z for code in drawn_codes(model, 20, 3)])
    assert len(many) == CHUNK + 50
    assert torch.equal(many[:20], few)
    assert not torch.equal(few, next(drawn_codes(model, 20, 4)).z)


@pytest.mark.parametrize("method", ["gan", "cgan", "vae", "cvae-gan-edit"])
def test_coordinates_and_codes_are_one_to_one(tmp_path: Path, method: str) -> None:
    generator = tiny_model(tmp_path, method=method)
    if "prior" in generator.networks:
        means = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)) @ torch.randn(8, 8)
        generator.networks["prior"].fit(means + 3, means * 0 - 2)
    space = Space.of(generator)
    code = generator.sample_codes(300, torch.Generator().manual_seed(1))
    coordinates = space.coordinates(code, generator.schema.fill_value)
    assert coordinates.shape == (300, space.size)
    # The tiny models have five examples, which span four dimensions.
    assert space.size == 8 + (4 if generator.conditional else 0)
    back = space.code(coordinates, code, generator.schema.fill_value)
    torch.testing.assert_close(back.z, code.z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(back.attributes, code.attributes, rtol=1e-5, atol=1e-6)
    # Drawn codes have mean 0 and variance 1 in every coordinate.
    assert coordinates.mean(0).abs().max() < 0.3
    assert (coordinates.T.cov() - torch.eye(space.size).double()).abs().max() < 0.3
    # Attributes of the model's own that no example has move along with nothing lost.
    other = Code(code.z, torch.rand(300, generator.schema.width, generator=torch.Generator().manual_seed(2)))
    there = space.coordinates(other)
    moved = space.code(there + 0.5, other)
    torch.testing.assert_close(space.coordinates(moved), there + 0.5, rtol=1e-4, atol=1e-4)
    if generator.conditional:
        back_again = space.code(there, moved).attributes
        torch.testing.assert_close(back_again, other.attributes, rtol=1e-5, atol=1e-5)


# ---- the five steps


@pytest.mark.parametrize(
    "options", [FitOptions(), FitOptions("linear", "none"), FitOptions("ridge"), FitOptions("logistic")]
)
def test_every_fit_finds_the_true_axes(model: LinearGenerator, judge: LinearJudge, options: FitOptions) -> None:
    found = fit_axes(model, judged_by(model, judge, count=3000), options=options)
    assert found.names == NAMES
    assert cosines(found.rows(NAMES), judge.axes).diagonal().min() > 0.99
    assert found.about["samples"] == 3000
    assert set(found.about["seconds"]) == {"generate", "judge", "fit"}


def test_the_goals_are_where_nine_in_ten_are_seen_or_the_typical_ones_lie(
    model: LinearGenerator, pack: AxisPack
) -> None:
    faint = fit_axes(model, judged_by(model, LinearJudge(model, steep=1.0), count=4000))
    for name in NAMES:
        # logit = score: P = 0.9 at 2.197. logit = 3 score: P = 0.9 at 0.732, and the mean of those that have it,
        # weighed by probability, is 2 E[u sigmoid(3u)] = 0.73 as well.
        assert faint.axis(name).high == pytest.approx(2.197, abs=0.15)
        assert pack.axis(name).high == pytest.approx(0.732, abs=0.06)
        for axis in (faint.axis(name), pack.axis(name)):
            assert axis.high == pytest.approx(-axis.low, abs=0.2)
            assert axis.facts["present"] == pytest.approx(0.5, abs=0.05)
            assert axis.facts["expected when set"] == pytest.approx(0.9, abs=0.02)
    # Two heaps, as the attributes that a generator is given: one goes to the other heap, not just beyond the middle.
    scores = torch.tensor([-1.0, 1.0]).double().repeat(500) + 0.05 * torch.randn(1000).double()
    axis = calibrated("Given", torch.ones(1).double(), scores, (scores > 0).double(), {})
    assert axis.high == pytest.approx(1, abs=0.02)
    assert axis.low == pytest.approx(-1, abs=0.02)


def test_a_faint_attribute_has_its_goal_at_the_edge_and_says_what_to_expect() -> None:
    scores = torch.randn(2000, generator=torch.Generator().manual_seed(0)).double()
    said = (0.05 * scores - 1).sigmoid()
    axis = calibrated("Faint", torch.tensor([1.0]).double(), scores, said, {})
    assert axis.high == 4.0
    assert axis.facts["expected when set"] == pytest.approx(float(torch.tensor(0.05 * 4 - 1).sigmoid()), abs=0.01)


def test_only_some_attributes(model: LinearGenerator, judge: LinearJudge) -> None:
    judged = judged_by(model, judge, count=200)
    assert fit_axes(model, judged, ["Tall", "Bright"]).names == ("Tall", "Bright")
    with pytest.raises(AttrimorphError, match="knows no 'Brigth'; did you mean 'Bright'"):
        fit_axes(model, judged, ["Brigth"])


def test_an_attribute_that_is_never_seen_is_refused_by_name_and_left_out_otherwise(
    model: LinearGenerator, judge: LinearJudge
) -> None:
    judged = judged_by(model, judge, count=200)
    judged.probabilities[:, 2] = 0.1
    with pytest.raises(AttrimorphError, match="Wide must be seen in some pictures and not in others"):
        fit_axes(model, judged, ["Wide"])
    assert fit_axes(model, judged).names == ("Bright", "Warm", "Tall")


def test_labels_from_people_find_the_axis(model: LinearGenerator, judge: LinearJudge, tmp_path: Path) -> None:
    rows = ["index,Bright,Odd"]
    codes = torch.cat([code.z for code in drawn_codes(model, 600, 7)]).double()
    for place in range(0, 600, 2):
        bright = int(codes[place] @ judge.axes[0] > 0)
        rows.append(f"{place},{bright},{'' if place % 4 else bright}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    judged = labelled(model, table, seed=7)
    torch.testing.assert_close(judged.coordinates.double(), codes[::2], rtol=1e-6, atol=1e-6)
    assert int(judged.probabilities[:, 1].isnan().sum()) == 150
    found = fit_axes(model, judged, options=FitOptions("logistic"))
    assert float(cosines(found.rows(["Bright"]), judge.axes[:1])) > 0.9
    for text, sentence in (
        ("file,Bright\n0,1\n", "must have a column index"),
        ("index,Bright\n-1,1\n", "must be a whole number from 0 on; got '-1'"),
        ("index,Bright\n1,1\n1,0\n", "every index"),
    ):
        table.write_text(text)
        with pytest.raises(AttrimorphError, match=sentence):
            labelled(model, table)


# ---- the file


def test_a_pack_survives_its_file_which_is_small(pack: AxisPack, tmp_path: Path) -> None:
    path = tmp_path / "axes.safetensors"
    save_pack(pack, path)
    assert path.stat().st_size < 4096
    again = load_pack(path)
    assert (again.names, again.model_sha256, again.about) == (pack.names, pack.model_sha256, pack.about)
    for name in NAMES:
        a, b = again.axis(name), pack.axis(name)
        assert (a.slope, a.intercept, a.low, a.high, a.facts) == (b.slope, b.intercept, b.low, b.high, b.facts)
        torch.testing.assert_close(a.direction, b.direction, rtol=0, atol=1e-7)
        assert float(a.direction.norm()) == pytest.approx(1, abs=1e-15)


def test_a_pack_is_bound_to_its_generator(pack: AxisPack) -> None:
    with pytest.raises(AttrimorphError, match="must be those of this generator, linear 0000"):
        AxisEditor(LinearGenerator(seed=1), pack)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "must be an axis pack"),
        ({"version": 9}, "version 9"),
        ({"axes": []}, "is damaged"),
        ({"axes": [{"name": "Bright"}] * 4}, "is damaged"),
        ({"about": 3}, "is damaged"),
        ({"curved": {"names": ["Bright"], "told": 0.5}}, "the curved axes do not fit their names"),
    ],
)
def test_a_damaged_pack_is_told(pack: AxisPack, tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    path = tmp_path / "axes.safetensors"
    save_pack(pack, path)
    with safe_open(str(path), framework="pt") as file:
        header, tensors = json.loads(file.metadata()["attrimorph"]), {"directions": file.get_tensor("directions")}
    save_file(tensors, str(path), {"attrimorph": json.dumps(header | change)})
    with pytest.raises(AttrimorphError, match=sentence):
        load_pack(path)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "axes.safetensors"
    with pytest.raises(AttrimorphError, match="cannot read"):
        load_pack(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(AttrimorphError, match="no readable axis pack"):
        load_pack(path)


# ---- editing


def test_edits_reach_their_goal_by_the_score_and_locks_stay_in_the_pictures(
    model: LinearGenerator, judge: LinearJudge, pack: AxisPack
) -> None:
    codes = next(drawn_codes(model, 100, 11))
    before = judge.logits(model.decode(codes))
    free, held = AxisEditor(model, pack), AxisEditor(model, pack, locks=["Warm", "Wide"])
    loose = judge.logits(free.decode(free.move(codes, {"Bright": 1.0})))
    tight = judge.logits(held.decode(held.move(codes, {"Bright": 1.0})))
    high = pack.axis("Bright").high
    for after in (loose, tight):
        assert (after[:, 0] > 3 * high - 0.4).all()
    # Codes beyond the goal stay where they are.
    beyond = codes.z.double() @ pack.axis("Bright").direction > high
    assert bool(beyond.any())
    torch.testing.assert_close(tight[beyond], before[beyond], rtol=1e-3, atol=1e-3)
    leak = (loose - before)[:, 1:3].abs().mean()
    assert leak > 0.5
    assert (tight - before)[:, 1:3].abs().mean() < 0.05 * leak
    # In the linear model itself nothing moves at all, to the precision of the codes (float32).
    scores = held.space.coordinates(held.move(codes, {"Bright": 1.0})) @ pack.rows(["Warm", "Wide"]).T
    torch.testing.assert_close(scores, codes.z.double() @ pack.rows(["Warm", "Wide"]).T, rtol=0, atol=3e-6)


def test_a_generator_that_normalises_z_is_moved_on_the_sphere(pack: AxisPack) -> None:
    model = Normalising()
    assert normalises(model)
    assert not normalises(LinearGenerator())
    codes = next(drawn_codes(model, 50, 11))
    locks, goal = pack.rows(["Warm", "Wide"]), pack.axis("Bright").high
    # Twelve columns hold no scores that are all extreme; and of any length: the pictures are the same.
    mild = (codes.z.double() @ locks.T).abs().amax(1) < 1
    codes = Code(3 * codes.z[mild], codes.attributes[mild])

    def seen(code: Code) -> Tensor:
        z = code.z.double()
        return z * z.square().mean(1, keepdim=True).rsqrt()

    for gram in (None, torch.eye(LATENT).double() + 0.5):
        far = 1.0 if gram is None else 1 / REACH  # of photographs a move goes REACH times as far
        editor = AxisEditor(model, pack, locks=["Warm", "Wide"], gram=gram)
        straight = AxisEditor(model, pack, locks=["Warm", "Wide"], gram=gram, sphere=False)
        moved = editor.move(codes, {"Bright": far})
        torch.testing.assert_close(seen(moved) @ locks.T, seen(codes) @ locks.T, rtol=0, atol=1e-5)
        assert (seen(moved) @ pack.axis("Bright").direction >= goal - 1e-5).all()
        torch.testing.assert_close(moved.z.norm(dim=1), codes.z.norm(dim=1))
        shrunk = seen(straight.move(codes, {"Bright": far})) @ locks.T
        assert (shrunk - seen(codes) @ locks.T).abs().max() > 0.05
    # Half the strength, half of the way; what is there already stays.
    editor = AxisEditor(model, pack)
    half, score = (seen(code) @ pack.axis("Tall").direction for code in (editor.move(codes, {"Tall": 0.5}), codes))
    torch.testing.assert_close(half, score + 0.5 * (pack.axis("Tall").high - score).clamp(min=0), rtol=0, atol=1e-5)
    beyond = score > pack.axis("Tall").high
    torch.testing.assert_close(editor.move(codes, {"Tall": 1.0}).z[beyond], codes.z[beyond], rtol=1e-5, atol=1e-5)
    assert AxisEditor(LinearGenerator(), pack).radius is None


def test_strength_goes_its_share_of_the_way(model: LinearGenerator, pack: AxisPack) -> None:
    editor = AxisEditor(model, pack)
    codes = Code(torch.zeros(1, LATENT), torch.full((1, 1), torch.nan))
    axis = pack.axis("Tall")

    def score(strength: float) -> float:
        return float(editor.space.coordinates(editor.move(codes, {"Tall": strength})) @ axis.direction)

    for strength in (0.25, 0.5, 1.0, 2.0):
        assert score(strength) == pytest.approx(strength * axis.high, abs=1e-6)
        assert score(-strength) == pytest.approx(strength * axis.low, abs=1e-6)
    assert editor.move(codes, {"Tall": 0.0}) is codes
    assert editor.move(codes, {}) is codes


def test_several_changes_reach_all_their_goals_in_any_order(model: LinearGenerator, pack: AxisPack) -> None:
    editor = AxisEditor(model, pack, locks=["Wide"])
    codes = next(drawn_codes(model, 20, 2))
    a = editor.space.coordinates(editor.move(codes, {"Bright": 1.0, "Tall": -0.5}))
    b = editor.space.coordinates(editor.move(codes, {"Tall": -0.5, "Bright": 1.0}))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    here = editor.space.coordinates(codes)
    score = here @ pack.axis("Bright").direction
    torch.testing.assert_close(
        a @ pack.axis("Bright").direction, score + (pack.axis("Bright").high - score).clamp(min=0), rtol=0, atol=1e-5
    )


def test_an_attribute_that_is_edited_is_not_locked(model: LinearGenerator, pack: AxisPack) -> None:
    editor = AxisEditor(model, pack, locks=NAMES)
    codes = next(drawn_codes(model, 5, 2))
    moved = editor.space.coordinates(editor.move(codes, {"Bright": 1.0}))
    assert (moved @ pack.axis("Bright").direction >= pack.axis("Bright").high - 1e-5).all()


def test_what_is_set_takes_its_rivals_away_even_if_they_were_locked(
    model: LinearGenerator, judge: LinearJudge, pack: AxisPack
) -> None:
    rivals = LinearGenerator()
    rivals.schema = Schema(tuple(Attribute(name) for name in NAMES), exclusive=(("Bright", "Wide"),))
    rivals.header = {"examples": [0.0] * 4}
    codes = next(drawn_codes(rivals, 100, 11))
    before = judge.logits(model.decode(codes))
    editor = AxisEditor(rivals, pack, locks=["Wide", "Tall"])
    after = judge.logits(model.decode(editor.move(codes, {"Bright": 1.0})))
    low = 3 * pack.axis("Wide").low
    assert (after[:, 0] > 3 * pack.axis("Bright").high - 0.4).all()
    torch.testing.assert_close(after[:, 2], before[:, 2].clamp(max=low), rtol=0, atol=0.3)
    assert (after - before)[:, 3].abs().max() < 0.3
    # Taken away, it lets its rivals be.
    gone = judge.logits(model.decode(editor.move(codes, {"Bright": -1.0})))
    assert (gone - before)[:, 2].abs().max() < 0.3


def test_bad_edits_are_told(model: LinearGenerator, pack: AxisPack) -> None:
    editor = AxisEditor(model, pack)
    codes = next(drawn_codes(model, 2, 2))
    with pytest.raises(AttrimorphError, match="there is no axis 'Brigth' of linear; did you mean 'Bright'"):
        editor.move(codes, {"Brigth": 1.0})
    with pytest.raises(AttrimorphError, match="there is no axis 'Young'"):
        AxisEditor(model, pack, locks=["Young"])
    for strength in (float("nan"), 1e9):
        with pytest.raises(AttrimorphError, match=r"must lie in -100\.\.100"):
            editor.move(codes, {"Bright": strength})
    twin = pack.with_axis(pack.axis("Bright").__class__(**{**vars(pack.axis("Bright")), "name": "Twin"}))
    with pytest.raises(AttrimorphError, match="Twin cannot change while Bright stay locked"):
        AxisEditor(model, twin, locks=["Bright"]).move(codes, {"Twin": 1.0})
    assert free_share(twin, "Twin", ["Bright"]) == 0.0
    assert free_share(twin, "Twin", []) == pytest.approx(1)


def test_photographs_need_an_encoder_or_an_inversion(model: LinearGenerator, pack: AxisPack) -> None:
    images = model.decode(next(drawn_codes(model, 3, 2)))
    editor = AxisEditor(model, pack)
    with pytest.raises(AttrimorphError, match=r"the model must encode it; 'linear' \(linear\) does not"):
        editor.edit(images, {"Bright": 1.0})
    pseudo = torch.linalg.pinv(model.matrix)
    inverted = AxisEditor(
        model, pack, invert=lambda x, _: Code(x.flatten(1) @ pseudo, torch.full((len(x), 1), torch.nan))
    )
    assert isinstance(inverted, Edits)
    torch.testing.assert_close(inverted.edit(images, {}), images, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def residual_leakage(
    editor: AxisEditor, judge: Judges, changes: Mapping[str, float], *, count: int = 64, seed: int = 1
) -> dict[str, float]:
    """Measure on drawn codes what an edit does to the locked attributes beyond the linear model, and whether it works.

    Args:
        editor: with its locks.
        judge: who looks.
        changes: the edit.
        count: drawn codes.
        seed: of these codes.

    Returns:
        Attribute -> share of pictures: for the edited ones those that are seen as wished after the edit, for the locked
        ones those that are seen otherwise than before. Attributes that the judge does not know are left out.
    """
    columns = {name: place for place, name in enumerate(judge.schema.column_names)}
    before, after = [], []
    for code in drawn_codes(editor, count, seed):
        before.append(decisions(judge(editor.decode(code)), judge.schema))
        after.append(decisions(judge(editor.decode(editor.move(code, changes))), judge.schema))
    old, new = torch.cat(before), torch.cat(after)
    found = {}
    for name, strength in changes.items():
        if name in columns:
            found[name] = float((new[:, columns[name]] == float(strength > 0)).double().mean())
    for name in editor.locks:
        if name in columns and name not in changes:
            found[name] = float((new[:, columns[name]] != old[:, columns[name]]).double().mean())
    return found


def test_residual_leakage_is_none_in_a_linear_world_with_locks(
    model: LinearGenerator, judge: LinearJudge, pack: AxisPack
) -> None:
    free = residual_leakage(AxisEditor(model, pack), judge, {"Bright": 1.0})
    assert set(free) == {"Bright"}
    editor = AxisEditor(model, pack, locks=["Warm", "Tall", "Bright"])
    found = residual_leakage(editor, judge, {"Bright": 1.0})
    assert set(found) == {"Bright", "Warm", "Tall"}
    assert found["Bright"] > 0.95
    assert max(found["Warm"], found["Tall"]) <= 0.05


def test_the_measure_of_edits_works_on_own_pictures(model: LinearGenerator, judge: LinearJudge, pack: AxisPack) -> None:
    """A generator without an encoder, measured by the usual measure of edits: locks lower its leakage."""
    code = next(drawn_codes(model, 120, 21))
    own = Remembered(model.decode(code), code)
    labels = (judge(own.images) > 0.5).float()
    unseen = EvaluationSet(own.images, labels, None, "own pictures")
    reached, leaks = {}, {}
    for locks in ((), NAMES):
        editor = AxisEditor(model, pack, locks=locks, invert=own)
        found = measure_edits(editor, unseen, judge, labels)
        reached[locks], leaks[locks] = found.mean(lambda one: one.reached), found.mean(lambda one: one.leaked)
    assert min(reached.values()) > 0.95
    assert leaks[NAMES] < 0.2 * leaks[()]
    with pytest.raises(AttrimorphError, match="only 120 pictures are remembered"):
        own(torch.zeros(1, 3, 16, 16))


# ---- every generator of the project


@pytest.mark.parametrize("method", ["gan", "cgan", "cvae-gan-edit"])
def test_axes_of_tiny_models(tmp_path: Path, method: str) -> None:
    generator = tiny_model(tmp_path, method=method)

    class Shade:
        """A judge of three things that any picture has."""

        name, schema = "judge shade", faces.SCHEMA

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            x = images.flatten(1)
            said = [x.mean(1), images[:, 0].flatten(1).mean(1), images[..., :8].flatten(1).mean(1)]
            shown = torch.full((len(x), faces.SCHEMA.width), 0.2)
            for column, value in enumerate(said):
                shown[:, column] = (30 * (value - value.mean())).sigmoid()
            return shown

    pack = fit_axes(generator, judged_by(generator, Shade(), count=512))
    assert pack.names == faces.SCHEMA.names[:3]
    first, second = pack.names[:2]
    code = next(drawn_codes(generator, 8, 1))
    own = Remembered(generator.decode(code), code)
    editor = AxisEditor(generator, pack, locks=[second], invert=own)
    labels = torch.zeros(8, faces.SCHEMA.width)
    result = edit(editor, own.images, {first: 1.0}, labels)
    assert result.edited.shape == own.images.shape
    assert result.reconstructions is not None
    torch.testing.assert_close(result.reconstructions, own.images, rtol=1e-4, atol=1e-4)
    brighter = result.edited.mean((1, 2, 3)) - own.images.mean((1, 2, 3))
    assert (brighter > -1e-4).all()
    assert brighter.max() > 1e-4
