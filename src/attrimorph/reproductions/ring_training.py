"""Training on the ring: GAN, WGAN and FM-GAN as small perceptrons, a copy for each seed, all copies in one pass.

The gradients are written out: for networks this small an automatic differentiation takes longer than the arithmetic. A
test holds every step against that of the family (`methods.cvae_gan.step`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from attrimorph.data.drawn.ring import coverage, on_ring, ring

Array = NDArray[np.float32]
Method = Literal["gan", "wgan", "fm-gan"]
METHODS: tuple[Method, ...] = ("gan", "wgan", "fm-gan")
CLIP = 0.01  # of WGAN's critic
DECAY, EPSILON = np.float32(0.99), np.float32(1e-8)  # of RMSProp
DRAWN = 64  # batches of real points that are drawn at once
MEASURED = 2_000  # samples, always of the same z


@dataclass(frozen=True)
class RingOptions:
    """What one curve depends on. The paper tells the widths, the optimiser and its rate; the rest is ours.

    Attributes:
        iterations: steps of G.
        every: iterations between two measurements.
        widths: of the hidden layers of G and of D (paper).
        learning_rate: of RMSProp (paper).
        batch_size: points a step.
        latent: columns of z ~ N(0, I).
        momentum: of FM-GAN's moving means; 0 takes each batch's own.
        feature_layer: which hidden layer of D FM-GAN matches; -1 is the last.
        critic_steps: steps of WGAN's critic for one of G (Arjovsky et al. 2017).
        saturating: the GAN's G goes down log(1 - D) in place of -log D.
    """

    iterations: int = 60_000
    every: int = 500
    widths: tuple[int, ...] = (32, 64, 64)
    learning_rate: float = 5e-5
    batch_size: int = 64
    latent: int = 2
    momentum: float = 0.0
    feature_layer: int = -1
    critic_steps: int = 5
    saturating: bool = False


@dataclass(frozen=True)
class RingCurve:
    """What one method did with one seed.

    Attributes:
        iterations: at which it was measured, [T].
        covered: share of the ring's sectors that samples fall into, [T].
        on_ring: share of the samples that lie on the ring, [T].
        points: iteration -> samples [N][2], at the snapshots.
    """

    iterations: list[int]
    covered: list[float]
    on_ring: list[float]
    points: dict[int, list[list[float]]]

    def first(self, share: float) -> float:
        """Return the first measured iteration at which `share` of the ring is covered; infinity where never."""
        return next((float(i) for i, c in zip(self.iterations, self.covered, strict=True) if c >= share), math.inf)

    def covered_at(self, iteration: float) -> float:
        """Return the coverage at the last measurement up to an iteration; NaN before the first."""
        known = [c for i, c in zip(self.iterations, self.covered, strict=True) if i <= iteration]
        return known[-1] if known else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> "RingCurve":
        """Read what `to_json` gave."""
        points = {int(iteration): points for iteration, points in value["points"].items()}
        return RingCurve(value["iterations"], value["covered"], value["on_ring"], points)


class Perceptrons:
    """Copies of one perceptron with rectifiers that know nothing of each other, and RMSProp for their weights.

    Args:
        sizes: of the layers, the input's first.
        generators: one for each copy, for its initial weights (as torch draws them for linear layers).

    Attributes:
        weights: of each layer, [C, before, after]; biases: [C, 1, after]. Both are views of one vector, `values`.
    """

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> None:
        shapes = [(before + 1, after) for before, after in pairwise(sizes)]
        drawn = [
            [(torch.rand(shape, generator=one) * 2 - 1) / math.sqrt(shape[0] - 1) for shape in shapes]
            for one in generators
        ]
        layers = [torch.stack(copies).numpy() for copies in zip(*drawn, strict=True)]
        self.values: Array = np.concatenate([layer.ravel() for layer in layers])
        self.gradient, self.squares = np.zeros_like(self.values), np.zeros_like(self.values)
        shaped = [(len(generators), *shape) for shape in shapes]
        self.weights, self.biases = _views(self.values, shaped)
        self.weight_gradients, self.bias_gradients = _views(self.gradient, shaped)

    def forward(self, inputs: Array) -> list[Array]:
        """Return inputs [C, B, before], the hidden layers' activations, and outputs [C, B, after]."""
        activations = [inputs]
        last = len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = activations[-1] @ weight
            h += bias
            activations.append(h if place == last else np.maximum(h, 0, out=h))
        return activations

    def backward(self, activations: Sequence[Array], slope: Array, layer: int = -1, *, learn: bool = True) -> Array:
        """Carry the slope of a loss back from a layer to the inputs.

        Args:
            activations: what `forward` returned.
            slope: of the loss by `activations[layer]`, of its shape.
            layer: where it comes in: -1 for the outputs, 1 for the first hidden layer.
            learn: also put the slopes by the weights, summed over the batch, into `gradient`.

        Returns:
            The slope by the inputs.
        """
        place = layer % len(activations)
        if place < len(activations) - 1:
            slope = slope * (activations[place] > 0)
        for below in reversed(range(place)):
            if learn:
                np.matmul(activations[below].transpose(0, 2, 1), slope, out=self.weight_gradients[below])
                np.sum(slope, axis=1, keepdims=True, out=self.bias_gradients[below])
            if below or not learn:
                slope = slope @ self.weights[below].transpose(0, 2, 1)
            if below:
                slope *= activations[below] > 0
        return slope

    def step(self, rate: float) -> None:
        """Take one step of RMSProp, as torch's: decay 0.99, epsilon 1e-8."""
        self.squares *= DECAY
        self.squares += (1 - DECAY) * self.gradient * self.gradient
        self.values -= rate * self.gradient / (np.sqrt(self.squares) + EPSILON)


