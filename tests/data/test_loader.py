"""The loader: its order is a pure function, its batches are exact, its thread ends."""

import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from attrimorph.data import Attribute, Schema
from attrimorph.data import loader as loader_module
from attrimorph.data.loader import Augment, Loader, batches, generator_for
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError


def data(count: int = 50, size: int = 8) -> PreparedData:
    random = np.random.default_rng(3)
    return PreparedData(
        images=random.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
        attributes=torch.arange(count, dtype=torch.float32)[:, None],
        identity=torch.arange(count) * 2,
        split=np.array(["train"] * count),
        files=[str(number) for number in range(count)],
        schema=Schema((Attribute("n", "real"),)),
        masks=random.integers(0, 256, (count, size, size), dtype=np.uint8),
    )


def loader(batch_size: int = 8, **options: object) -> Loader:
    whole = data()
    return Loader(whole, whole.indices("train"), batch_size, **{"seed": 1, **options})  # type: ignore[arg-type]


def test_a_batch_is_exactly_its_rows() -> None:
    source = loader()
    batch = source.batch(16)
    rows = batch.index.numpy()
    expected = source.data.images[rows].astype(np.float64).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=1e-6)
    assert (batch.images.min() >= -1, batch.images.max() <= 1) == (True, True)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.attributes[:, 0].tolist() == rows.tolist()
    assert batch.identity.tolist() == (rows * 2).tolist()
    assert batch.masks is not None
    np.testing.assert_allclose(batch.masks[:, 0].numpy(), source.data.masks[rows] / 255, atol=1e-6)
    assert batch.images_seen == 16
    plain = loader(channels_last=False).batch(16)
    assert plain.images.is_contiguous()
    assert torch.equal(plain.images, batch.images)


