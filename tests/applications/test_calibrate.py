"""Calibration: the fit on responses of known shape, and a model that comes out even after it."""

from pathlib import Path

import pytest
import torch

from attrimorph.applications.calibrate import calibrate, even_positions, images_for, write_calibrated
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import AttributeScore, load_judge
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.metrics.responses import STRENGTHS, deviation, measure_responses, normalised
from attrimorph.models import SET, Strengths
from tests.tiny_models import tiny_model


def sigmoid(position: float) -> float:
    return float(torch.tensor(10 * (position - 0.6)).sigmoid())


@pytest.mark.parametrize(
    "shape", [lambda p: p, lambda p: p * p, lambda p: p**0.5, sigmoid, lambda p: 5 - 0.5 * (1 - p)]
)
def test_a_response_becomes_even(shape) -> None:  # type: ignore[no-untyped-def]
    points = [(step / 100, shape(step / 100)) for step in range(101)]
    maps = Strengths({"Smiling": {SET: even_positions(points)}})
    curve = torch.tensor([shape(maps.position("Smiling", s)) for s in STRENGTHS], dtype=torch.float64)
    assert deviation(normalised(curve[None]), STRENGTHS) < 0.005


def test_noise_and_silence() -> None:
    assert even_positions([(0.0, 0.5), (0.5, 0.52), (1.0, 0.55)]) == ()
    assert even_positions([(0.0, 0.9), (0.5, 0.5), (1.0, 0.1)]) == ()
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(21, generator=generator)
    found = even_positions([(step / 20, step / 20 + float(noise[step])) for step in range(21)])
    assert list(found) == sorted(found)
    assert torch.allclose(torch.tensor(found), torch.linspace(0.1, 0.9, 9), atol=0.12)
    # A step between two points that were measured: every strength in between lies on it.
    found = even_positions([(0.0, 0.0), (0.4, 0.0), (0.5, 1.0), (1.0, 1.0)])
    assert found[4] == pytest.approx(0.475, abs=0.03)


def test_a_calibrated_file_says_who_measured_and_edits_evenly(tmp_path: Path) -> None:
    model, judge = load("drawn-faces-64"), load_judge("drawn-faces-64")
    assert isinstance(model, Editor)
    # A spoilt scale, of which calibration must find the way back.
    spoilt = model.with_strengths(Strengths({"Eyeglasses": {SET: (0.6, 0.7, 0.8)}}))
    unseen, other = drawn_images(8, 64, seed=80), drawn_images(8, 64, seed=81)
    gauge = AttributeScore(judge)

    def off(model: Editor) -> float:
        (response, *_) = measure_responses(model, other, gauge, names=["Eyeglasses"], most=4, truths=False)
        return deviation(normalised(response.measured), STRENGTHS)

    found = calibrate(spoilt, judge, unseen, most=4, names=["Eyeglasses"])
    assert found.positions.keys() == {"Eyeglasses"}
    assert off(model.with_strengths(found)) < 0.5 * off(spoilt)
    with pytest.raises(AttrimorphError, match=r"add --out drawn-faces-64\.safetensors"):
        write_calibrated("drawn-faces-64", found)
    written = write_calibrated("drawn-faces-64", found, tmp_path / "mine.safetensors")
    assert written.model.strengths == found
    assert found.about["measured by"] == "degrees of judge drawn-faces-64"


def test_what_cannot_be_calibrated_is_told(tmp_path: Path) -> None:
    judge = load_judge("drawn-faces-32")
    plain = tiny_model(tmp_path, method="gan")
    with pytest.raises(AttrimorphError, match="calibrate needs a model that edits"):
        calibrate(plain, judge, drawn_images(2, 16))
    assert images_for(plain).images.shape[0] == 400
