"""Retouch: who learns from what; what is asked; the fields, whole and in part; the teacher; the trained model."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attrimorph.applications.edit import edit
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.methods.retouch.model import RetouchModel
from attrimorph.methods.retouch.networks import EditorNetwork, Teacher
from attrimorph.methods.retouch.recipe import RetouchRecipe
from attrimorph.methods.retouch.skin import background, skin, with_skin_kept
from attrimorph.methods.retouch.step import Asked, Jitter, Retouch, ask, held, new_edges, retouched_part
from attrimorph.photographs.fields import Fields, changed
from attrimorph.training.trainer import build
from tests.methods.test_golden import batch
from tests.small_models import PLAIN, narrow, pictures, small_model

SHIPPED = Path(__file__).parents[3] / "src" / "attrimorph" / "shipped"
SCHEMA = Schema(
    (
        *(Attribute(name) for name in ("Black_Hair", "Blond_Hair", "Smiling", "Pale_Skin")),
        Attribute("hat", "categorical", ("none", "cap", "top")),
        Attribute("age", "real"),
    ),
    exclusive=(("Black_Hair", "Blond_Hair"),),
)
KINDS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2.0])
NAMES = {"U": "editor", "D": "discriminator", "P": "detail_discriminator", "C": "classifier"}
MATRIX = {
    # weight -> who learns from its loss; P is the second D
    "fool": "U",
    "detail": "U",
    "asked": "U",
    "kept": "U",
    "match": "U",
    "match_kept": "U",
    "unchanged": "U",
    "change": "U",
    "mask": "U",
    "shift": "U",
    "stretch": "U",
    "variation": "U",
    "skin": "U",
    "head_real": "D",
}


def retouch(changes: dict[str, Any] | None = None, schema: Schema = faces.SCHEMA) -> Retouch:
    found = build(narrow("retouch-64", {"asking.nothing": 0.5} | (changes or {})), schema, PLAIN)
    assert isinstance(found, Retouch)
    return found


def lively(editor: torch.nn.Module) -> None:
    """Give a fresh editor a last layer, so that it changes something."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.nn.init.normal_(editor.get_parameter("last.weight"), std=0.1)


@pytest.mark.parametrize("name", MATRIX)
def test_a_term_changes_its_learners_only(name: str) -> None:
    found = []
    for weight in ({}, {f"losses.{name}": 0.35}):
        algorithm = retouch(weight)
        lively(algorithm.networks["editor"])
        for optimiser in algorithm.optimisers.values():
            optimiser.param_groups[0]["lr"] = 0.0
        algorithm.step(batch(0, 32), torch.Generator().manual_seed(0))
        found.append(
            {n: torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
             for n, net in algorithm.networks.items()}
        )  # fmt: skip
    assert {n for n in found[0] if not torch.allclose(found[0][n], found[1][n])} == {NAMES[x] for x in MATRIX[name]}


def test_what_is_asked() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.zeros(4000, 8)
    y[:, :4] = (torch.rand(4000, 4, generator=generator) > 0.5).float()
    y[:, 1] *= 1 - y[:, 0]  # at most one hair colour
    y[torch.arange(4000), torch.randint(4, 7, (4000,), generator=generator)] = 1
    y[:, 7] = torch.randn(4000, generator=generator)
    y[:400, 2] = torch.nan
    chance, varies = torch.rand(4000, 10, generator=generator), torch.ones(8, dtype=torch.bool)
    asked = ask(y, (SCHEMA.mutually_exclusive, KINDS, varies), chance, 3, 0.1)
    assert (~asked.some).float().mean() == pytest.approx(0.1, abs=0.02)
    assert not asked.changed[:400, 2].any(), "what is not known is not asked"
    assert asked.target[:400, 2].isnan().all()
    still = ~asked.changed
    assert torch.equal(asked.target[still].nan_to_num(9), y[still].nan_to_num(9))
    assert (asked.target[:, 4:7].sum(1) == 1).all()
    assert (asked.target[:, 0] + asked.target[:, 1] <= 1).all()
    raised = (asked.target[:, 0] == 1) & (y[:, 0] == 0)
    assert raised.sum() > 300
    assert asked.changed[raised, 1].all(), "black hair is asked to be no blond hair as well"
    each = asked.changed[:, [2, 3]].float().sum(1) + asked.changed[:, :2].any(1) + asked.changed[:, 4:7].any(1)
    assert (each + asked.changed[:, 7] <= 3).all()
    varies[[3, 6]] = False
    fewer = ask(y, (SCHEMA.mutually_exclusive, KINDS, varies), chance, 3, 0.1)
    assert asked.changed[:, 3].any()
    assert not fewer.changed[:, 3].any(), "what never varies is not asked"
    assert not (fewer.changed & (fewer.target == 1))[:, 6].any()


