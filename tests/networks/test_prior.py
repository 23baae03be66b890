"""The fitted prior: what it draws has the mean and covariance of the codes it was fitted to."""

import torch

from attrimorph.networks.convolutional import FittedPrior


def test_unfitted_it_is_the_standard_normal() -> None:
    noise = torch.randn(5, 3)
    assert torch.equal(FittedPrior(3)(noise), noise)


def test_fitted_it_draws_from_the_aggregate_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-1.0, 0.3, 0.1]])
    means = torch.randn(20_000, 3, generator=generator) @ mixing.T + torch.tensor([1.0, -2.0, 0.5])
    variances = torch.tensor([0.04, 0.01, 0.25])
    prior = FittedPrior(3)
    prior.fit(means, variances.log().expand(20_000, 3))
    z = prior(torch.randn(200_000, 3, generator=generator))
    expected = mixing @ mixing.T + torch.diag(variances)
    torch.testing.assert_close(z.mean(0), torch.tensor([1.0, -2.0, 0.5]), atol=0.05, rtol=0)
    torch.testing.assert_close(z.T.cov(), expected, atol=0.1, rtol=0)


def test_one_image_and_dead_columns_are_no_trouble() -> None:
    prior = FittedPrior(2)
    prior.fit(torch.tensor([[3.0, 0.0]]), torch.tensor([[-10.0, 0.0]]))
    assert prior(torch.zeros(1, 2)).tolist() == [[3.0, 0.0]]
    assert torch.isfinite(prior(torch.randn(100, 2))).all()
