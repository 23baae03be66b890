"""Moves along axes as verbs: what is told beforehand, every kind of generator, photographs put back whole, replays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from attrimorph.applications import AxisOptions, Search
from attrimorph.applications.axes import Axis, AxisPack, save_pack
from attrimorph.applications.axes.choosing import generator_named, outside_generator
from attrimorph.applications.axes.edit import AxisEdit
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.fitting import fit_axes, judge_drawn, judged_by, with_curved
from attrimorph.applications.axes.linear import unit
from attrimorph.applications.axes.space import Space, drawn_codes
from attrimorph.applications.axes.trajectory import JudgeGuide, effects, logits_of, way
from attrimorph.applications.edit import blended, edit, put_back
from attrimorph.applications.morph import morph
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge, JudgeNetwork
from attrimorph.models.model import Encodes, Model
from attrimorph.pictures import to_pil
from attrimorph.requests.edit import Edit
from attrimorph.requests.morph import Morph
from attrimorph.requests.replay import replay
from tests.applications.axes.linear_world import LinearGenerator, LinearJudge
from tests.applications.axes.test_outside import exported
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model

MAKES: dict[str, Callable[[Path], Model]] = {
    "gan": lambda folder: tiny_model(folder, method="gan"),
    "cgan": lambda folder: tiny_model(folder, method="cgan"),
    "fm-gan": lambda folder: tiny_model(folder, method="fm-gan"),
    "cvae-gan": lambda folder: tiny_model(folder, method="cvae-gan"),
    "discvae": lambda folder: tiny_layers(folder),
    "pggan": lambda folder: small_model(folder, "pggan-drawn-64"),
    "pggan with attributes": lambda folder: small_model(folder, "pggan-drawn-64", {"networks.conditional": True}),
}
NAMES = ("Smiling", "Male", "Young")


def some_axes(model: Model) -> AxisPack:
    """Axes that overlap, pointing anywhere."""
    rows = torch.randn(3, Space.of(model).size, generator=torch.Generator().manual_seed(4)).double()
    rows = unit(rows + rows.mean(0))
    axes = {name: Axis(name, row, 2.0, 0.1, -1.5, 1.5) for name, row in zip(NAMES, rows, strict=True)}
    return AxisPack(model.hash, model.recipe.name, axes)


def photograph(path: Path, size: tuple[int, int] = (24, 24), seed: int = 1) -> Path:
    picture = to_pil(faces.render(faces.sample_factors(1, torch.Generator().manual_seed(seed)), 64))[0]
    picture.resize(size).save(path)
    return path


# ---- what is told beforehand


def test_the_linear_model_predicts_what_a_linear_world_does_and_nothing_of_what_is_locked() -> None:
    model = LinearGenerator()
    judge = LinearJudge(model)
    pack = fit_axes(model, judged_by(model, judge, count=4000))
    free = {each.name: each for each in effects(AxisEditor(model, pack), judge, {"Bright": 1.0})}
    assert free["Bright"].role == "reached"
    assert free["Warm"].role == "free"
    for each in free.values():
        assert each.predicted == pytest.approx(each.measured, abs=0.03)
    assert (free["Warm"].predicted or 0) > 0.05
    locked = AxisEditor(model, pack, locks=["Warm", "Tall"])
    held = {each.name: each for each in effects(locked, judge, {"Bright": 1.0})}
    assert held["Warm"].role == held["Tall"].role == "locked"
    for name in ("Warm", "Tall"):
        # Codes are float32: what is left is their rounding.
        assert (held[name].predicted or 0.0) < 1e-6
        assert (held[name].measured or 0.0) < 0.02
    nobody = effects(locked, None, {"Bright": 1.0})
    assert [each.measured for each in nobody] == [None] * len(nobody)
    assert nobody[0].cells()[2] == "–"


def test_the_order_of_locks_and_of_changes_is_nothing_to_the_bit_that_is_seen() -> None:
    model = LinearGenerator()
    pack = fit_axes(model, judged_by(model, LinearJudge(model), count=1000))
    code = next(drawn_codes(model, 8, 3))
    moved = [
        AxisEditor(model, pack, locks=locks).move(code, changes).z
        for locks in (["Warm", "Tall"], ["Tall", "Warm"])
        for changes in ({"Bright": 1.0, "Wide": -0.5}, {"Wide": -0.5, "Bright": 1.0})
    ]
    for other in moved[1:]:
        torch.testing.assert_close(other, moved[0], rtol=0, atol=2e-6)


def test_a_way_has_even_shares_and_both_ends(tmp_path: Path) -> None:
    model = LinearGenerator()
    editor = AxisEditor(model, fit_axes(model, judged_by(model, LinearJudge(model), count=500)))
    code = next(drawn_codes(model, 3, 3))
    codes = way(editor, code, {"Bright": 1.0}, 5)
    assert torch.equal(codes[0].z, code.z)
    torch.testing.assert_close(codes[4].z, editor.move(code, {"Bright": 1.0}).z)
    torch.testing.assert_close(codes[1].z - code.z, (codes[4].z - code.z) / 4, rtol=1e-4, atol=1e-5)
    with pytest.raises(AttrimorphError, match="must change at least one attribute"):
        way(editor, code, {}, 2)


def test_a_judge_can_be_followed(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method="gan")
    torch.manual_seed(0)
    judge = Judge("test", faces.SCHEMA, 16, JudgeNetwork(16, faces.SCHEMA.width).eval(), 1.0, {}, {})
    guide = JudgeGuide(model, logits_of(judge), faces.SCHEMA)
    editor = AxisEditor(model, some_axes(model), locks=["Male"])
    code = next(drawn_codes(model, 4, 3))
    passed = way(editor, code, {"Smiling": 1.0}, 4, guide)
    assert torch.equal(passed[0].z, code.z)
    column = faces.SCHEMA.column_names.index("Smiling")
    before, after = (judge.logits(model.decode(each))[:, column] for each in (code, passed[-1]))
    assert (after > before).all()
    told = effects(editor, judge, {"Smiling": 1.0}, guide=guide, count=8)
    assert all(each.predicted is None for each in told)
    assert [each.role for each in told][:2] == ["reached", "locked"]


def test_the_curved_axes_of_a_pack_can_be_followed(tmp_path: Path) -> None:
    model = LinearGenerator()
    judge = LinearJudge(model)
    judged = judged_by(model, judge, count=4000)
    pack = with_curved(fit_axes(model, judged, ["Bright", "Warm"]), judged)
    assert pack.about["seconds"]["fit curved"] > 0
    editor = AxisEditor(model, pack, locks=["Warm"])
    told = {each.name: each for each in effects(editor, judge, {"Bright": 1.0}, guide=pack.curved)}
    assert (told["Bright"].measured or 0) > 0.8
    assert told["Bright"].predicted is None
    free = effects(AxisEditor(model, pack), judge, {"Bright": 1.0}, guide=pack.curved)
    warm = next(each for each in free if each.name == "Warm")
    assert (told["Warm"].measured or 0) < 0.5 * (warm.measured or 0)
    path = tmp_path / "axes.safetensors"
    save_pack(pack, path)
    codes = next(drawn_codes(model, 3, 3))
    axis_edit = AxisEdit(model, AxisOptions(path, ("Warm",), follow="curved"))
    # On file it is rounded.
    torch.testing.assert_close(
        way(axis_edit.editor, codes, {"Bright": 1.0}, 2, axis_edit.guide)[-1].z,
        way(editor, codes, {"Bright": 1.0}, 2, pack.curved)[-1].z,
        rtol=0, atol=0.02,
    )  # fmt: skip
    save_pack(fit_axes(model, judged), path)
    with pytest.raises(AttrimorphError, match=r"--follow curved needs a pack with curved axes; .* has none"):
        AxisEdit(model, AxisOptions(path, follow="curved"))


# ---- every kind of generator, from Python and as files


@pytest.mark.parametrize("kind", MAKES)
def test_photographs_and_drawn_pictures_of_every_generator(kind: str, tmp_path: Path) -> None:
    model = MAKES[kind](tmp_path / "model")
    pack = tmp_path / "axes.safetensors"
    save_pack(some_axes(model), pack)
    named, size = str(tmp_path / "model"), model.image_size
    changes = {"Smiling": 1.0}
    drawn = AxisOptions(pack, ("Male", "Young"), seed=3, count=2)
    written = Edit(model=named, along=drawn, images=[], changes=changes).write(tmp_path / "drawn.png", model)
    assert [path.name for path in written.pictures] == ["drawn.png", "drawn.edited-1.png", "drawn.edited-2.png"]
    assert replay(written.receipt).identical
    paths = [photograph(tmp_path / "a.png", (size, size))]
    invert = None if isinstance(model, Encodes) and "classifier" in model.networks else Search(3, candidates=8)
    held = AxisOptions(pack, ("Male",))
    written = Edit(model=named, along=held, images=paths, changes=changes, invert=invert).write(
        tmp_path / "it.png", model
    )
    assert replay(written.receipt).identical
    strip = Morph(model=named, along=held, images=paths, changes=changes, steps=3, invert=invert).write(
        tmp_path / "m.png", model
    )
    assert strip.pictures[1].suffix == ".gif"
    assert replay(strip.receipt).identical
    # The same from Python.
    editor = AxisEditor(model, some_axes(model), locks=["Male"])
    images = model.decode(model.sample_codes(2, torch.Generator().manual_seed(0))).cpu()
    result = edit(editor, images, changes, invert=Search(3, candidates=8))
    assert result.inversion is not None
    assert result.reconstructions is not None
    assert not torch.equal(result.edited, result.reconstructions)
    space, rows = Space.of(model), editor.pack.rows(["Male"])
    assert space.size == rows.shape[1]
    between = morph(editor, images[:1], images[1:], 3, invert=Search(3, candidates=8))
    assert between.images.shape == (3, 3, size, size)


def test_a_model_that_does_not_encode_says_what_to_add(tmp_path: Path) -> None:
    model = MAKES["pggan"](tmp_path / "model")
    save_pack(some_axes(model), tmp_path / "axes.safetensors")
    path = photograph(tmp_path / "a.png")
    along = AxisOptions(tmp_path / "axes.safetensors")
    with pytest.raises(AttrimorphError, match="add --invert to look for the code"):
        Edit(model="x", along=along, images=[path], changes={"Smiling": 1.0}).write(tmp_path / "it.png", model)
    with pytest.raises(AttrimorphError, match="--seed edits pictures that the model draws; got a photograph"):
        Edit(model="x", along=AxisOptions(along.pack, seed=1), images=[path], changes={"Smiling": 1.0}).write(
            tmp_path / "it.png", model
        )
    with pytest.raises(AttrimorphError, match="somebody must judge"):
        AxisEdit(model, AxisOptions(along.pack, follow="judge"))
    assert AxisEdit(model, along).judge is None
    # Who judged when the axes were fitted is remembered.
    judged = some_axes(model)
    save_pack(AxisPack(judged.model_sha256, judged.model, judged.axes, {"by": "judge drawn-faces-32"}), along.pack)
    found = AxisEdit(model, along).judge
    assert found is not None
    assert found.name == "judge drawn-faces-32"


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_generators_from_outside_edit_and_replay(suffix: str, tmp_path: Path) -> None:
    path = exported(tmp_path / "foreign.pt2")
    if suffix == ".onnx":
        path = as_onnx(tmp_path / "foreign.onnx")
    model = outside_generator(path, values="0..1", program=True)
    torch.testing.assert_close(
        model.decode(model.sample_codes(3, torch.Generator().manual_seed(0))),
        outside_generator(exported(tmp_path / "same.pt2"), values="0..1", program=True).decode(
            model.sample_codes(3, torch.Generator().manual_seed(0))
        ),
        rtol=0,
        atol=1e-5,
    )
    pack = tmp_path / "axes.safetensors"
    save_pack(some_axes(model), pack)
    along = AxisOptions(pack, ("Male",), seed=2, values="0..1")
    written = Edit(model=path, along=along, images=[], changes={"Smiling": 1.0}).write(tmp_path / "it.png", model)
    program = path if suffix == ".pt2" else None
    assert replay(written.receipt, program=program).identical
    face = photograph(tmp_path / "a.png", (16, 16))
    along = AxisOptions(pack, values="0..1")
    request = Edit(model=path, images=[face], changes={"Smiling": 1.0}, along=along, invert=Search(20, candidates=8))
    if suffix == ".onnx":
        with pytest.raises(AttrimorphError, match="does not"):
            request.write(tmp_path / "b.png", model)
        return
    found = request.write(tmp_path / "b.png", model)
    assert replay(found.receipt, program=path).identical
    again = edit(AxisEditor(model, some_axes(model)), model.decode(next(drawn_codes(model, 2, 1))), {"Smiling": 1.0},
                 invert=Search(200, candidates=8, prior=0.0))  # fmt: skip
    assert again.inversion is not None
    assert (again.inversion.after < 0.5 * again.inversion.before).all()


def as_onnx(path: Path) -> Path:
    """Write the foreign generator as ONNX, its weights as constants."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from tests.applications.axes.test_outside import Foreign

    layer = Foreign().layer
    weights = [
        numpy_helper.from_array(layer.weight.detach().T.contiguous().numpy(), "weight"),
        numpy_helper.from_array(layer.bias.detach().numpy(), "bias"),
        numpy_helper.from_array(torch.tensor([-1, 3, 16, 16]).numpy(), "shape"),
    ]
    nodes = [
        helper.make_node("MatMul", ["z", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 5])],
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("kind", ["fm-gan", "discvae", "pggan", "pggan with attributes"])
def test_axes_are_fitted_to_every_generator(kind: str, tmp_path: Path) -> None:
    model = MAKES[kind](tmp_path)

    def redness(images: torch.Tensor) -> torch.Tensor:
        return images[:, 0].flatten(1).mean(1, keepdim=True)

    usual = redness(model.decode(next(drawn_codes(model, 256, 0))))

    def red(images: torch.Tensor) -> torch.Tensor:
        return ((redness(images) - usual.mean()) / usual.std()).sigmoid()

    pack = fit_axes(model, judge_drawn(model, red, ["Red"], by="red", count=256))
    editor = AxisEditor(model, pack)
    code = next(drawn_codes(model, 40, 9))
    less, more = (red(model.decode(editor.own(editor.move(code, {"Red": s})))).mean() for s in (-1.0, 1.0))
    assert more > less


