"""Moves as the picture measures them."""

from pathlib import Path

import pytest
import torch

from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.axes.fitting import fit_axes, judged_by
from attrimorph.applications.axes.space import PLAIN, REACH, picture_gram
from attrimorph.models.model import Code
from tests.applications.axes.linear_world import LATENT, LinearGenerator, LinearJudge
from tests.tiny_models import tiny_model


def uneven() -> LinearGenerator:
    """A generator of which some directions hardly show."""
    model = LinearGenerator()
    model.matrix *= torch.logspace(0, -1.5, LATENT)[:, None]
    return model


def test_the_measure_of_a_linear_generator_is_that_of_its_matrix() -> None:
    model = uneven()
    true = model.matrix.double() @ model.matrix.double().T
    expected = true / true.trace() * LATENT + PLAIN * torch.eye(LATENT)
    assert torch.allclose(picture_gram(model), expected, atol=1e-4)


def test_the_same_scores_are_reached_with_less_change_of_the_picture() -> None:
    model = uneven()
    pack = fit_axes(model, judged_by(model, LinearJudge(model), count=4000))
    plain = AxisEditor(model, pack, locks=["Tall"])
    seen = AxisEditor(model, pack, locks=["Tall"], gram=picture_gram(model))
    code = Code(torch.randn(20, LATENT, generator=torch.Generator().manual_seed(3)), torch.full((20, 1), torch.nan))
    rows = pack.rows(["Wide", "Tall"])
    before = plain.decode(code)
    # A photograph's edit goes farther: that much is lost where it is put back.
    ways = [plain.move(code, {"Wide": REACH * 0.8}), seen.move(code, {"Wide": 0.8})]
    scores = [moved.z.double() @ rows.T for moved in ways]
    assert torch.allclose(*scores, atol=1e-4)
    changed = [(plain.decode(moved) - before).square().mean() for moved in ways]
    assert changed[1] < 0.8 * changed[0]


@pytest.mark.parametrize("method", ["gan", "cvae-gan"])
def test_every_generator_has_one_that_is_the_same_each_time(method: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method=method)
    gram = picture_gram(model)
    assert torch.equal(gram, picture_gram(model))
    assert torch.linalg.eigvalsh(gram).min() >= PLAIN * 0.99
