"""Alignment: the transform in closed form; the detector itself where the extra is installed."""

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data import align
from attrimorph.errors import AttrimorphError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "lfw" / "lfw-deepfunneled"


def installed() -> bool:
    try:
        importlib.metadata.distribution("face_recognition_models")
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("dlib") is not None


@pytest.mark.parametrize(
    "eyes", [((30.0, 40.0), (70.0, 40.0)), ((50.0, 20.0), (60.0, 90.0)), ((70.0, 40.0), (30.0, 35.0))]
)
def test_the_transform_takes_the_places_to_the_eyes(eyes: tuple[tuple[float, float], tuple[float, float]]) -> None:
    a, b, c, d, e, f = align.similarity(eyes, 64)
    for (x, y), expected in zip(align.EYES, eyes, strict=True):
        assert (a * 64 * x + b * 64 * y + c, d * 64 * x + e * 64 * y + f) == pytest.approx(expected)
    # A similarity: equal scale both ways, right angles, no mirroring.
    assert (a, b) == pytest.approx((e, -d))
    assert a * e - b * d > 0


@pytest.mark.skipif(installed(), reason="the extra is installed")
def test_without_the_extra_it_says_what_to_install() -> None:
    with pytest.raises(AttrimorphError, match="pip install"):
        align.check_installed()


@pytest.mark.skipif(not installed(), reason="the extra `faces` is not installed")
def test_a_picture_without_a_face_is_told() -> None:
    align.check_installed()
    with pytest.raises(AttrimorphError, match="no face was found"):
        align.align(Image.effect_noise((120, 120), 20).convert("RGB"), 32)


@pytest.mark.skipif(not (installed() and SHARED.is_dir()), reason="needs the extra `faces` and the LFW subset")
def test_eyes_come_to_lie_at_their_places() -> None:
    paths = sorted(SHARED.glob("*/*_0001.jpg"))[:6]
    for path in paths:
        photograph = Image.open(path).convert("RGB")
        turned = photograph.rotate(15, Image.Resampling.BICUBIC, expand=True)
        face = align.align(turned, 160)
        assert face.size == (160, 160)
        for found, place in zip(align.find_eyes(face), align.EYES, strict=True):
            assert np.hypot(found[0] - 160 * place[0], found[1] - 160 * place[1]) < 8
