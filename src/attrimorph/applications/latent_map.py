"""Latent map: all codes of a data set on the plane of their two principal axes."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.gallery import Gallery
from attrimorph.charts import scatter
from attrimorph.data import Schema
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import area_under_curve
from attrimorph.metrics.figures import to_csv
from attrimorph.pictures import PAPER, to_pil

CELLS = 16  # thumbnails along each side of the map
ROWS = 65_536  # codes whose covariance is added up at a time
FEWEST = 10  # images with and without an attribute, to tell how well they separate


@dataclass(frozen=True)
class Plane:
    """The principal plane of points.

    Attributes:
        mean: float64 [D].
        axes: float64 [2, D], unit length, the greatest variance first; the largest entry of each is positive.
        explained: float64 [2], share of the whole variance along each.
    """

    mean: Tensor
    axes: Tensor
    explained: Tensor

    def place(self, points: Tensor) -> Tensor:
        """Return points [N, D] on the plane, float64 [N, 2]."""
        parts = torch.split(points, ROWS)
        return torch.cat([(part.double() - self.mean) @ self.axes.T for part in parts])


@dataclass(frozen=True)
class MappedCodes:
    """Images on the plane of their codes.

    Attributes:
        points: float64 [N, 2].
        plane: that they lie on.
        separability: "name" or "name=value" -> how well the map separates images with from those without it: the
            area under the curve of the best line on it, 0.5 (not at all) to 1.
        spread: over how many axes the variance of the codes spreads: 1 / sum of squared shares.
    """

    points: Tensor
    plane: Plane
    separability: dict[str, float]
    spread: float


def latent_map(z: Tensor, schema: Schema | None = None, labels: Tensor | None = None) -> MappedCodes:
    """Lay codes out on a plane.

    Args:
        z: [N, D], at least three.
        schema, labels: attributes, [N, W] with NaN = missing.

    Raises:
        AttrimorphError: too few codes.
    """
    plane, variances = principal_plane(z)
    points = plane.place(z)
    shares = variances / variances.sum()
    apart = {} if schema is None or labels is None else separability(points, schema, labels)
    return MappedCodes(points, plane, apart, float(1 / shares.square().sum()))


def principal_plane(points: Tensor) -> tuple[Plane, Tensor]:
    """Find the plane of the greatest variance, exactly: the eigenvectors of the covariance, in float64.

    Args:
        points: [N, D].

    Returns:
        The plane, and all variances, [D], ascending.
    """
    if points.dim() != 2 or len(points) < 3 or points.shape[1] < 2:
        raise AttrimorphError(
            f"a map needs at least three codes of two or more numbers; got {list(points.shape)}; give more images"
        )
    mean = sum((part.double().sum(0) for part in torch.split(points, ROWS)), torch.zeros(())) / len(points)
    scatter_matrix = torch.zeros(points.shape[1], points.shape[1], dtype=torch.float64)
    for part in torch.split(points, ROWS):
        centred = part.double() - mean
        scatter_matrix += centred.T @ centred
    variances, vectors = torch.linalg.eigh(scatter_matrix / len(points))
    variances = variances.clamp(min=0)
    if not float(variances[-1]) > 0:
        raise AttrimorphError("codes must differ to be laid out on a map; all are equal; use a model that learned")
    axes = vectors[:, [-1, -2]].T
    # Either direction of an axis is right: the same one every time is better.
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return Plane(mean, axes * largest.sign(), variances[[-1, -2]] / variances.sum()), variances


def separability(points: Tensor, schema: Schema, labels: Tensor) -> dict[str, float]:
    """Tell, for every binary attribute and every value of the categorical ones, how well a line on the map separates.

    The line is Fisher's discriminant; the figure is the area under its curve, at least 0.5.

    Args:
        points: [N, 2].
        schema: of the labels.
        labels: [N, W]; NaN = missing.
    """
    result = {}
    for column, name in enumerate(schema.column_names):
        if schema.find(name)[0].kind == "real":
            continue
        known = ~labels[:, column].isnan()
        holds = labels[known, column] > 0.5
        if min(int(holds.sum()), int((~holds).sum())) >= FEWEST:
            some = points[known]
            spreads = [torch.cov(some[side].T, correction=0) * side.sum() for side in (holds, ~holds)]
            direction = torch.linalg.pinv(spreads[0] + spreads[1]) @ (some[holds].mean(0) - some[~holds].mean(0))
            area = area_under_curve(some @ direction, holds)
            result[name] = max(area, 1 - area)
    return result


def thumbnails(points: Tensor, gallery: Gallery, *, cells: int = CELLS, cell: int = 64) -> Image.Image:
    """Show the map by pictures: in every cell of a grid the image that lies nearest to its middle.

    Args:
        points: [N, 2].
        gallery: the images.
        cells: along each side; the map's middle 98 % fill them.
        cell: pixels of a picture.
    """
    low, high = torch.quantile(points, 0.01, dim=0), torch.quantile(points, 0.99, dim=0)
    places = (points - low) / (high - low).clamp(min=1e-12) * cells
    inside = ((places >= 0) & (places < cells)).all(1)
    chosen: dict[tuple[int, int], tuple[float, int]] = {}
    off = (places - places.floor() - 0.5).square().sum(1)
    for row in inside.nonzero()[:, 0].tolist():
        column, line = (int(value) for value in places[row])
        if (column, line) not in chosen or float(off[row]) < chosen[column, line][0]:
            chosen[column, line] = (float(off[row]), row)
    page = Image.new("RGB", (cells * cell, cells * cell), PAPER)
    if chosen:
        rows = np.array([row for _, row in chosen.values()])
        pictures = to_pil(gallery.read(rows))
        for (column, line), picture in zip(chosen, pictures, strict=True):
            small = picture.resize((cell, cell), Image.Resampling.LANCZOS)
            page.paste(small, (column * cell, (cells - 1 - line) * cell))
    return page


def points_picture(result: MappedCodes, data: PreparedData, name: str | None) -> Image.Image:
    """Draw the points in the colours of one attribute's values, or of one colour where there is none."""
    if name is None:
        return scatter(result.points, torch.zeros(len(data), dtype=torch.long), ["images"])
    attribute, columns = data.schema.attribute(name), data.schema.columns(name)
    y = data.attributes[:, columns]
    missing = y.isnan().any(1)
    if attribute.kind == "categorical":
        groups, names = y.nan_to_num().argmax(1), [f"{name} = {value}" for value in attribute.values]
    elif attribute.kind == "binary":
        groups, names = (y[:, 0] > 0.5).long(), [f"not {name}", name]
    else:
        middle = float(y[~missing].median()) if bool((~missing).any()) else 0.0
        groups, names = (y[:, 0] > middle).long(), [f"{name} below its median", f"{name} above"]
    return scatter(result.points, torch.where(missing, -1, groups), names)


def map_table(result: MappedCodes, data: PreparedData) -> str:
    """Write file, split, identity and place as CSV."""
    images = zip(data.files, data.split, data.identity.tolist(), result.points.tolist(), strict=True)
    rows = [[file, split, who, f"{first:.6f}", f"{second:.6f}"] for file, split, who, (first, second) in images]
    return to_csv(["file", "split", "identity", "first", "second"], rows)
