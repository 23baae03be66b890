"""How an edit changes a picture, as fields at a model's size; enlarged, they change the picture at its own.

    x' = (1 - m) ((1 + g) W(x, f) + h) + m p

x are the picture's own pixels, W the warp: bilinear at the fields' size, bicubic at the picture's own. The fields are
smooth: skin, hair and grain stay those of the picture, and what no edit touches comes back bit for bit.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attrimorph.data.images import Frame
from attrimorph.errors import AttrimorphError
from attrimorph.files import reading, tensor_file, tensors_changed, write_bytes

FORMAT, VERSION = "attrimorph fields", 1
CHANNELS = {"flow": 2, "gain": 3, "shift": 3, "mask": 1, "paint": 3}
RIDGE = 1e-3  # of the least squares, added to the variance
FAINT = 0.1  # of a fitted change on the scale -1..1: less is taken for the reconstruction's noise in proportion
MOVED, MUCH = 0.4, 1.2  # of a change that a wide fit leaves, and of any: painted whole; less, by its square
FEATHER = 1 / 8  # of the frame's side: over so much the fields fade out towards a rim that lies in the picture
RIM = 0.25  # levels of 255 by which a pixel may change at most, times its squared distance from the rim in pixels
AT_ONCE = 1 << 16  # pixels that are changed at once
SMALL = 0.3  # levels of an integer: enlarged (bicubic weights are 1.6 in sum), a change of so much is rounded away
Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in pixels."""


@dataclass(frozen=True, eq=False)
class Fields:
    """How B pictures change; a part that is None changes nothing.

    Attributes:
        flow: f, [B, 2, S, S]: how far right and how far down each pixel comes from, in sides of the square.
        gain: g, [B, 3, S, S]; shift: h, [B, 3, S, S] on the scale -1..1.
        mask: m, [B, 1, S, S] in 0..1; paint: p, [B, 3, S, S] in -1..1: what is new, and where.
    """

    flow: Tensor | None = None
    gain: Tensor | None = None
    shift: Tensor | None = None
    mask: Tensor | None = None
    paint: Tensor | None = None

    def _parts(self) -> dict[str, Tensor]:
        return {name: part for name in CHANNELS if (part := getattr(self, name)) is not None}

    def __getitem__(self, row: int) -> "Fields":
        """The fields of one picture, as B = 1."""
        return Fields(**{name: part[row, None] for name, part in self._parts().items()})

    def __mul__(self, strength: float) -> "Fields":
        """So much of the change: at 0.5 half the way, what is painted half shining through."""
        return Fields(**{name: part * (1 if name == "paint" else strength) for name, part in self._parts().items()})

    def __add__(self, other: "Fields") -> "Fields":
        """Both changes, the other upon this one; the order matters only where both change the same place."""
        flows = [each.flow for each in (self, other) if each.flow is not None]
        (a, b), (c, d) = self.affine(), other.affine()
        return Fields(sum(flows[1:], flows[0]) if flows else None, a + c + a * c, (1 + c) * b + d)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return a and b, x' = (1 + a) W(x, f) + b: (1 - m) (1 + g) - 1 and (1 - m) h + m p, both [B, 3, S, S]."""
        parts = self._parts()
        nothing = torch.zeros_like(next(iter(parts.values()))[:, :1]).expand(-1, 3, -1, -1) if parts else torch.zeros(1)
        g, h, m = (parts.get(name, nothing) for name in ("gain", "shift", "mask"))
        return g - m * (1 + g), (1 - m) * h + m * parts.get("paint", nothing)

    def save(self, path: str | Path, frame: Frame, **about: Any) -> None:
        """Write the fields of one picture, and where in it they lie, as safetensors.

        Args:
            path: of the file.
            frame: in the picture.
            about: plain values worth reading.
        """
        header = {"format": FORMAT, "version": VERSION, "frame": frame.matrix, "side": frame.side, **about}
        tensors = {name: part.float().cpu().contiguous() for name, part in self._parts().items()}
        write_bytes(Path(path), tensor_file(tensors, header))


def load_fields(path: str | Path) -> tuple[Fields, Frame]:
    """Read the fields of one picture, and where in it they lie.

    Raises:
        AttrimorphError: the file is missing, damaged, or holds none.
    """
    path = Path(path)
    try:
        with reading(path), path.open("rb"), safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("attrimorph", "null"))
            parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise ValueError(f"its version is {header['version']}, this program reads {VERSION}")
        if tensors_changed(path.read_bytes(), header):
            raise ValueError("they are not those that were written")
        side, (a, b, c, d, e, f) = int(header["side"]), map(float, header["frame"])
        for name, part in parts.items():
            if part.shape != (1, CHANNELS[name], side, side) or not bool(part.isfinite().all()):
                raise ValueError(f"{name} is {list(part.shape)}, or not finite")
        return Fields(**parts), Frame((a, b, c, d, e, f), side)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise AttrimorphError(
            f"{path} holds no fields that can be read ({error}); write some with edit --save-fields"
        ) from error


