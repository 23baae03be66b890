"""Close looks at edits: areas, drifts, and the distances of the truth itself."""

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.evaluators.identity_encoder import load_identity_encoder
from attrimorph.evaluators.judge import load_judge
from attrimorph.metrics.edits import (
    BACKGROUND_DRIFT,
    DISTANCE,
    DISTANCE_TARGET,
    IDENTITY,
    JUDGE_ERROR,
    PSNR,
    TRUE_IDENTITY,
    background_drift,
    counterfactual_distance,
    measure_edits,
)
from attrimorph.metrics.evaluate.edits import cells_of, fairness_sheet, fifths_of_skin, gap_of, resampled
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.metrics.extractors import JudgeFeatures
from attrimorph.metrics.similarity import maps_distance, perceptual_distance
from tests.metrics.test_responses import truth


def test_the_background_is_what_lies_outside_the_mask() -> None:
    before, after, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    after[:, :, :2] = 1
    after[:, :, 2:] = 2 / 127.5
    mask[:1, :, :2] = 1
    mask[1] = 1
    found = background_drift(before, after, mask)
    assert found[0] == pytest.approx(2)
    assert found[1].isnan()


def test_distances_in_areas_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, others = ([torch.rand(2, 5, 4, 4, generator=generator)] for _ in range(2))
    everywhere = maps_distance(maps, others)
    assert torch.allclose(maps_distance(maps, others, torch.ones(2, 1, 8, 8)), everywhere)
    left = torch.zeros(2, 1, 8, 8)
    left[..., :2] = 1
    inside, outside = maps_distance(maps, others, left), maps_distance(maps, others, 1 - left)
    # A quarter of the places lies in it.
    assert torch.allclose(inside / 4 + outside * 3 / 4, everywhere)
    alone = maps_distance([maps[0][..., :1]], [others[0][..., :1]])
    assert torch.allclose(inside, alone)
    assert maps_distance(maps, others, torch.zeros(2, 1, 8, 8)).isnan().all()


def test_who_draws_the_truth_makes_no_error_and_drifts_as_the_truth_does() -> None:
    unseen, judge = drawn_images(8, 32, seed=79), load_judge("drawn-faces-32")
    identity_encoder = load_identity_encoder("drawn-faces-32")
    features = JudgeFeatures(judge)
    names = ("Male", "Smiling")
    measures = measure_edits(
        truth(unseen),
        unseen,
        judge,
        unseen.labels,
        names=names,
        counterfactuals=4,
        identity_encoder=identity_encoder,
        extractor=features,
    )
    assert measures.names == list(names)
    for name in names:
        assert measures.figure(PSNR, name).min() > 55
        assert measures.figure(DISTANCE, name).max() < 1e-3
        assert measures.figure(BACKGROUND_DRIFT, name).max() < 0.5
        assert torch.allclose(measures.figure(IDENTITY, name), measures.figure(TRUE_IDENTITY, name), atol=0.02)
        # What leaks after a perfect edit is the judge's own error.
        assert measures.mean(lambda each: each.leaked, name) <= measures.figure(JUDGE_ERROR, name).mean() + 0.05
    # Sex is part of who one is, a smile is not.
    male, smiling = (measures.figure(TRUE_IDENTITY, name).mean() for name in names)
    assert male > 3 * smiling
    # An edit that changes nothing is wrong in the target area alone.
    few = unseen.images[:3]
    true = faces.render(faces.set_attribute(unseen.factors[:3], "Eyeglasses", True), 32)  # type: ignore[index]
    everywhere, target, rest = counterfactual_distance(features, few, few, true)
    assert torch.allclose(everywhere, perceptual_distance(features)(few, true), atol=1e-6)
    changed = (true - few).abs().amax((1, 2, 3)) > 0.1
    assert (target[changed] > 2 * rest[changed]).all()
    assert DISTANCE_TARGET in cells_of(measures)
    assert JUDGE_ERROR not in cells_of(measures)
    groups = {"Male": unseen.labels[:, judge.schema.columns("Male").start]} | fifths_of_skin(unseen.images)
    sheet = fairness_sheet(measures, groups, resamples=20)
    assert {row["group"] for row in sheet} <= {*groups}
    assert "edit.skin_drift" in {row["figure"] for row in sheet}
    assert not fairness_sheet(measures, {"nobody knows": groups["Male"] * torch.nan}, resamples=20)
    assert all(row["low"] <= row["high"] and row["cells"] >= 1 for row in sheet)


def test_a_gap_is_counted_within_the_same_edit() -> None:
    has = torch.tensor([1.0] * 6 + [0.0] * 6 + [float("nan")])
    everyone = torch.arange(13)
    # Edit a is harder than edit b, and mostly done to those who have it: no gap within either.
    a = (everyone[:8], torch.full((8,), 0.2, dtype=torch.float64))
    b = (everyone[4:], torch.full((9,), 0.9, dtype=torch.float64))
    found = gap_of([a, b], has, resampled(13, 50))
    assert found is not None
    assert found["gap"] == pytest.approx(0)
    assert found["edits"] == 16
    # A plain gap, and an edit that only one group had, which says nothing.
    c = (everyone[:12], torch.tensor([0.8] * 6 + [0.5] * 6, dtype=torch.float64))
    only = (everyone[:6], torch.zeros(6, dtype=torch.float64))
    found = gap_of([c, only], has, resampled(13, 50))
    assert found is not None
    assert (found["with"], found["without"], found["gap"]) == pytest.approx((0.8, 0.5, 0.3))
    assert (found["low"], found["high"]) == pytest.approx((0.3, 0.3))
    assert found["cells"] == 1
    assert gap_of([only], has, resampled(13, 5)) is None


def test_the_interval_is_that_of_a_bootstrap_over_images() -> None:
    generator = torch.Generator().manual_seed(4)
    values = torch.randn(400, generator=generator, dtype=torch.float64)
    has = (torch.arange(400) < 200).float()
    found = gap_of([(torch.arange(400), values)], has, resampled(400, 800))
    assert found is not None
    # Two means of 200 standard normals: the gap's standard error is 0.1.
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.1, rel=0.15)
