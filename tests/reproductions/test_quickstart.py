"""The quickstart in small: all its parts run, and the second time it reuses what is there."""

import json
from pathlib import Path

import pytest
from PIL import Image

from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.reproductions.quickstart import quickstart
from attrimorph.requests.replay import replay

TINY = {
    "training.images": 96,
    "training.batch_size": 16,
    "training.log_images": 16,
    "training.checkpoint_images": 48,
    "training.sample_images": 96,
    "training.precision": "float32",
    "training.memory_format": "channels_last",
    "networks.encoder_width": 4,
    "networks.generator_width": 4,
    "networks.discriminator_width": 4,
    "networks.classifier_width": 4,
}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return recipe_named("quickstart").with_changes(TINY)


@pytest.mark.slow  # .ci/run makes the whole quickstart, in a terminal
def test_the_quickstart_leaves_a_report_and_repeats_itself(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    page = quickstart(Path("out"), recipe=recipe, count=60, evaluated=8, say=said.append)
    assert len(said) == 5
    content = page.read_text()
    for words in ("Learning curves", "Every slider, measured", "How to go on", "edits that reach their target"):
        assert words in content
    assert content.count("<polyline") >= 5
    # It opens with a photograph at its own size, by the model that ships and by this one.
    places = [content.index(words) for words in ("A photograph, edited", "<img", "edits that reach their target")]
    assert places == sorted(places)
    for name in ("drawn-faces-64", "trained"):
        with Image.open(f"out/results/photograph-{name}.jpg") as image:
            assert image.size == (1024, 1024)
    told = json.loads(Path("out/evaluation/evaluation.json").read_text())
    assert "judge drawn-faces-32; " in told["protocols"]["edit.target_reached"]
    assert replay("out/results/edit-run.json").identical
    checkpoint = max(Path("out/run/checkpoints").glob("*/model.safetensors"))
    drawn, trained = Path("out/faces-32/images.npy").stat().st_mtime_ns, checkpoint.stat().st_mtime_ns
    stages = json.loads(Path("out/stages.json").read_text())
    quickstart(Path("out"), recipe=recipe, count=60, evaluated=8, say=said.append)
    assert Path("out/faces-32/images.npy").stat().st_mtime_ns == drawn
    assert checkpoint.stat().st_mtime_ns == trained
    again = json.loads(Path("out/stages.json").read_text())
    assert (again["training"], again["drawing"]) == (stages["training"], stages["drawing"])