def test_a_fresh_editor_changes_nothing_and_a_lively_one_does() -> None:
    editor = EditorNetwork(32, 32, 5, 4, 1)
    x, d = pictures(2, 32), torch.ones(2, 5)
    fields = editor(x, d, d)
    assert [part.shape[1] for part in (fields.flow, fields.gain, fields.shift, fields.mask, fields.paint)] == [
        2,
        3,
        3,
        1,
        3,
    ]
    torch.testing.assert_close(changed(x, fields), x, atol=1e-5, rtol=0)
    lively(editor)
    assert (changed(x, editor(x, d, d)) - x).abs().mean() > 0.01
    assert not torch.equal(changed(x, editor(x, d, d)), changed(x, editor(x, -d, d)))


def test_what_the_core_says_is_enlarged_and_then_refined() -> None:
    editor = EditorNetwork(16, 32, 5, 4, 1)
    lively(editor)
    x, d = pictures(2, 32), torch.ones(2, 5)
    fine, small = editor(x, d, d), editor(F.avg_pool2d(x, 2), d, d)
    assert (fine.flow.shape[-1], small.flow.shape[-1]) == (32, 16)
    # Fresh, the refinement adds nothing.
    enlarged = F.interpolate(small.gain.atanh(), scale_factor=2, mode="bilinear").tanh()
    torch.testing.assert_close(fine.gain, enlarged, atol=1e-4, rtol=0)
    torch.nn.init.normal_(editor.finest.weight, std=0.1)
    assert not torch.allclose(editor(x, d, d).gain, fine.gain, atol=0.02)


def test_fields_grow_at_their_time() -> None:
    found = {}
    for seen in (0, 32):
        algorithm = retouch(
            {"networks.core": 16, "networks.enlarged": 1, "losses.small_images": 32, "losses.warmup_images": 0}
        )
        lively(algorithm.networks["editor"])
        algorithm.step(replace(batch(0, 32), images_seen=seen), torch.Generator().manual_seed(0))
        found[seen] = algorithm.networks["editor"].finest.weight.grad
    assert found[0] is None
    assert found[32].abs().sum() > 0


