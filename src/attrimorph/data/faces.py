"""Faces in a photograph, and five points of each, by MTCNN with the weights of the package `mtcnn`.

Where nobody stands upright the photograph is turned by quarters. Weights are read from the installed package; its own
code, which needs TensorFlow, is not run.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError

# --- MTCNN (Zhang, Zhang, Li, Qiao 2016, arXiv:1604.02878): three small networks, each surer than the last

# All take [B, 3, H, W] in [-1, 1] and return a face's offsets to its window [.., 4] (left, top, right, bottom, in parts
# of the window's side) and logits [.., 2] (no face, face); the last one also five points [.., 10] (x of all, then y).

OUTPUTS = {"boxes": 4, "points": 10, "logits": 2}
Pool = tuple[int, bool] | None
"""Side of the window, which moves by 2; whether one that reaches beyond the border counts."""


class Stage(nn.Module):
    """One of the three: convolutions, in the later two a hidden layer, and a linear head for each output.

    Args:
        widths: channels of the convolutions.
        kernels: their sides.
        pools: what follows each.
        hidden: features before and in the hidden layer; None = the first stage, which slides over pictures of any size.
        outputs: names of `OUTPUTS`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        kernels: Sequence[int],
        pools: Sequence[Pool],
        hidden: tuple[int, int] | None,
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, kernel, pool in zip((3, *widths), widths, kernels, pools, strict=False):
            layers += [nn.Conv2d(before, width, kernel), nn.PReLU(width)]
            layers += [nn.MaxPool2d(pool[0], 2, ceil_mode=pool[1])] if pool else []
        if hidden is not None:
            layers += [nn.Flatten(), nn.Linear(*hidden), nn.PReLU(hidden[1])]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(hidden[1], OUTPUTS[name]) if hidden else nn.Conv2d(widths[-1], OUTPUTS[name], 1)
                for name in outputs
            }
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.trunk(images)
        return {name: head(features) for name, head in self.heads.items()}

    def fill(self, arrays: Sequence[NDArray[Any]]) -> "Stage":
        """Take over weights as Keras has them: kernels [h, w, in, out], flat features ordered x, y, channel."""
        left: Iterator[Tensor] = (torch.from_numpy(array) for array in arrays)
        channels = 3
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, nn.Conv2d):
                    channels = part.out_channels
                    part.weight.copy_(next(left).permute(3, 2, 0, 1))
                    assert part.bias is not None
                    part.bias.copy_(next(left))
                elif isinstance(part, nn.PReLU):
                    part.weight.copy_(next(left).flatten())
                elif isinstance(part, nn.Linear):
                    weight = next(left)
                    if len(weight) == 9 * channels:  # after convolutions: 3 x 3 places
                        weight = weight.view(3, 3, channels, -1).permute(2, 1, 0, 3).flatten(0, 2)
                    part.weight.copy_(weight.T)
                    part.bias.copy_(next(left))
        return self.eval().requires_grad_(False)


def proposal() -> Stage:
    """The first: a face in every window of 12 pixels, at a stride of 2."""
    return Stage((10, 16, 32), (3, 3, 3), ((2, True), None, None), None, ("boxes", "logits"))


def refinement() -> Stage:
    """The second: windows of 24 pixels."""
    return Stage((28, 48, 64), (3, 3, 2), ((3, True), (3, False), None), (576, 128), ("boxes", "logits"))


def output() -> Stage:
    """The third: windows of 48 pixels, and the points."""
    pools: tuple[Pool, ...] = ((3, True), (3, False), (2, True), None)
    return Stage((32, 64, 64, 128), (3, 3, 3, 2), pools, (1152, 256), ("boxes", "points", "logits"))


# --- faces of a photograph

