"""What the tests of whole runs share: a few drawn faces, and one thread, so that bits can be compared."""

import pytest

from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import PreparedData


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Forty faces of 16 pixels."""
    return write_faces(tmp_path_factory.mktemp("drawn") / "faces", count=40, size=16)


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """Every test here compares bits."""
