"""The order in which a judge or identity encoder sees its images."""

import torch
from torch import Tensor, nn

from attrimorph.evaluators.evaluator import EvaluatorRecipe, Labelled, fit


def seen(count: int, half: int | None, images_seen: int) -> list[Tensor]:
    """Return the rows of each step of a training on `count` images."""
    steps: list[Tensor] = []

    def read(rows: Tensor) -> Tensor:
        steps.append(rows)
        return torch.zeros(len(rows), 3, 4, 4)

    images = Labelled(read, torch.zeros(count), half=half)

    def loss(network: nn.Linear, images: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = network(images.mean().view(1)).sum()
        return found

    fit(lambda: nn.Linear(1, 1), images, loss, EvaluatorRecipe(images_seen, 8))
    return steps


def test_every_image_comes_once_before_any_comes_again() -> None:
    rows = torch.cat(seen(40, None, 80))
    assert torch.equal(rows[:40].sort().values, torch.arange(40))
    assert torch.equal(rows[40:].sort().values, torch.arange(40))


def test_real_images_make_half_of_every_batch_beside_many_generated_ones() -> None:
    steps = seen(100, 4, 160)
    assert all(int((rows < 4).sum()) == 4 for rows in steps)
    generated = torch.cat([rows[rows >= 4] for rows in steps])
    assert len(torch.unique(generated)) == len(generated) == 80
    # Batches are worn in their first half: real images must not always stand there.
    assert any(bool((rows[4:] < 4).any()) for rows in steps)


def test_without_generated_images_half_asks_for_nothing() -> None:
    assert torch.equal(torch.cat(seen(40, 40, 40)).sort().values, torch.arange(40))
