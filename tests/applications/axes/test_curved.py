"""Curved axes: where an attribute bends, the network follows it, and what is locked stays all the same."""

import pytest
import torch

from attrimorph.applications.axes.curved import Curved, fit_curved
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.applications.axes.trajectory import follow
from attrimorph.errors import AttrimorphError
from tests.applications.axes.linear_world import LATENT, LinearGenerator

# "Kept" bends: it depends on z0 and on z1 squared; "Edited" is z1 alone. Moving z1 must be answered by z0.


def truth(z: torch.Tensor) -> torch.Tensor:
    return torch.stack([2.0 * z[:, 1], 2.0 * z[:, 0] + 1.5 * z[:, 1].square() - 1.5], 1)


def judged(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(0))
    return z, truth(z).sigmoid()


def fitted(count: int) -> Curved:
    return fit_curved(*judged(count), ("Edited", "Kept"))


def test_what_bends_is_followed_and_the_lock_holds() -> None:
    curved = fitted(6000)
    assert curved.explained > 0.9
    model = LinearGenerator()
    code = next(drawn_codes(model, 60, 5))
    way = follow(model, curved, code, {"Edited": 1.0}, locks=["Kept"])
    assert torch.equal(way[0].z, code.z)
    before, after = truth(code.z), truth(way[-1].z)
    needed = before[:, 0] < 2.5
    assert (after[needed, 0] - 2.5).abs().mean() < 0.5
    free = truth(follow(model, curved, code, {"Edited": 1.0})[-1].z)
    assert (after - before)[needed, 1].abs().mean() < 0.25 * (free - before)[needed, 1].abs().mean()
    half = truth(follow(model, curved, code, {"Edited": 0.5})[-1].z)
    torch.testing.assert_close(
        (half - before)[needed, 0].mean(), 0.5 * (free - before)[needed, 0].mean(), rtol=0.15, atol=0.1
    )


def test_the_same_seed_gives_the_same_network() -> None:
    a, b = fitted(600), fitted(600)
    x = torch.randn(5, LATENT).double()
    assert torch.equal(a(x), b(x))
    left = a.without("Edited")
    assert left.names == ("Kept",)
    torch.testing.assert_close(left(x), a(x)[:, 1:])


def test_too_little_is_told() -> None:
    with pytest.raises(AttrimorphError, match="needs at least 270 judged codes; got 200"):
        fitted(200)
    coordinates, said = judged(400)
    said[3, 1] = torch.nan
    with pytest.raises(AttrimorphError, match="needs a verdict on every code"):
        fit_curved(coordinates, said, ("Edited", "Kept"))
    with pytest.raises(AttrimorphError, match="no curved axis 'Edted'; did you mean 'Edited'"):
        follow(LinearGenerator(), fitted(600), next(drawn_codes(LinearGenerator(), 1, 0)), {"Edted": 1.0})