@torch.no_grad()
def explain(before: Tensor, after: Tensor) -> Fields:
    """Return the fields that make a model's edit of its own reconstruction; zero where it changes nothing.

    In each neighbourhood and channel after - before = g before + h by least squares (He, Sun and Tang 2010, guided
    filter). What changes faintly is left. Painted is what a wider window cannot explain, a shape having moved, and what
    changes much: what stood there is gone, and it may lie elsewhere by a pixel in the picture itself.

    Args:
        before, after: the model's pictures without and with the edit, [B, 3, S, S] in [-1, 1].
    """
    before, after = before.as_subclass(Tensor), after.as_subclass(Tensor)
    change = after - before
    (gain, shift), (wide_gain, wide_shift) = (_fit(before, change, radius) for radius in (1, 3))
    some = _widened((gain * before + shift) / FAINT)
    # Of a place that does not change nothing is left, whatever a fit of its neighbours says.
    left = (change - (wide_gain * before + wide_shift)).abs().minimum(change.abs())
    mask = _widened(torch.cat([left / MOVED, change / MUCH], 1).square())
    return Fields(gain=some * gain, shift=some * shift, mask=mask, paint=after)


def _fit(guide: Tensor, change: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return gain and shift of a guided filter with windows of 2 radius + 1 pixels."""

    ones = torch.ones(guide.shape[-1], guide.shape[-1], device=guide.device)
    near = ones.tril(radius).triu(-radius)
    near = (near / near.sum(0)).to(guide)

    def means(*values: Tensor) -> Tensor:  # along rows, then along columns
        return near.mT @ (torch.stack(values) @ near)

    own, other, square, product = means(guide, change, guide * guide, guide * change)
    gain = (product - own * other) / ((square - own * own).clamp(min=0) + RIDGE)
    gain, shift = means(gain, other - gain * own)
    return gain, shift


def _widened(amount: Tensor) -> Tensor:
    """Return the largest of the channels cut off at 1, widened by a pixel and smoothed, [B, 1, S, S]."""
    # The largest of 3x3, along columns and then along rows: max_pool2d takes ten times as long.
    most = F.pad(amount.abs().amax(1, keepdim=True).clamp(max=1), (1, 1, 1, 1))
    most = most[:, :, :-2].maximum(most[:, :, 1:-1]).maximum(most[:, :, 2:])
    wide = most[..., :-2].maximum(most[..., 1:-1]).maximum(most[..., 2:])
    return F.avg_pool2d(wide, 3, 1, 1, count_include_pad=False)


def changed(images: Tensor, fields: Fields) -> Tensor:
    """Return pictures of the fields' own size as the fields change them.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        fields: of B pictures.
    """
    a, b = fields.affine()
    images = images.as_subclass(Tensor).to(a.device)
    moved = images if fields.flow is None else _warp(images, fields.flow.movedim(1, 3))
    return (moved + a * moved + b).clamp(-1, 1)


def composed(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Return pictures with what a model changes between its reconstruction and its edit of them, [B, 3, S, S].

    Args:
        images: [B or 1, 3, S, S] in [-1, 1]; before, after: see `explain`.
    """
    return changed(images, explain(before, after))


def _warp(images: Tensor, flow: Tensor) -> Tensor:
    """Return images [B, C, H, W] taken from elsewhere by a flow [B, H, W, 2] in sides of them."""
    height, width = images.shape[-2:]
    y, x = ((torch.arange(n, device=images.device) + 0.5) * 2 / n - 1 for n in (height, width))
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], 2) + 2 * flow
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def apply(pixels: NDArray[Any], frame: Frame, fields: Fields) -> NDArray[Any]:
    """Return a picture of any size as fields change it within their frame; all else is the same to the bit.

    The fields are enlarged (bicubic), and fade out towards the frame's rim where that lies inside the picture.

    Args:
        pixels: [H, W] or [H, W, C] of uint8, uint16, or floats in 0..1; C is 1 or 3, and one more for an alpha, which
            stays.
        frame: where the fields lie.
        fields: of one picture.
    """
    return apply_to_part(pixels, frame, fields, rims_of(pixels.shape[1::-1], frame))[0]


def apply_to_whole(pixels: NDArray[np.uint8], fields: Fields) -> NDArray[np.uint8]:
    """Return pictures of the fields' own size as fields without a flow change them: what `apply` makes of each.

    Args:
        pixels: [N, S, S, 3].
        fields: of N pictures.
    """
    a, b = (each.float().cpu() for each in fields.affine())
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    change = torch.addcmul((b - a) * 127.5, a, x)
    found: NDArray[np.uint8] = x.add_(change).clamp_(0, 255).round_().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found


