"""Masks: GrabCut where the extra is installed, what a summary says, and masks judged."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from attrimorph.data import masks as making
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.masks import likely, make_masks
from attrimorph.data.prepared import open_prepared
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError

INSTALLED = importlib.util.find_spec("cv2") is not None
needs_opencv = pytest.mark.skipif(not INSTALLED, reason="the extra `masks` is not installed")


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Drawn faces without their masks, and the masks."""
    write_faces(tmp_path / "faces", count=12, size=32)
    data = open_prepared(tmp_path / "faces")
    assert data.masks is not None
    true = np.array(data.masks)
    write_prepared(
        tmp_path / "bare",
        np.array(data.images),
        data.schema,
        data.attributes,
        split=data.split.tolist(),
        files=data.files,
    )
    return tmp_path / "bare", true


@pytest.mark.skipif(INSTALLED, reason="the extra is installed")
def test_without_the_extra_it_says_what_to_install(bare: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(AttrimorphError, match=r"pip install 'attrimorph\[masks\]'"):
        make_masks(bare[0])
    assert open_prepared(bare[0]).masks is None


@needs_opencv
def test_faces_are_cut_out(bare: tuple[Path, np.ndarray]) -> None:
    path, true = bare
    before = open_prepared(path)
    summary = make_masks(path, workers=1)
    data = open_prepared(path)
    assert data.masks is not None
    assert data.masks.offset % 4096 == 0, "rows begin at a page"  # type: ignore[attr-defined]
    found, wanted = data.masks > 127, true > 127
    overlap = (found & wanted).sum((1, 2)) / (found | wanted).sum((1, 2))
    assert np.median(overlap) > 0.9
    assert (summary.made, summary.kept, summary.failed) == (12, 0, [])
    assert data.preprocessing["masks_made"]["by"] == "GrabCut"
    # Images, labels and splits are as they were: a run on these data goes on.
    assert data.fingerprint == before.fingerprint
    again = make_masks(path)
    assert (again.made, again.kept) == (0, 12)
    kept = np.array(data.masks)
    assert make_masks(path, again=True).made == 12
    assert np.array_equal(open_prepared(path).masks, kept)


@needs_opencv
def test_what_has_no_foreground_has_no_mask(tmp_path: Path, bare: tuple[Path, np.ndarray]) -> None:
    data = open_prepared(bare[0])
    images = np.array(data.images)
    images[3] = 200
    write_prepared(tmp_path / "flat", images, data.schema, data.attributes, files=data.files)
    summary = make_masks(tmp_path / "flat", where="centre", workers=1)
    flat = open_prepared(tmp_path / "flat").masks
    assert flat is not None
    if summary.failed:
        assert summary.failed == [data.files[3]]
        assert bool((flat[3] == 255).all())
        assert data.files[3] in " ".join(summary.lines())


@pytest.mark.parametrize("where", ["face", "centre"])
def test_the_first_guess_has_all_four_kinds(where: making.Where) -> None:
    guess = likely(where, 64)
    assert set(np.unique(guess)) == {0, 1, 2, 3}
    assert guess[32, 32] == 1
    assert guess[0, 0] == 0
    assert np.array_equal(guess, guess[:, ::-1])