@pytest.mark.parametrize("place", [(0, 0), (3, 8), (8, 5)])
def test_a_part_is_the_whole_s(place: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = {name: 0.2 * torch.randn(2, count, 16, 16, generator=generator) for name, count in
             (("flow", 2), ("gain", 3), ("shift", 3), ("mask", 1), ("paint", 3))}  # fmt: skip
    fields, large = Fields(**parts), pictures(2, 32)
    a, b, flow = (F.interpolate(part, scale_factor=2, mode="bicubic") for part in (*fields.affine(), parts["flow"]))
    whole = changed(large, Fields(flow, a, b))
    top, left = 2 * place[0], 2 * place[1]
    part = retouched_part(large, fields, list(place))
    torch.testing.assert_close(part, whole[..., top : top + 16, left : left + 16], atol=1e-5, rtol=1e-4)


def test_skin_is_held_wherever_it_is_and_free_where_pale_skin_is_asked() -> None:
    change = torch.zeros(1, 3, 32, 32)
    change[..., :4] = 0.5
    everywhere = torch.ones(1, 1, 32, 32)
    assert held(change, everywhere) == pytest.approx(0.5 / 8, rel=0.01)
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise -= F.interpolate(F.avg_pool2d(noise, 4), scale_factor=4.0)
    assert held(noise, everywhere) < 1e-3, "grain is free"
    algorithm = retouch(schema=SCHEMA)
    assert algorithm.pale == slice(3, 4)
    where = skin(torch.full((1, 3, 16, 16), 0.3))
    assert where[..., 9, 8] == 1
    assert where[..., 0, 0] == 0


def test_background_is_what_has_the_colours_of_the_corners() -> None:
    x = torch.full((2, 3, 64, 64), 0.5)
    x[0, :, 8:, 12:52] = -0.8  # hair, on both sides as far as the picture goes down
    x[0, :, 20:52, 22:42] = torch.tensor([0.4, 0.1, 0.0])[:, None, None]
    x[1, 2, :, 32:] = -0.9  # another colour on the right
    found = background(x)
    assert found[0, 0, :4].min() > 0.9
    assert found[0, 0, :, :10].min() > 0.9
    assert found[0, 0, 8:, 12:52].max() < 0.1, "hair is no background, however far it goes"
    assert found[1, 0, :4].min() > 0.9, "either corner's colour is background"
    assert found[1, 0, 28:40, 28:36].max() == 0, "the face is none, whatever its colour"


def test_a_change_may_end_where_the_picture_has_an_edge() -> None:
    x = torch.zeros(1, 3, 32, 32)
    x[..., 16:] = 0.8
    at_the_edge, beside = x.clone(), x.clone()
    at_the_edge[..., 16:] -= 0.3
    beside[..., 20:] -= 0.3
    assert new_edges(x, x) == 0
    assert new_edges(x, x + 0.2) < 1e-6, "all of it alike is no edge"
    assert new_edges(x, beside) == pytest.approx(0.3 / 31, rel=1e-4)
    assert new_edges(x, at_the_edge) < 0.01 * new_edges(x, beside)


@pytest.mark.parametrize("tone", [-0.6, 0.0, 0.6])
def test_no_edit_makes_a_face_lighter_or_redder(tone: float) -> None:
    """In arched eyebrows dark skin came back lighter by 6.8 L*."""
    x = torch.full((1, 3, 64, 64), tone)
    x[:, :, :12] = -0.9  # hair
    nothing = torch.zeros(1, 1, 64, 64)
    lighter = torch.tensor([0.2, 0.1, 0.05])[:, None, None].expand(1, 3, 64, 64)
    brow = lighter.clone()
    brow[:, :, 24:26, 20:44] -= 0.5
    fields = Fields(nothing.expand(1, 2, -1, -1), nothing.expand(1, 3, -1, -1), brow, nothing.clone(), x)
    assert fields.mask is not None
    fields.mask[:, :, 40:44, 24:40] = 1.0
    kept = with_skin_kept(x, fields)
    change = changed(x, kept) - x
    where = (skin(x) > 0.5) & (fields.mask == 0)
    assert abs(change.mul(where).sum((2, 3)) / where.sum()).max() < 0.01
    assert change[0, :, 25, 32].max() < -0.3, "a part of the face changes"
    assert change[0, :, 42, 32].abs().max() == 0, "paint stays"
    assert torch.equal(change[..., :4, :4], changed(x, fields)[..., :4, :4] - x[..., :4, :4]), "and what is no face"


def test_an_edited_picture_is_no_real_one_with_what_was_asked() -> None:
    """D's branches: real pictures belong to that of their value, edited ones not to that which was asked."""
    y = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0, 0.3], [0, 1, torch.nan, 0, 0, 1, 0, -0.3]])
    algorithm = retouch(schema=SCHEMA)
    changed_ones = torch.zeros(2, 8, dtype=torch.bool)
    changed_ones[0, 2] = True
    target = y.clone()
    target[0, 2] = 1
    asked = Asked(target, changed_ones, changed_ones.any(1))
    real, made = torch.zeros(2, 8, 2, requires_grad=True), torch.zeros(2, 8, 2, requires_grad=True)
    algorithm._match_hinge(real, made, y, asked).backward()
    assert made.grad is not None
    assert made.grad[0, 2, 1] > 0
    assert (made.grad != 0).sum() == 1, "edited pictures teach the branch of what was asked, and no other"
    assert real.grad is not None
    assert real.grad[0, 0, 1] < 0
    assert real.grad[0, 0, 0] > 0
    assert not real.grad[1, 2].any()
    assert not real.grad[:, 7].any(), "nothing of what is unknown, or real"
    shares = algorithm.networks["discriminator"].shares
    assert shares[0] == 0.5
    assert shares[1] == 0.5
    assert shares[3] < 0.5, "what is rare in the pictures weighs as much as what is not"
    fooled = algorithm._match(made, asked)
    assert set(fooled) == {"match", "match_kept"}
    assert fooled["match_kept"] == 1


