"""Extractors: published sizes, weights from files and the cache, and names that say whose features they are."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import load_judge
from attrimorph.metrics import extractors
from attrimorph.metrics.extractors import JudgeFeatures, SeesMaps, VggFeatures, load_extractor
from attrimorph.networks.pretrained import SEEN, WIDTHS, Inception, Vgg19, block_a, block_e, max_pool


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub") / "checkpoints" / "vgg19-12345678.pth"
    path.parent.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {key: value for key, value in Vgg19().state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        # torchvision's inception_v3 has 27,161,264, of which 3,326,696 are its second head.
        assert count(Inception(1000)) == 27_161_264 - 3_326_696
        # VGG-19 has 143,667,240, of which 123,642,856 are fully connected.
        assert count(Vgg19()) == 143_667_240 - 123_642_856


def test_vgg_is_its_convolutions_one_by_one(vgg: Path) -> None:
    extractor = load_extractor(vgg)
    assert isinstance(extractor, VggFeatures)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    state = torch.load(vgg, weights_only=True)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    h, number, expected = ((images + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1), 0, []
    for width in WIDTHS:
        if width:
            h = conv2d(h, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1).relu()
        else:
            expected.append(h)
            h = max_pool2d(h, 2)
        number += 2 if width else 1
    maps = extractor.maps(images)
    assert len(maps) == len(SEEN)
    for found, want in zip(maps, [*expected, h], strict=True):
        torch.testing.assert_close(found, want)
    torch.testing.assert_close(extractor(images), h.mean((2, 3)))


def test_inception_differs_from_the_later_graph_where_fid_says_so() -> None:
    """The padding is not counted by the means; the last block takes the largest value."""
    x = torch.ones(1, 4, 5, 5)
    block = block_a(4, 2).eval()
    seen: list[Tensor] = []
    block.branch_pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    block(x)
    torch.testing.assert_close(seen[0], x)
    x = torch.rand(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    last = block_e(4, max_pool).eval()
    last.branch_pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    last(x)
    torch.testing.assert_close(seen[1], max_pool2d(x, 3, 1, 1))


def test_weights_come_from_a_path_or_the_hubs_cache_and_are_named_by_what_they_are(
    vgg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(vgg.parent.parent))
    digest = hashlib.sha256(vgg.read_bytes()).hexdigest()
    assert load_extractor("vgg19").name == f"VGG-19 with weights {digest[:8]}"
    monkeypatch.setattr(extractors, "STANDARD_VGG", digest[:8])
    assert load_extractor(vgg).name == "VGG-19"
    safetensors.torch.save_file(torch.load(vgg, weights_only=True), tmp_path / "vgg.safetensors")
    assert load_extractor(tmp_path / "vgg.safetensors").name.startswith("VGG-19 with weights")
    with pytest.raises(AttrimorphError, match=r"inception must lie in .*checkpoints"):
        load_extractor("inception")


def test_inception_weights_make_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Inception().state_dict()
    torch.save(state, tmp_path / "inception.pth")
    extractor = load_extractor(tmp_path / "inception.pth")
    assert extractor.name.startswith("Inception with weights ")
    assert extractor(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)
    assert not isinstance(extractor, SeesMaps)
    monkeypatch.setattr(extractors, "read_weights", lambda path: ({**state, "fc.weight": torch.zeros(1000, 1)}, "0"))
    with pytest.raises(AttrimorphError, match="1008 classes"):
        load_extractor("other.pth")


def test_other_files_get_a_sentence(vgg: Path, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="cannot read"):
        load_extractor(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(vgg.read_bytes()[:1000])
    with pytest.raises(AttrimorphError, match="must hold weights"):
        load_extractor(tmp_path / "cut.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(AttrimorphError, match="must hold weights"):
        load_extractor(tmp_path / "text.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(AttrimorphError, match=r"Inception v3 or VGG-19 under their usual names; it holds a"):
        load_extractor(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(AttrimorphError, match="must hold a state dict"):
        load_extractor(tmp_path / "list.pth")


def test_a_judges_features_bear_its_name() -> None:
    judge = load_judge("drawn-faces-32")
    extractor = JudgeFeatures(judge)
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    assert extractor.name == "features of judge drawn-faces-32"
    torch.testing.assert_close(extractor(images), extractor.maps(images)[-1].flatten(1))
    assert isinstance(extractor, SeesMaps)