def _views(values: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Array], list[Array]]:
    """Cut a vector into layers [C, before + 1, after]; return views of their weights and of their biases."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    layers = [part.reshape(shape) for part, shape in zip(np.split(values, ends[:-1]), shapes, strict=True)]
    return [layer[:, 1:] for layer in layers], [layer[:, :1] for layer in layers]


class RingGame:
    """G against D on the ring, one copy for each seed.

    Args:
        method: whose losses.
        options: everything else.
        seeds: one copy each; a copy does not depend on which others there are.
    """

    def __init__(self, method: Method, options: RingOptions, seeds: Sequence[int]) -> None:
        self.method, self.options = method, options
        self.draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.generator = Perceptrons((options.latent, *options.widths, 2), self.draws)
        self.discriminator = Perceptrons((2, *options.widths, 1), self.draws)
        self.real_mean: Array | None = None
        self.sample_mean: Array | None = None
        self._waiting: list[tuple[Array, Array]] = []

    def draw(self) -> tuple[Array, Array]:
        """Draw a batch for each copy: points of the ring [C, B, 2], and z [C, B, Z]."""
        if not self._waiting:
            size, latent = self.options.batch_size, self.options.latent
            points, noise = [], []
            for generator in self.draws:
                points.append(ring(DRAWN * size, generator).view(DRAWN, size, 2))
                noise.append(torch.randn(DRAWN, size, latent, generator=generator))
            real, z = torch.stack(points, dim=1).numpy(), torch.stack(noise, dim=1).numpy()
            self._waiting = list(zip(real, z, strict=True))
        return self._waiting.pop()

    def iterate(self) -> None:
        """Take the steps of D, then one step of G."""
        for _ in range(self.options.critic_steps if self.method == "wgan" else 1):
            real, z = self.draw()
            self.teach_discriminator(real, self.generator.forward(z)[-1])
            self.discriminator.step(self.options.learning_rate)
            if self.method == "wgan":
                np.clip(self.discriminator.values, -CLIP, CLIP, out=self.discriminator.values)
        _, z = self.draw()
        self.teach_generator(real, z)
        self.generator.step(self.options.learning_rate)

    def teach_discriminator(self, real: Array, samples: Array) -> None:
        """Put the slope of D's loss into its gradient: -log D(x_r) - log(1 - D(x_p)); WGAN's is E f(x_p) - E f(x_r)."""
        activations = self.discriminator.forward(np.concatenate([real, samples], axis=1))
        size = real.shape[1]
        if self.method == "wgan":
            slope = np.ones_like(activations[-1])
            slope[:, :size] = -1
        else:
            slope = _sigmoid(activations[-1])
            slope[:, :size] -= 1
        self.discriminator.backward(activations, slope / size)

    def teach_generator(self, real: Array, z: Array) -> None:
        """Put the slope of G's loss into its gradient.

        -log D(x_p), or log(1 - D(x_p)) where it saturates; -E f(x_p) of WGAN; L_GD of FM-GAN (eq. 2).
        """
        made = self.generator.forward(z)
        seen = self.discriminator.forward(made[-1])
        size, layer = z.shape[1], -1
        if self.method == "wgan":
            slope = np.full_like(seen[-1], -1 / size)
        elif self.method == "gan" and self.options.saturating:
            slope = -_sigmoid(seen[-1]) / size
        elif self.method == "gan":
            slope = (_sigmoid(seen[-1]) - 1) / size
        else:
            hidden = range(1, len(seen) - 1)
            layer = hidden[self.options.feature_layer]
            target = self.discriminator.forward(real)[layer].mean(1, keepdims=True)
            real_mean, sample_mean = self.moved(target, seen[layer].mean(1, keepdims=True))
            slope = np.broadcast_to((sample_mean - real_mean) / size, seen[layer].shape)
        self.generator.backward(made, self.discriminator.backward(seen, slope, layer, learn=False))

    def moved(self, real: Array, samples: Array) -> tuple[Array, Array]:
        """Return moving means of features [C, 1, F]; the samples' has the slope of the batch's own (see `Centres`)."""
        m = np.float32(self.options.momentum)
        if self.real_mean is None or self.sample_mean is None:
            self.real_mean, self.sample_mean = real, samples
        self.real_mean = m * self.real_mean + (1 - m) * real
        self.sample_mean = m * self.sample_mean + (1 - m) * samples
        return self.real_mean, self.sample_mean


def _sigmoid(x: Array) -> Array:
    # By tanh: exp would overflow.
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # type: ignore[no-any-return]


def train_ring(
    method: Method,
    options: RingOptions,
    seeds: Sequence[int],
    snapshots: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[RingCurve]:
    """Train one method with several seeds.

    Args:
        method: of `METHODS`.
        options: lengths, sizes, rates.
        seeds: of weights and draws; the curve of a seed does not depend on the others.
        snapshots: iterations at which the samples themselves are kept, multiples of `options.every`.
        progress: called with (iterations done, iterations).

    Returns:
        A curve for each seed.
    """
    game = RingGame(method, options, seeds)
    z = torch.stack([torch.randn(MEASURED, options.latent, generator=one) for one in game.draws]).numpy()
    curves = [RingCurve([], [], [], {}) for _ in seeds]
    for iteration in range(1, options.iterations + 1):
        game.iterate()
        if iteration % options.every:
            continue
        for curve, points in zip(curves, torch.from_numpy(game.generator.forward(z)[-1]), strict=True):
            curve.iterations.append(iteration)
            curve.covered.append(coverage(points))
            curve.on_ring.append(float(on_ring(points).float().mean()))
            if iteration in snapshots:
                curve.points[iteration] = [[round(x, 3), round(y, 3)] for x, y in points.tolist()]
        if progress is not None:
            progress(iteration, options.iterations)
    return curves