def test_rare_pictures_come_oftener(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=200, size=32)
    recipe = narrow("retouch-64")
    assert isinstance(recipe, RetouchRecipe)
    train = data.indices("train")
    y = torch.full((200, faces.SCHEMA.width), torch.nan)
    y[:, 0] = torch.arange(200) % 2
    y[:, 1] = 0
    y[train[:8], 1] = 1
    data = replace(data, attributes=y)
    numbers = np.bincount(Retouch.rows(recipe, data), minlength=200)
    assert {*numbers[train[:8]].tolist()} == {2}, "8 of 160: the root of 0.2 / 0.05"
    assert {*numbers[train[8:]].tolist()} == {1}
    assert np.array_equal(Retouch.rows(recipe.with_changes({"asking.repeats": 1}), data), train)


def test_teachers_say_what_edited_pictures_have(tmp_path: Path) -> None:
    path = str(SHIPPED / "judge-drawn-faces-32.safetensors")
    teacher = Teacher(Path(path), faces.SCHEMA)
    drawn = next(iter(faces.draw(64, 32, 0)))
    told = teacher(drawn.images.permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert ((told > 0.5) == (faces.attributes(drawn.factors) > 0.5)).float().mean() > 0.9
    assert teacher.knows.all()
    load_judge(Path(path)).save(tmp_path / "judge.safetensors")
    assert torch.equal(Teacher(tmp_path / "judge.safetensors", faces.SCHEMA)(given := pictures(2, 32)), teacher(given))
    odd = Teacher(Path(path), Schema((Attribute("Odd"), Attribute("Smiling"))))
    assert odd.knows.tolist() == [False, True]
    assert odd(given)[:, 0].isnan().all()
    alone, taught = retouch(), retouch({"losses.teacher": f"{path}, {tmp_path / 'judge.safetensors'}"})
    assert len(taught.teachers) == 2
    before = [p.clone() for each in taught.teachers for p in each.parameters()]
    values, others = (each.step(batch(0, 32), torch.Generator().manual_seed(0)) for each in (taught, alone))
    assert values["classify"] > others["classify"], "C learns from edited pictures, too"
    assert values["asked_head"] == others["asked_head"]
    assert 0 <= values["others_kept"] <= 1
    assert all(map(torch.equal, before, (p for each in taught.teachers for p in each.parameters())))
    # What no teacher knows is not taken for reached.
    for each in taught.teachers:
        each.knows[:] = False
    values = taught.step(batch(0, 32), torch.Generator().manual_seed(0))
    assert values["asked_head"] > 0
    assert values["asked_reached"] == 0
    nothing = tmp_path / "nothing.safetensors"
    with pytest.raises(AttrimorphError, match=r"must be files of attribute classifiers; .*nothing"):
        Teacher(nothing, faces.SCHEMA)
    with pytest.raises(AttrimorphError, match="must know attributes of the data"):
        Teacher(Path(path), Schema((Attribute("Odd"),)))


def test_no_second_discriminator_where_the_data_are_no_larger_or_it_has_no_weight() -> None:
    for changes in ({"networks.enlarged": 1}, {"losses.detail": 0.0}):
        algorithm = retouch(changes)
        assert "detail_discriminator" not in algorithm.networks
        assert "detail" not in algorithm.step(batch(0, 32), torch.Generator().manual_seed(0))
    with pytest.raises(AttrimorphError, match=r"data\.image_size must be at least 32, networks\.enlarged times 16"):
        narrow("retouch-64", {"data.image_size": 16})


def test_the_editor_waits_for_those_who_teach_it() -> None:
    algorithm = retouch({"losses.warmup_images": 8})
    for step, moved in ((0, False), (1, True)):
        before = {name: [p.clone() for p in net.parameters()] for name, net in algorithm.networks.items()}
        algorithm.step(batch(step, 32), torch.Generator().manual_seed(step))
        for name, net in algorithm.networks.items():
            other = any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True))
            assert other == (moved or name != "editor"), name