def test_an_epoch_holds_every_row_once_and_drops_none() -> None:
    source = loader(8)
    stream = np.concatenate([source.rows(seen) for seen in range(0, 200, 8)])
    epochs = stream.reshape(4, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4
    assert stream[:50].tolist() != sorted(stream[:50].tolist())


def test_a_batch_may_be_larger_than_the_data() -> None:
    assert sorted(loader(100).rows(0).tolist()) == sorted([*range(50), *range(50)])


def test_order_depends_on_nothing_but_seed_and_place() -> None:
    backwards = loader(augment=Augment(0.2, 0.5, 0.3))
    late = [backwards.batch(seen) for seen in (400, 160, 0)]
    early = [loader(augment=Augment(0.2, 0.5, 0.3)).batch(seen) for seen in (400, 160, 0)]
    for one, other in zip(late, early, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.index, other.index)
    assert loader(seed=2).rows(0).tolist() != loader(seed=1).rows(0).tolist()


def test_ranks_share_one_order() -> None:
    joint = loader(8).rows(16)
    parts = [loader(8, rank=rank, world=2).rows(16) for rank in (0, 1)]
    assert np.stack(parts, 1).reshape(-1).tolist() == joint.tolist()
    pairs = data().indices("train").reshape(-1, 2)
    joint, *parts = (
        Loader(data(), pairs, 8, seed=1, rank=rank, world=world).rows(16) for rank, world in ((0, 1), (0, 2), (1, 2))
    )
    assert np.stack([part.reshape(2, 2) for part in parts], 1).reshape(-1).tolist() == joint.tolist()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 5 rows of `data`, windows of 4 of them."""
    monkeypatch.setattr(loader_module, "BLOCK", 5 * 8 * 8 * (3 + 1))
    monkeypatch.setattr(loader_module, "MIXED", 4)


@pytest.mark.usefixtures("small_blocks")
def test_in_blocks_an_epoch_holds_every_row_once_and_a_window_few_blocks() -> None:
    source = loader(4, order="blocks")
    assert source.block == 5
    epochs = np.concatenate([source.rows(seen) for seen in range(0, 200, 4)]).reshape(4, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4
    windows = [epoch[start : start + 20] for epoch in epochs for start in (0, 20, 40)]
    assert {len({*(window // 5)}) for window in windows} == {4, 2}
    assert len({frozenset((window // 5).tolist()) for window in windows}) > 6
    for window in windows:
        blocks = window // 5
        assert (np.diff(blocks) != 0).sum() >= len({*blocks}), "the blocks are mixed"


@pytest.mark.usefixtures("small_blocks")
def test_order_in_blocks_depends_on_nothing_but_seed_and_place() -> None:
    used = loader(order="blocks")
    stream = [used.rows(seen).tolist() for seen in range(0, 400, 8)]
    for seen in (392, 200, 48, 0):
        assert loader(order="blocks").rows(seen).tolist() == stream[seen // 8]
        parts = [loader(order="blocks", rank=rank, world=4).rows(seen) for rank in range(4)]
        assert np.stack(parts, 1).reshape(-1).tolist() == stream[seen // 8]
    assert loader(order="blocks", seed=2).rows(0).tolist() != stream[0]
    assert loader().rows(0).tolist() != stream[0]


@pytest.mark.usefixtures("small_blocks")
def test_lines_and_repeated_rows_come_in_blocks_too() -> None:
    whole = data()
    pairs = np.random.default_rng(0).permutation(np.stack([np.arange(25), np.arange(25, 50)], 1))
    lines = Loader(whole, pairs, 10, seed=1, order="blocks")
    assert lines.block == 2
    found = np.concatenate([lines.rows(seen) for seen in range(0, 50, 10)]).reshape(-1, 2)
    assert sorted(found[:, 0].tolist()) == list(range(25))
    assert (found[:, 1] - found[:, 0] == 25).all()
    assert len({*(found[:8, 0] // 2)}) <= 5
    rows = np.arange(50).repeat(np.arange(50) % 3 + 1)
    rare = Loader(whole, rows[np.random.default_rng(0).permutation(len(rows))], len(rows), seed=1, order="blocks")
    assert sorted(rare.rows(0).tolist()) == rows.tolist()
    own = {*np.split(rows, range(5, len(rows), 5))[3].tolist()}
    places = np.flatnonzero(np.isin(rare.rows(0), [*own]))
    assert places.max() - places.min() < 3 * 20


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("world", "together"), [(1, 1), (3, 1), (2, 2)])
def test_a_window_is_fetched_before_it_is_used(world: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(PreparedData, "fetch", lambda _, rows: asked.append(rows.tolist()))
    whole, batch, rank = data(), 6 * together, world - 1
    lines = np.arange(50).reshape(-1, together)
    source = Loader(whole, lines, batch, seed=1, order="blocks", rank=rank, world=world)
    window = source.block * 4
    fetched, used, ascending = Counter[int](), Counter[int](), []
    for seen in range(0, 600, batch):
        rows, images, _ = source.read(seen)
        ahead, own = asked[-2:]
        assert (own, images.tobytes()) == (rows.tolist(), whole.images[rows].tobytes())
        ascending.append(ahead == sorted(ahead))
        fetched.update(ahead)
        places = seen // together + np.arange(6 // world) * world + rank  # of lines in the endless stream
        used.update(rows[(places >= 2 * window).repeat(together)].tolist())
        assert not used - fetched, "nothing of the third window or a later one comes as a surprise"
    assert (fetched - used).total() <= 3 * window * together, "and nothing twice"
    assert together > 1 or np.mean(ascending) > 0.4


def test_what_one_window_holds_is_shuffled_as_ever() -> None:
    assert loader(order="blocks").block == 0
    assert loader(order="blocks").rows(48).tolist() == loader().rows(48).tolist()
    rows = torch.cat([batch.index for batch in batches(data(), 8, order="blocks") if batch.index is not None])
    assert sorted(rows.tolist()) == list(range(50))


def test_augmentation_differs_from_batch_to_batch_and_rank_to_rank() -> None:
    one = data(8)
    same = replace(one, images=np.broadcast_to(one.images[:1], one.images.shape).copy(), masks=None)
    images = [
        Loader(same, same.indices("all"), 8, seed=1, augment=Augment(colour=0.5), rank=rank, world=2).batch(seen).images
        for rank in (0, 1)
        for seen in (0, 8)
    ]
    assert len({image.numpy().tobytes() for image in images}) == 4


@pytest.mark.parametrize("world", [2, 4])
def test_how_many_ranks_there_are_changes_no_picture(world: int) -> None:
    options = {"augment": Augment(0.2, 0.5, 0.3)}
    joint = loader(8, **options).batch(16)
    parts = [loader(8, rank=rank, world=world, **options).batch(16) for rank in range(world)]
    torch.testing.assert_close(torch.stack([part.images for part in parts], 1).flatten(0, 1), joint.images)
    assert torch.equal(torch.stack([part.attributes for part in parts], 1).flatten(0, 1), joint.attributes)


def test_iterating_gives_the_batches_in_order() -> None:
    source = loader(8, rank=1, world=2)
    batches = source.iterate(24)
    for step, batch in enumerate(islice(batches, 10)):
        assert batch.images_seen == 24 + 8 * step
        assert torch.equal(batch.images, source.batch(24 + 8 * step).images)
    assert source.batches == 10
    assert source.waited_seconds > 0
    batches.close()  # type: ignore[attr-defined]


def test_a_slow_step_does_not_wait() -> None:
    source = loader(4)
    batches = source.iterate(0)
    next(batches)
    source.waited_seconds = 0
    begin = time.perf_counter()
    for _ in range(20):
        time.sleep(0.02)
        next(batches)
    assert source.waited_seconds < 0.2 * (time.perf_counter() - begin)
    batches.close()  # type: ignore[attr-defined]


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    batches = loader().iterate(0)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_in_the_thread_reaches_the_caller() -> None:
    source = loader()
    broken = Loader(source.data, np.array([0, 999]), 2, seed=0)
    with pytest.raises(IndexError):
        next(broken.iterate(0))


def test_a_forgotten_iterator_lets_the_program_end() -> None:
    program = (
        "import numpy as np, torch; from attrimorph.data.prepared import PreparedData; "
        "from attrimorph.data import Attribute, Schema; from attrimorph.data.loader import Loader; "
        "d = PreparedData(np.zeros((4, 8, 8, 3), np.uint8), torch.zeros(4, 1), torch.zeros(4).long(), "
        "np.array(['train'] * 4), list('abcd'), Schema((Attribute('a'),))); "
        "batches = Loader(d, d.indices('all'), 2, seed=0).iterate(0); next(batches); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_generators_of_different_words_differ() -> None:
    draws = {
        torch.rand(1, generator=generator_for(*words)).item() for words in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1))
    }
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator_for(5, 6)), torch.rand(3, generator=generator_for(5, 6)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"rank": 2, "world": 2}, "got rank 2 of 2"),
        ({"world": 3}, "training.batch_size must be a multiple of the number of processes, 3, .* try .* 9"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"order": "block"}, "order must be one of shuffled, blocks; got 'block'"),
    ],
)
def test_wrong_sizes_are_told(options: dict[str, int], message: str) -> None:
    with pytest.raises(AttrimorphError, match=message):
        loader(**options)  # type: ignore[arg-type]


def test_an_empty_split_is_told() -> None:
    whole = data()
    with pytest.raises(AttrimorphError, match="no images to load"):
        Loader(whole, whole.indices("test"), 4, seed=0)


def test_batches_of_whole_epochs_hold_every_image_as_often() -> None:
    found = list(batches(data(), 8, epochs=2, seed=4))
    assert [len(batch.images) for batch in found] == [8] * 12 + [4]
    rows = torch.cat([batch.index for batch in found if batch.index is not None])
    assert torch.bincount(rows).tolist() == [2] * 50
    last = found[-1]
    assert last.masks is not None
    assert last.identity is not None
    assert len(last.masks) == len(last.attributes) == len(last.identity) == 4
    assert torch.equal(last.attributes[:, 0], last.identity / 2)
    assert [batch.images_seen for batch in found[:3]] == [0, 8, 16]
    assert len(list(batches(data(), 25))) == 2
    assert not any(thread.name == "attrimorph-loader" for thread in threading.enumerate())


def test_batches_without_end_go_on() -> None:
    endless = batches(data(), 30, epochs=None)
    assert sum(len(batch.images) for batch in islice(endless, 5)) == 150
    with pytest.raises(AttrimorphError, match="epochs must be at least 1"):
        batches(data(), epochs=0)
    with pytest.raises(AttrimorphError, match="no images to load"):
        batches(data(), split="test")
