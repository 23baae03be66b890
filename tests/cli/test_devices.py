"""A device reaches everything that computes: every command that looks at pictures, on a fake GPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attrimorph import loading
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import open_prepared
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import load_judge
from attrimorph.evaluators.training import IdentityRecipe, train_identity_encoder
from attrimorph.metrics.extractors import JudgeFeatures
from tests.fake_gpu import FakeGPU
from tests.tiny_models import tiny_model

COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", "MODEL", "--data", "DATA", "--count", "8", "--metrics", "reconstruction,distribution"],
    "augment": ["augment", "--model", "MODEL", "--data", "DATA", "--balance", "Smiling"],
    "neighbours": ["neighbours", "MODEL", "--data", "DATA", "--count", "4"],
    "axes fit": ["axes", "fit", "MODEL", "--samples", "64"],
    "data label": ["data", "label", "DATA", "--judge", "drawn-faces-32"],
    "judge": ["judge", "DATA", "--images", "32"],
}
LONG: dict[str, list[str]] = {
    "evaluate all": ["evaluate", "MODEL", "--data", "DATA", "--count", "8"],
    "calibrate": ["calibrate", "MODEL", "--data", "DATA", "--images", "2"],
}
ENDINGS = dict.fromkeys(("judge", "axes fit", "calibrate"), ".safetensors") | {
    "augment": ".png", "neighbours": ".png", "data label": ".csv"
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and a few faces, of a size that a judge ships for."""
    folder = tmp_path_factory.mktemp("made")
    tiny_model(folder, size=32)
    write_faces(folder / "faces", count=40, size=32)
    return folder


@pytest.mark.parametrize("command", [*COMMANDS, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_a_command_computes_on_the_device(
    command: str, made: Path, tmp_path: Path, say: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "default_device", lambda: "meta")
    places = {"MODEL": made / "model.safetensors", "DATA": made / "faces"}
    words = [places.get(word, word) for word in (COMMANDS | LONG)[command]]
    with FakeGPU() as gpu:
        said = say(*words, "--out", tmp_path / f"out{ENDINGS.get(command, '.safetensors')}")
    # What is there to see may be refused, for there are no values; but nothing may be computed on two devices.
    assert said.code in (0, 2), said.err  # type: ignore[attr-defined]
    assert "device" not in said.err  # type: ignore[attr-defined]
    assert gpu.reads, said.err  # type: ignore[attr-defined]


def test_evaluators_learn_and_look_on_the_device_and_answer_on_the_cpu(made: Path) -> None:
    data = open_prepared(made / "faces")
    people = replace(data, identity=torch.arange(len(data)) % 4)
    with FakeGPU():
        judge = load_judge("drawn-faces-32", "meta")
        images = data.batch(torch.arange(4).numpy())[0]
        looks = [judge, judge.logits, judge.degrees, judge.features, JudgeFeatures(judge)]
        assert all(look(given).device.type == "cpu" for look in looks for given in (images, images.to("meta")))
        assert {stage.device.type for stage in judge.maps(images)} == {"cpu"}
        encoder = train_identity_encoder(people, IdentityRecipe(images_seen=32), least=3, device="meta")
        assert isinstance(encoder, IdentityEncoder)
        assert (judge.device.type, encoder.device.type) == ("meta", "meta")
        assert encoder.features(images).device.type == "cpu"