def test_views_differ_and_keep_the_picture() -> None:
    x = pictures(2, 32)
    first, second = (Jitter.drawn(2, x, torch.Generator().manual_seed(seed))(x) for seed in (0, 1))
    assert first.shape == x.shape
    assert not torch.equal(first, second)
    assert (first - x).abs().mean() < 0.3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RetouchModel:
    found = small_model(tmp_path_factory.mktemp("retouch"), "retouch-64")
    assert isinstance(found, RetouchModel)
    lively(found.networks["editor"])
    return found


def test_strength_scales_the_fields(model: RetouchModel) -> None:
    x, y = pictures(2, 32), torch.zeros(2, faces.SCHEMA.width)
    whole, half = (model.fields(x, {"Smiling": strength}, y) for strength in (1.0, 0.5))
    for name in ("flow", "gain", "shift", "mask"):
        torch.testing.assert_close(getattr(half, name), getattr(whole, name) / 2)
    torch.testing.assert_close(half.paint, whole.paint)
    assert whole.flow is not None
    assert whole.flow.shape == (2, 2, 32, 32)
    assert torch.equal(model.edit(x, {"Smiling": 1.0}, y), changed(x, whole))
    far = model.fields(x, {"Smiling": 3.0}, y).mask
    assert far is not None
    assert far.max() <= 1
    other = copy(model)
    other.recipe = model.recipe.with_changes({"networks.reach": 1.2})
    torch.testing.assert_close(other.fields(x, {"Smiling": 0.5}, y).gain, 0.6 * whole.gain)


def test_a_slider_asks_the_network_once(model: RetouchModel) -> None:
    x, y, calls = pictures(1, 32), torch.zeros(1, faces.SCHEMA.width), []
    hook = model.networks["editor"].register_forward_hook(lambda *_: calls.append(1))
    for strength in (0.1, 0.5, 1.0, -1.0, -0.3):  # setting and taking away are two
        found = model.edit(x, {"Smiling": strength}, y)
    assert len(calls) == 2
    for other in (x * 0.9, x):
        before = len(calls)
        assert torch.equal(model.edit(other, {"Smiling": -0.3}, y), found) == (other is x)
        assert len(calls) - before == (other is not x)
    model.edit(x, {"Smiling": -0.3}, 1 - y)
    assert len(calls) == 4
    hook.remove()


def test_no_change_is_the_picture_and_two_strengths_come_together(model: RetouchModel) -> None:
    x, y = pictures(2, 32), torch.zeros(2, faces.SCHEMA.width)
    assert torch.equal(model.edit(x, {}, y), x)
    assert torch.equal(model.edit(x, {"Smiling": 0.0}, y), x)
    both = model.edit(x, {"Smiling": 1.0, "Male": 0.5}, y)
    assert not torch.allclose(both, model.edit(x, {"Smiling": 1.0}, y))
    assert not torch.allclose(both, model.edit(x, {"Smiling": 1.0, "Male": 1.0}, y))
    assert model.can == ("edit",)
    rows = model.sheet_rows(x, y)
    assert len(rows) == 5
    assert torch.equal(rows[1], model.edit(x, {model.editable[0]: 1.0}, y))


def test_an_edit_shows_the_model_s_own_fields(model: RetouchModel) -> None:
    x, y = pictures(2, 32), torch.zeros(2, faces.SCHEMA.width)
    found = edit(model, x, {"Smiling": 1.0}, y)
    assert found.fields is not None
    assert torch.equal(found.fields.flow, model.fields(x, {"Smiling": 1.0}, y).flow)  # type: ignore[arg-type]
    assert torch.equal(found.edited, model.edit(x, {"Smiling": 1.0}, y))
    assert torch.equal(edit(model, x, {"Smiling": 1.0}, y, composition="whole face").edited, found.edited)


def test_unknown_labels_leave_no_nan() -> None:
    algorithm = retouch()
    given = batch(0, 32)
    labels = torch.full_like(given.attributes, torch.nan)
    values = algorithm.step(Batch(given.images, labels), torch.Generator().manual_seed(0))
    assert all(torch.isfinite(value) for name, value in values.items() if name != "c_accuracy")
    weights = torch.cat([p.flatten() for net in algorithm.networks.values() for p in net.parameters()])
    assert weights.isfinite().all()
