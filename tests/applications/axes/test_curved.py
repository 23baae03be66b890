"""Curved axes: where an attribute bends, the network follows it, and what is locked stays all the same."""

import pytest
import torch

from attrimorph.applications.axes.curved import fit_curved, follow_curved
from attrimorph.applications.axes.fitting import Judged
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.errors import AttrimorphError
from tests.applications.axes.linear_world import LATENT, LinearGenerator

# "Kept" bends: it depends on z0 and on z1 squared; "Edited" is z1 alone. Moving z1 must be answered by z0.


def truth(z: torch.Tensor) -> torch.Tensor:
    return torch.stack([2.0 * z[:, 1], 2.0 * z[:, 0] + 1.5 * z[:, 1].square() - 1.5], 1)


def judged(count: int) -> Judged:
    z = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(0))
    return Judged(z, truth(z).sigmoid(), ("Edited", "Kept"), "nobody")


def test_what_bends_is_followed_and_the_lock_holds() -> None:
    curved = fit_curved(judged(6000))
    assert curved.told > 0.9
    model = LinearGenerator()
    code = next(drawn_codes(model, 60, 5))
    way = follow_curved(model, curved, code, {"Edited": 1.0}, locks=["Kept"])
    assert torch.equal(way[0].z, code.z)
    before, after = truth(code.z), truth(way[-1].z)
    needed = before[:, 0] < 2.5
    assert (after[needed, 0] - 2.5).abs().mean() < 0.5
    free = truth(follow_curved(model, curved, code, {"Edited": 1.0})[-1].z)
    assert (after - before)[needed, 1].abs().mean() < 0.25 * (free - before)[needed, 1].abs().mean()
    half = truth(follow_curved(model, curved, code, {"Edited": 0.5})[-1].z)
    torch.testing.assert_close(
        (half - before)[needed, 0].mean(), 0.5 * (free - before)[needed, 0].mean(), rtol=0.15, atol=0.1
    )


def test_the_same_seed_gives_the_same_network() -> None:
    a, b = fit_curved(judged(600)), fit_curved(judged(600))
    x = torch.randn(5, LATENT).double()
    assert torch.equal(a.network(x), b.network(x))


def test_too_little_is_told() -> None:
    with pytest.raises(AttrimorphError, match="needs at least 266 judged codes; got 200"):
        fit_curved(judged(200))
    few = judged(400)
    few.said[3, 1] = torch.nan
    with pytest.raises(AttrimorphError, match="needs a verdict on every code"):
        fit_curved(few)
    with pytest.raises(AttrimorphError, match="no curved axis 'Edted'; did you mean 'Edited'"):
        fit_curved(judged(600)).column("Edted")