def apply_to_part(pixels: NDArray[Any], frame: Frame, fields: Fields, rims: "Rims") -> tuple[NDArray[Any], Box]:
    """Return a part of a picture as fields change it, and the rectangle outside which nothing changes.

    Args:
        pixels, fields: as of `apply`.
        frame: where the fields lie, in pixels of the part.
        rims: see `rims_of`, of the whole picture.
    """
    result = pixels.copy()
    canvas = result if result.ndim == 3 else result[..., None]
    own = torch.from_numpy(pixels.astype(np.float32)) if fields.flow is not None else None
    colours = 3 if canvas.shape[2] >= 3 else 1
    whole_numbers = pixels.dtype.kind == "u"
    top = float(np.iinfo(pixels.dtype).max) if whole_numbers else 1.0
    # In levels, x' = W(x) + a W(x) + (b - a) top / 2.
    a, b = (each[0].float().cpu() for each in fields.affine())
    b = (b - a) * (top / 2)
    if colours == 1:
        a, b = a.mean(0, keepdim=True), b.mean(0, keepdim=True)
    parts = [a, b]
    # A change is the most where the picture is black, or white.
    most = torch.maximum(b.abs(), (a * top + b).abs()).amax(0)
    if fields.flow is not None:
        linear = torch.tensor(frame.matrix, dtype=torch.float32).view(2, 3)[:, :2]
        parts.append(frame.side * torch.einsum("ij,jhw->ihw", linear, fields.flow[0].float().cpu()))
        most = most.maximum(4 * top * parts[2].abs().amax(0))
    box = left, upper, right, lower = _box(canvas.shape[1::-1], frame, most > (SMALL if whole_numbers else 0))
    if left >= right or upper >= lower:
        return result, (0, 0, 0, 0)
    enlarge = _Enlarged(torch.cat(parts), frame, rims, left, right)
    for start in range(upper, lower, rows := max(1, AT_ONCE // max(1, right - left))):
        stop = min(start + rows, lower)
        place = canvas[start:stop, left:right, :colours]
        x = torch.from_numpy(np.ascontiguousarray(place.transpose(2, 0, 1), np.float32))
        values, reach = enlarge(start, stop)
        a, b, flow = values[:colours], values[colours : 2 * colours], values[2 * colours :]
        moved = x if own is None else _moved(own, colours, flow, start, left)
        change = torch.addcmul(b, a, moved)
        if own is not None:
            change += moved - x
        if reach is not None:
            limit = RIM * top / 255 * reach * reach
            change = change.minimum(limit).maximum(-limit)
        x = x.add_(change).clamp_(0, top)
        place[...] = (x.round_() if whole_numbers else x).permute(1, 2, 0).numpy()
    return result, box


def _moved(own: Tensor, colours: int, flow: Tensor, upper: int, left: int) -> Tensor:
    """Return a part of a picture [C, r, w] as taken from elsewhere in it, by a flow [2, r, w] in its pixels."""
    own = own.view(*own.shape[:2], -1)[..., :colours]
    places = flow + torch.stack(
        torch.meshgrid(torch.arange(flow.shape[2]) + left, torch.arange(flow.shape[1]) + upper, indexing="xy")
    )
    grid = (places.permute(1, 2, 0) + 0.5) * 2 / torch.tensor(own.shape[1::-1]) - 1
    # Bicubic: between pixels a bilinear mean is soft, and skin that moves would lose a fifth of its grain.
    return F.grid_sample(own.permute(2, 0, 1)[None], grid[None], "bicubic", "border", align_corners=False)[0]


def _box(size: tuple[int, int], frame: Frame, changes: Tensor) -> Box:
    """Return the rectangle of a picture outside which nothing changes, in its pixels; changes are [S, S]."""
    x, y = (np.flatnonzero(changes.any(axis)) for axis in (0, 1))
    if not len(x):
        return 0, 0, 0, 0
    # An enlarged pixel reaches two further.
    x0, y0, x1, y1 = max(x[0] - 2, 0), max(y[0] - 2, 0), min(x[-1] + 3, frame.side), min(y[-1] + 3, frame.side)
    a, b, c, d, e, f = frame.matrix
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (x0, x1) for y in (y0, y1)]
    low, high = np.floor(np.min(corners, 0)).clip(0, size), np.ceil(np.max(corners, 0)).clip(0, size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


Rims = tuple[bool, bool, bool, bool]
"""Which sides of a frame's square lie inside the picture: left, right, upper, lower."""


def rims_of(size: tuple[int, int], frame: Frame) -> Rims:
    """Tell which sides of a frame lie inside the picture, so that what changes has to end there."""
    corners, far = frame.corners, np.array(size)
    beyond = [(corners[list(pair)] <= 1e-6).all(0) | (corners[list(pair)] >= far - 1e-6).all(0) for pair in
              ((0, 3), (1, 2), (0, 1), (2, 3))]  # fmt: skip
    left, right, upper, lower = (not side.any() for side in beyond)
    return left, right, upper, lower


class _Enlarged:
    """Fields as large as the picture, some rows of it at a time.

    Args:
        parts: at the model's size, [C, S, S].
        frame: where they lie.
        rims: see `rims_of`.
        left, right: the columns of the picture that are wanted.
    """

    def __init__(self, parts: Tensor, frame: Frame, rims: Rims, left: int, right: int) -> None:
        self.frame, self.left, self.right, self.rims = frame, left, right, rims
        a, b, c, d, _, _ = frame.matrix
        self.upright = b == d == 0
        if self.upright:
            # One axis after the other: columns once, rows when they are wanted.
            x = (torch.arange(left, right, dtype=torch.float64) + 0.5 - c) / a
            self.across, fade = self._across(x, rims[:2])
            self.parts = parts @ (_weights(x, frame.side, abs(a)) * fade[:, None]).T
        elif 0.5 <= frame.scale <= 1:
            self.parts = parts  # bilinear alone: nothing is enlarged, and of four pixels one is read at least
        else:
            # Bicubic to about the picture's scale, at most fourfold; from there bilinear.
            count = min(max(round(frame.side * frame.scale), 1), 4 * frame.side)
            weights = _weights(
                (torch.arange(count, dtype=torch.float64) + 0.5) * frame.side / count, frame.side, count / frame.side
            )
            self.parts = weights @ parts @ weights.T

    def _across(self, x: Tensor, rims: tuple[bool, ...]) -> tuple[Tensor, Tensor]:
        """Return how far places along one axis of the square lie from its rims, in the picture's pixels, and how much
        of a change is left there."""
        far = x if rims[0] else torch.full_like(x, torch.inf)
        if rims[1]:
            far = far.minimum(self.frame.side - x)
        share = (far / (FEATHER * self.frame.side)).clamp(0, 1)
        return (far * self.frame.scale).clamp(min=0).float(), (share * share * (3 - 2 * share)).float()

    def __call__(self, start: int, stop: int) -> tuple[Tensor, Tensor | None]:
        """Return the parts [C, r, w] of some rows, and each pixel's distance [r, w] from the rim where there is one."""
        rows = torch.arange(start, stop, dtype=torch.float64) + 0.5
        if self.upright:
            *_, down, upper = self.frame.matrix
            y = (rows - upper) / down
            far, fade = self._across(y, self.rims[2:])
            weights = _weights(y, self.frame.side, abs(down)) * fade[:, None]
            some = weights.any(0).nonzero()[:, 0]
            few = slice(int(some[0]), int(some[-1]) + 1) if len(some) else slice(0)
            return weights[:, few] @ self.parts[:, few], far[:, None].minimum(self.across) if any(self.rims) else None
        columns = torch.arange(self.left, self.right, dtype=torch.float64) + 0.5
        a, b, c, d, e, f = self.frame.inverse
        x, y = ((p * columns + (q * rows + r)[:, None]).float() for p, q, r in ((a, b, c), (d, e, f)))
        (far, fade), (other, more) = self._across(x, self.rims[:2]), self._across(y, self.rims[2:])
        grid = torch.stack([x, y], 2).mul_(2 / self.frame.side).sub_(1)[None]
        found = F.grid_sample(self.parts[None], grid, "bilinear", "border", align_corners=False)[0]
        return found.mul_(fade * more), far.minimum(other) if any(self.rims) else None


def _weights(places: Tensor, side: int, scale: float) -> Tensor:
    """Return what each of `side` pixels is worth at places along them, [N, side] (Keys 1981, a = -1/2).

    Args:
        places: [N], in pixels.
        side: how many there are.
        scale: pixels of the result for each of theirs; under 1 the kernel grows, so that it averages.
    """
    wide = max(1.0, 1 / scale)
    steps = torch.arange(-int(np.ceil(2 * wide)), int(np.ceil(2 * wide)) + 1)
    near = (places.floor()[:, None] + steps).long()
    t = ((near + 0.5 - places[:, None]) / wide).abs()
    kernel = torch.where(t < 1, (1.5 * t - 2.5) * t * t + 1, torch.where(t < 2, ((2.5 - t / 2) * t - 4) * t + 2, 0.0))
    kernel = kernel / kernel.sum(1, keepdim=True)
    # Beyond the square its border goes on.
    return torch.zeros(len(places), side).scatter_add_(1, near.clamp(0, side - 1), kernel.float())
