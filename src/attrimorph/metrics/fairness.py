"""The fairness sheet: do edits work as well for men as for women, for the old, for pale skin? Gaps and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.metrics import counterfactuals
from attrimorph.metrics.edits import EditMeasures

GROUPS = ("Male", "Young", "Pale_Skin")
RESAMPLES = 500
SEED = 3
INTERVAL = 0.95
LEAST = 2  # images of a group in a cell


class Cell(NamedTuple):
    """One figure of the edits of one attribute in one direction.

    Attributes:
        edit: attribute and direction.
        rows: the images edited, [m].
        values: [m]; NaN where the figure was not to be had.
    """

    edit: str
    rows: Tensor
    values: Tensor


def cells_of(measures: EditMeasures) -> dict[str, list[Cell]]:
    """Return every figure that was measured edit by edit: its name -> one cell for each attribute and direction."""
    found: dict[str, list[Cell]] = {}
    for flip in measures.flips:
        for way in flip.ways:
            edit = f"{flip.name} {'set' if way.goal else 'taken away'}"
            figures = {"edit.target_reached": way.reached, "edit.leakage": way.leaked}
            # The truth's own drift and the judge's own error say nothing of the model.
            own = (counterfactuals.TRUE_IDENTITY, counterfactuals.JUDGE_ERROR)
            figures |= {name: values for name, values in way.figures.items() if name not in own}
            for name, values in figures.items():
                found.setdefault(name, []).append(Cell(edit, way.rows[: len(values)], values.double()))
    return found


def groups_in(schema: Schema, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the binary attributes to group by: those named, or sex, age and pale skin as far as the schema has them.

    Raises:
        AttrimorphError: a named attribute is unknown or not binary.
    """
    if wanted is None:
        return tuple(name for name in GROUPS if name in schema.names and schema.attribute(name).kind == "binary")
    for name in wanted:
        if schema.attribute(name).kind != "binary":
            raise AttrimorphError(f"groups must be binary attributes; {name!r} is not; name another")
    return tuple(wanted)


def fairness_sheet(
    measures: EditMeasures,
    labels: Tensor,
    schema: Schema,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return one row for each group and figure.

    The gap is the mean over cells, attribute by attribute and direction by direction, of the difference between those
    who have the group's attribute and those who have not: the two are compared in the same edits only, so that it does
    not count against women that moustaches are only set on them. The interval is a bootstrap over images.

    Args:
        measures: of edits.
        labels: of the images, [N, width]; rows whose group is missing are left out.
        schema: of the labels.
        groups: binary attributes.
        resamples: of the bootstrap.

    Returns:
        Rows with the keys group, figure (its key), with, without (means over the cells that both share), gap, low,
        high, edits, cells; plain values for JSON. Figures without a shared cell are left out.
    """
    rows = []
    found = cells_of(measures)
    weights = resampled(len(labels), resamples)
    for group in groups_in(schema, groups):
        has = labels[:, schema.columns(group).start]
        for name, cells in found.items():
            row = gap_of(cells, has, weights)
            if row is not None:
                rows.append({"group": group, "figure": name, **row})
    return rows


def resampled(count: int, resamples: int) -> Tensor:
    """Return how often each image is drawn, float64 [1 + resamples, count]: once in row 0, then with replacement."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randint(count, (resamples, count), generator=generator)
    times = torch.zeros(resamples, count, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
    return torch.cat([torch.ones(1, count, dtype=torch.float64), times])


def gap_of(cells: Sequence[Cell], has: Tensor, weights: Tensor) -> Mapping[str, float | int] | None:
    """Compare two groups in the cells that both share; None where there is no such cell.

    Args:
        cells: of one figure.
        has: whether each image belongs to the group, [N] in {0, 1}, NaN = unknown.
        weights: of the images, [1 + resamples, N]; row 0 gives the figure, the others its interval.
    """
    means, edits = [], 0
    for cell in cells:
        known = cell.values.isfinite() & ~has[cell.rows].isnan()
        rows, values = cell.rows[known], cell.values[known]
        belongs = has[rows] > 0.5
        if min(int(belongs.sum()), int((~belongs).sum())) < LEAST:
            continue
        edits += len(rows)
        means.append(torch.stack([_weighted(values[part], weights[:, rows[part]]) for part in (belongs, ~belongs)]))
    if not means:
        return None
    # A resample that lacks a group in some cell takes the mean of the other cells.
    every = torch.stack(means)
    both = every.isfinite().all(1, keepdim=True).expand_as(every)
    sides = torch.where(both, every, torch.nan).nanmean(0)
    gaps = sides[0] - sides[1]
    low, high = gaps[1:].nanquantile(torch.tensor([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], dtype=gaps.dtype)).tolist()
    return {
        "with": float(sides[0, 0]),
        "without": float(sides[1, 0]),
        "gap": float(gaps[0]),
        "low": low,
        "high": high,
        "edits": edits,
        "cells": len(means),
    }


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted means of values [m] under each row of weights [R, m]; NaN where all weights are 0."""
    return (weights @ values) / weights.sum(1)