# ---- receipts


def test_a_replay_refuses_other_axes_and_damage(tmp_path: Path) -> None:
    model = MAKES["gan"](tmp_path / "model")
    pack = tmp_path / "axes.safetensors"
    save_pack(some_axes(model), pack)
    along = AxisOptions(pack, seed=3)
    written = Edit(model=tmp_path / "model", along=along, images=[], changes={"Smiling": 1.0}).write(
        tmp_path / "it.png", model
    )
    told = json.loads(written.receipt.read_text())
    assert told["arguments"]["along"]["seed"] == 3
    told["arguments"]["along"]["locks"] = "Male"
    (tmp_path / "bad.json").write_text(json.dumps(told))
    with pytest.raises(AttrimorphError, match="its argument 'along' is wrong"):
        replay(tmp_path / "bad.json")
    save_pack(some_axes(model).with_axis(Axis("New", torch.eye(8)[0].double(), 1.0, 0.0, -1.0, 1.0)), pack)
    with pytest.raises(AttrimorphError, match="must be the file of the receipt; it has changed"):
        replay(written.receipt)


# ---- the photograph as a whole


def test_a_change_is_put_back_where_it_belongs_and_nothing_else_changes(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    path = tmp_path / "wide.png"
    Image.new("RGB", (96, 64), (100, 100, 100)).save(path)
    nothing = put_back(model, path, torch.zeros(3, 16, 16))
    assert nothing.tobytes() == Image.open(path).tobytes()
    change = torch.zeros(3, 16, 16)
    change[0, 6:10, 6:10] = 0.5  # red, in the middle of the centred square
    found = torch.frombuffer(bytearray(put_back(model, path, change).tobytes()), dtype=torch.uint8).view(64, 96, 3)
    assert int(found[32, 48, 0]) == pytest.approx(164, abs=2)
    changed = (found[..., 0] != 100).nonzero()
    assert changed[:, 0].min() >= 16
    assert changed[:, 0].max() < 48
    assert changed[:, 1].min() >= 32
    assert changed[:, 1].max() < 64
    assert bool((found[..., 1:] == 100).all())
    # At the model's own size, pixel for pixel, to the border.
    Image.new("RGB", (16, 16), (100, 100, 100)).save(path)
    whole = put_back(model, path, torch.full((3, 16, 16), 0.2))
    assert whole.getcolors() == [(256, (126, 126, 126))]


def test_detail_stays_where_little_changes_and_the_generator_takes_over_where_much_does() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 16, 16, generator=generator) - 0.5
    before = torch.zeros(2, 3, 16, 16)
    assert torch.equal(blended(images, before, before), images)
    faint = blended(images, before, before + 0.05)
    torch.testing.assert_close(faint, images + 0.05)
    after = before.clone()
    after[..., :8] = 0.9
    plain = blended(images, before, after)
    torch.testing.assert_close(plain[..., :4], after[..., :4])
    torch.testing.assert_close(plain[..., 13:], images[..., 13:])


def test_a_generator_is_found_by_its_file(tmp_path: Path) -> None:
    path = exported(tmp_path / "foreign.pt2")
    with pytest.raises(AttrimorphError, match=r"is a program.*add --run-program"):
        generator_named(str(path), values="0..1")
    assert generator_named(str(path), values="0..1", program=True).image_size == 16