SMALLEST = 20  # pixels of a face's side: smaller ones are not looked for
SHARES = (1 / 10, 1 / 50, 1 / 200)  # nor ones that are a smaller part of the photograph's longer side, at first
STEP = 0.709  # from one size at which faces are looked for to the next
PROPOSED, REFINED, FOUND = 0.6, 0.7, 0.8  # probabilities from which the three networks are believed
UPRIGHT, TURNED = 0.8, 0.95  # and the mean of the last one's over several windows
SURE = 0.98  # an upright face as sure as this is not compared with turned ones
GLANCES = ((1, 0, 0), (1.1, 0, 0), (0.9, 0, 0), (1, 0.05, 0), (1, -0.05, 0), (1, 0, 0.05), (1, 0, -0.05))
"""Windows in which points are told again: (scale, to the right, down), in parts of the side."""
MOST = 3000  # windows of one size that are compared, the surest: whatever a picture holds, searching it has an end
STRIP = 2**16  # windows, 2 pixels apart, that the first network looks at together
MOST_FACES = 200  # of a photograph, the largest
TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
Array = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]
Levels = list[tuple[float, Image.Image]]


@dataclass(frozen=True)
class Face:
    """A face as found in a photograph, in its pixels: whole numbers are the borders between them.

    Attributes:
        box: left, top, right, bottom.
        points: (x, y) of the eye on the viewer's left, were the face upright, the other eye, the nose, and the corners
            of the mouth in the same order.
        score: how sure the detector is, 0..1.
        turns: by how many quarters, against the clock, the photograph was turned to find it.
    """

    box: tuple[float, float, float, float]
    points: Points
    score: float
    turns: int = 0

    @property
    def eyes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The eye on the viewer's left, were the face upright, and the other one."""
        return self.points[0], self.points[1]

    @property
    def side(self) -> float:
        """The longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@cache
def _stages() -> tuple[Stage, Stage, Stage]:
    import joblib  # type: ignore[import-untyped,unused-ignore]

    spec = find_spec("mtcnn")
    if spec is None or spec.origin is None:
        raise AttrimorphError("finding faces needs the package mtcnn; it is missing; run: pip install mtcnn")
    folder = Path(spec.origin).parent / "assets" / "weights"
    first, second, third = (joblib.load(folder / f"{name}net.lz4") for name in "pro")
    return proposal().fill(first), refinement().fill(second), output().fill(third)


def find_faces(image: Image.Image, *, largest: bool = False) -> list[Face]:
    """Return the faces of an upright RGB photograph, the largest first; none where there are none.

    Faces are found that are not smaller than a part of the photograph's longer side: the second of `SHARES`. Where
    there are none, turned ones, and then smaller ones down to `SMALLEST` that are upright. At most `MOST_FACES`.

    Args:
        largest: only the largest face matters: large ones are looked for first, and where there are, that is all.
    """
    shares = [max(SMALLEST, max(image.size) * share) for share in (SHARES if largest else SHARES[1:])]
    for least in dict.fromkeys(shares):
        best: list[Face] = []
        # Looking for small faces in a large photograph takes seconds: once.
        turns = TURNS if least >= max(image.size) * SHARES[1] else TURNS[:1]
        for quarters, transpose in enumerate(turns):
            turned = _found(image if transpose is None else image.transpose(transpose), least)
            turned = sorted(turned, key=lambda face: -face.side)[:MOST_FACES]
            looked = [_refined(image, _turned_back(face, quarters, image.size)) for face in turned]
            faces = [face for face in looked if face.score > (TURNED if quarters else UPRIGHT)]
            best = max(best, faces, key=lambda each: max((face.score for face in each), default=0))
            if quarters == 0 and best and max(face.score for face in best) >= SURE:
                break
        if best:
            return sorted(best, key=lambda face: -face.side)
    return []


def _turned_back(face: Face, quarters: int, size: tuple[int, int]) -> Face:
    """Return a face of the photograph turned by quarters against the clock as it lies in that of `size`."""
    points = np.array([*face.points, face.box[:2], face.box[2:]])
    width, height = size if quarters % 2 == 0 else size[::-1]
    for _ in range(quarters):
        points = np.stack([height - points[:, 1], points[:, 0]], 1)
        width, height = height, width
    (left, top), (right, bottom) = points[5:].min(0), points[5:].max(0)
    box = float(left), float(top), float(right), float(bottom)
    return replace(face, box=box, points=_pairs(points[:5]), turns=quarters)


def _refined(image: Image.Image, face: Face) -> Face:
    """Return a face with its points and its score told again, in the mean of several upright windows about it.

    Turned and moved a little, the eyes then move by 0.4 % of their distance, and by 2 % without (median of 50
    photographs).
    """
    points = np.array(face.points) @ (1, 1j)
    across, middle = points[1] - points[0], points[[0, 1, 3, 4]].mean()
    side = 2.6 * max(abs(across), abs(points[3:].mean() - points[:2].mean()))
    finer = max(1, int(side / 48))
    left, top = math.floor(middle.real - side), math.floor(middle.imag - side)
    around = image.crop((left, top, math.ceil(middle.real + side) + 1, math.ceil(middle.imag + side) + 1)).reduce(finer)
    windows, places = [], []
    for scale, right, down in GLANCES:
        # As complex numbers: photograph = m * window + t.
        m = across / abs(across) * side * scale / 48
        t = middle + across / abs(across) * side * complex(right, down) - m * (24 + 24j)
        x, y = (t.real - left) / finer, (t.imag - top) / finer
        turn = (m.real / finer, -m.imag / finer, x, m.imag / finer, m.real / finer, y)
        windows.append(around.transform((48, 48), Image.Transform.AFFINE, turn, Image.Resampling.BILINEAR))
        places.append((m, t))
    told = _stages()[2](_pixels(windows))
    offsets = 48 * told["points"].double().view(-1, 2, 5).numpy()
    found = np.mean([m * (x + 1j * y) + t for (m, t), (x, y) in zip(places, offsets, strict=True)], 0)
    pairs = _pairs(np.stack([found.real, found.imag], 1))
    return replace(face, points=pairs, score=float(_probabilities(told).mean()))


def _pairs(points: Array) -> Points:
    return tuple((float(x), float(y)) for x, y in points)


def _found(image: Image.Image, least: float) -> list[Face]:
    """Return the upright faces whose side is at least `least` pixels."""
    first, second, third = _stages()
    closer, searched = _levels(image, 12 / least)
    proposed = [_proposals(first, picture, scale) for scale, picture in searched]
    boxes, scores = (np.concatenate(parts) for parts in zip(*proposed, strict=True))
    boxes = _squares(boxes[_suppressed(boxes, scores, 0.7)])
    levels = closer + searched
    if not len(boxes):
        return []
    told = second(_windows(levels, boxes, 24))
    boxes, scores = _moved(boxes, told), _probabilities(told)
    sure = scores > REFINED
    boxes, scores = boxes[sure], scores[sure]
    boxes = _squares(boxes[_suppressed(boxes, scores, 0.7)])
    if not len(boxes):
        return []
    told = third(_windows(levels, boxes, 48))
    places = told["points"].double().view(-1, 2, 5).mT.numpy()
    points = boxes[:, None, :2] + places * (boxes[:, 2:3] - boxes[:, :1])[:, None]
    boxes, scores = _moved(boxes, told), _probabilities(told)
    kept = [row for row in _suppressed(boxes, scores, 0.7, smaller=True) if scores[row] > FOUND]
    return [Face(_box(boxes[row]), _pairs(points[row]), float(scores[row])) for row in kept]


def _levels(image: Image.Image, scale: float) -> tuple[Levels, Levels]:
    """Return the photograph at scales that fall by halves, to look closer at; and from `scale` on, to be searched."""
    closer: Levels = [(1.0, image)]
    searched: Levels = []
    while closer[-1][0] / 2 > scale:
        closer.append((closer[-1][0] / 2, closer[-1][1].reduce(2)))
    picture = closer[-1][1]
    while not searched or min(image.size) * scale >= 12:
        size = max(12, round(image.width * scale)), max(12, round(image.height * scale))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        searched.append((scale, picture))
        scale *= STEP
    return closer, searched


def _pixels(pictures: Sequence[Image.Image]) -> Tensor:
    """Return pictures of one size as the networks were shown them, [B, 3, H, W] in about [-1, 1]."""
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return pixels.permute(0, 3, 1, 2).float().sub(127.5).div(128)


def _probabilities(told: dict[str, Tensor]) -> Array:
    no, yes = told["logits"].double().unbind(1)
    found: Array = (yes - no).sigmoid().numpy()
    return found


def _proposals(stage: Stage, picture: Image.Image, scale: float) -> tuple[Array, Array]:
    """Return the boxes [N, 4], in the photograph's pixels, that the first network sees at one scale; and scores."""
    found, rows = [], math.ceil(picture.height / 2) - 5
    step = max(8, STRIP // picture.width)
    for first in range(0, rows, step):
        # Strip by strip: what lies between the layers is many times the picture.
        end = picture.height if first + step >= rows else 2 * (first + step) + 10
        told = stage(_pixels([picture.crop((0, 2 * first, picture.width, end))]))
        every = _probabilities(told)[0]
        y, x = np.nonzero(every > PROPOSED)
        offsets = told["boxes"][0].double().numpy()[:, y, x].T
        found.append((np.stack([x, y + first, x, y + first], 1), offsets, every[y, x]))
    corners, offsets, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    boxes = (2.0 * corners + (0, 0, 12, 12) + 12 * offsets) / scale
    kept = _suppressed(boxes, scores, 0.5)
    return boxes[kept], scores[kept]


def _moved(boxes: Array, told: dict[str, Tensor]) -> Array:
    moved: Array = boxes + told["boxes"].double().numpy() * (boxes[:, 2:3] - boxes[:, :1])
    return moved


def _windows(levels: Levels, boxes: Array, side: int) -> Tensor:
    """Cut squares out of the smallest picture that shows them large enough; beyond the border lies black."""
    found = []
    for box in boxes:
        large = [level for level in levels if (box[2] - box[0]) * level[0] >= side]
        scale, picture = large[-1] if large else levels[0]
        left, top, right, bottom = box * scale
        if left < 0 or top < 0 or right > picture.width or bottom > picture.height:
            x, y = math.floor(left), math.floor(top)
            picture = picture.crop((x, y, math.ceil(right) + 1, math.ceil(bottom) + 1))
            left, top, right, bottom = left - x, top - y, right - x, bottom - y
        found.append(picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
    return _pixels(found)


def _squares(boxes: Array) -> Array:
    """Widen boxes to squares about their middles."""
    middles, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([middles - half, middles + half], 1)


def _suppressed(boxes: Array, scores: Array, most: float, *, smaller: bool = False) -> list[int]:
    """Return the rows that stay, the surest first, when of two that overlap by more than `most` the surer one is kept.

    Only the `MOST` surest are looked at.

    Args:
        boxes: [N, 4].
        scores: [N].
        most: of the overlap in parts of the union, or of the smaller one's area.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left, kept = np.argsort(-scores, kind="stable")[:MOST], []
    while len(left):
        one, others = left[0], left[1:]
        kept.append(int(one))
        sides = np.minimum(boxes[one, 2:], boxes[others, 2:]) - np.maximum(boxes[one, :2], boxes[others, :2])
        shared = sides.clip(0).prod(1)
        whole = np.minimum(areas[one], areas[others]) if smaller else areas[one] + areas[others] - shared
        left = others[shared <= most * whole]
    return kept


def _box(values: Array) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in values)
    return left, top, right, bottom
