"""The map is the principal plane, and its figures follow their definitions."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from attrimorph.applications import latent_map as module
from attrimorph.applications.gallery import gallery_of
from attrimorph.applications.latent_map import (
    latent_map,
    principal_plane,
    separability,
    thumbnails,
)
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import area_under_curve
from attrimorph.requests.on_data import LatentMap
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model


@pytest.mark.parametrize("rows", [33, 65_536])
def test_it_is_the_plane_that_scikit_learn_finds(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(200, 6, generator=generator) * torch.tensor([5.0, 3, 1, 1, 0.5, 0.1]) + 100
    found = latent_map(z)
    reference = PCA(2, svd_solver="full").fit(z.double().numpy())
    torch.testing.assert_close(found.plane.explained.numpy(), reference.explained_variance_ratio_, rtol=1e-9, atol=0)
    places = reference.transform(z.double().numpy())
    signs = np.sign((places * found.points.numpy()).sum(0))
    torch.testing.assert_close(found.points.numpy(), places * signs, rtol=0, atol=1e-8)
    largest = found.plane.axes.gather(1, found.plane.axes.abs().argmax(1, keepdim=True))
    assert largest.min() > 0


def test_variance_on_one_axis_spreads_over_one_and_even_variance_over_all() -> None:
    line = torch.tensor([[1.0, 0, 0, 0]]) * torch.arange(10)[:, None]
    assert latent_map(line).spread == pytest.approx(1)
    assert latent_map(torch.cat([torch.eye(4), -torch.eye(4)])).spread == pytest.approx(4)


@pytest.mark.parametrize("z", [torch.zeros(2, 4), torch.zeros(9, 1), torch.ones(9, 4)])
def test_no_plane_is_refused(z: torch.Tensor) -> None:
    with pytest.raises(AttrimorphError):
        principal_plane(z)


def test_the_area_is_that_of_scikit_learn_and_missing_labels_are_left_out() -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(90, generator=generator).round(decimals=1)
    holds = torch.rand(90, generator=generator) > 0.6
    assert area_under_curve(scores, holds) == pytest.approx(roc_auc_score(holds.numpy(), scores.numpy()), abs=1e-12)

    points = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    schema = Schema((Attribute("up"), Attribute("chance"), Attribute("rare"), Attribute("age", "real")))
    labels = torch.stack(
        [points[:, 0] + points[:, 1] > 0, torch.rand(300, generator=generator) > 0.5, torch.arange(300) < 3,
         torch.ones(300)], 1
    ).float()  # fmt: skip
    labels[:50, 0] = torch.nan
    found = separability(points, schema, labels)
    assert found.keys() == {"up", "chance"}
    assert found["up"] > 0.99
    assert 0.5 <= found["chance"] < 0.65


def test_each_thumbnail_is_the_image_nearest_to_the_middle_of_its_cell(tmp_path: Path) -> None:
    gallery = gallery_of(write_faces(tmp_path / "faces", count=20, size=16))
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    middles = 0.25 + 0.5 * corners
    points = torch.cat([corners, middles, middles + 0.01, middles + 0.1, middles - 0.07])
    page = thumbnails(points, gallery, cells=2, cell=16)
    # Columns go to the right, lines upwards.
    for number, (left, top) in enumerate([(0, 16), (16, 16), (0, 0), (16, 0)]):
        pixels = torch.from_numpy(np.asarray(page.crop((left, top, left + 16, top + 16))).copy())
        expected = gallery.read(np.array([4 + number]))[0].add(1).mul(127.5).round().byte().permute(1, 2, 0)
        assert torch.equal(pixels, expected)


def test_it_is_written_and_made_again(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    data = write_faces(tmp_path / "faces", count=60, size=16)
    written = LatentMap(model=tmp_path / "run", data=tmp_path / "faces", attribute="Male").write(
        tmp_path / "out.png", model
    )
    with written.tables[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == list(data.files)
    assert {row["split"] for row in rows} == {"train", "valid", "test"}
    assert replay(written.receipt).identical
    with pytest.raises(AttrimorphError, match="there is no attribute 'Nose'"):
        LatentMap(model="run", data=tmp_path / "faces", attribute="Nose").write(tmp_path / "no.png", model)
