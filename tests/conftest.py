"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from attrimorph.training import trainer
from tests.zygote import plain_path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests measure out of the user's cache; browsers and networks are still found there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in (("PLAYWRIGHT_BROWSERS_PATH", "ms-playwright"), ("TORCH_HOME", "torch")):
            if name not in os.environ and (home / folder).is_dir():
                patch.setenv(name, str(home / folder))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_path() -> Iterator[None]:
    """Train on the plain path where the recipe leaves it open; tests/training/test_parts.py tells of the measuring."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "choose_fast_path", plain_path)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread meanwhile, so that bits can be compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
