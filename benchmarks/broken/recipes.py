"""Recipes with unknown fields, wrong types and values out of range, as dotted words and as files."""

import json
from collections.abc import Callable
from pathlib import Path

from .case import Case, Kit
from .labels import DEEP

BILLION_LAUGHS = "\n".join(
    ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)

WORDS: dict[str, tuple[list[str], str]] = {
    "an unknown field": (["--training.batch-sise=8"], "did you mean 'training.batch_size'"),
    "an unknown group": (["--trainning.images=8"], "trainning"),
    "a field below a field": (["--training.images.most=8"], "no fields of its own"),
    "a group as a field": (["--losses=3"], "losses is a group of fields"),
    "words for a number": (["--training.images=many"], "training.images must be.*'many'"),
    "a fraction for a whole number": (["--training.images=1.5"], "training.images must be.*1.5"),
    "a list for a number": (["--losses.kl=[1, 2]"], "losses.kl must be"),
    "a mapping for a number": (["--losses.kl={a: 1}"], "losses.kl must be"),
    "true for a number": (["--training.images"], "training.images must"),
    "a number for a choice": (["--training.precision=16"], "training.precision must be"),
    "an unknown choice": (["--optimiser.schedule=cosinus"], "optimiser.schedule must be"),
    "nothing": (["--training.images="], "training.images must be"),
    "none for a number": (["--training.seed=none"], "training.seed must be"),
    "NaN": (["--losses.kl=nan"], "losses.kl must be"),
    "infinity": (["--losses.image=inf"], "losses.image must be"),
    "a NaN rate": (["--optimiser.learning-rate=nan"], "optimiser.learning_rate must be"),
    "a negative weight": (["--losses.kl=-1"], "losses.kl must be"),
    "no images": (["--training.images=0"], "training.images must be"),
    "a batch of one": (["--training.batch-size=1"], "training.batch_size must be"),
    "a batch of a million million": (["--training.batch-size=1000000000000"], "training.batch_size must be"),
    "a rate of zero": (["--optimiser.learning-rate=0"], "optimiser.learning_rate must be"),
    "a rate of five": (["--optimiser.learning-rate=5"], "optimiser.learning_rate must be"),
    "a momentum of one": (["--optimiser.beta1=1"], "optimiser.beta1 must be"),
    "a share of two": (["--losses.edited-share=2"], "losses.edited_share must be"),
    "a negative seed": (["--training.seed=-1"], "training.seed must be"),
    "a seed of ten to the thirty": ([f"--training.seed={10**30}"], "training.seed must be"),
    "a length of 400 digits": ([f"--training.images={'9' * 400}"], "training.images must be"),
    "a number of 5,000 digits": ([f"--training.images={'9' * 5000}"], "training.images.*integer"),
    "an image size of 17": (["--data.image-size=17"], "power of two"),
    "an image size of 8": (["--data.image-size=8"], "data.image_size must be"),
    "an image size of 4096": (["--data.image-size=4096"], "data.image_size must be"),
    "a shift of the whole picture": (["--data.shift=1"], "data.shift must be"),
    "the paper's networks at 16 pixels": (["--networks.kind=paper"], "128"),
    "a latent of a million million": (["--networks.latent=1000000000000"], "networks.latent must be"),
    "widths of a million": (["--networks.encoder-width=1000000"], "networks.encoder_width must be"),
    "an unknown method": (["--method=cvae-gna"], "did you mean 'cvae-gan'"),
    "a name that is a path": (["--name=../../elsewhere"], "name"),
    "a field twice": (["--losses.kl=1", "--losses.kl=2"], "stands twice"),
    "a word without dashes": (["losses.kl=1"], "written --field.name value"),
    "a field of no name": (["--=1"], "no field|--field.name"),
    "a field of dots": (["--training..images=1"], "no field|no fields"),
    "an unreachable device": (["--device", "cuda"], "cuda"),
}

FILES: dict[str, tuple[str, str, str]] = {
    "an empty file": ("r.yaml", "", "it holds nothing"),
    "a list": ("r.yaml", "- a\n- b\n", "it holds a list"),
    "a number": ("r.yaml", "3\n", "it holds a int"),
    "tabs": ("r.yaml", "training:\n\timages: 3\n", "must be a YAML or JSON file"),
    "an open bracket": ("r.yaml", "recipe: [cvae-gan\n", "must be a YAML or JSON file"),
    "bytes": ("r.yaml", "\udcff\udcfe", "must be a YAML or JSON file"),
    "a zero byte": ("r.yaml", "name: a\0b\n", "must be a YAML or JSON file"),
    "a call of Python": ("r.yaml", "name: !!python/object/apply:os.system ['touch OWNED']\n", "must be a YAML or JSON"),
    "a Python object": ("r.yaml", "training: !!python/object:subprocess.Popen {}\n", "must be a YAML or JSON"),
    "a billion laughs as a group": ("r.yaml", BILLION_LAUGHS + "\nrecipe: cvae-gan\n", "no field 'a0'"),
    "a billion laughs as a value": ("r.yaml", BILLION_LAUGHS.replace("a11:", "losses:"), "field|losses"),
    "a billion laughs as a name": (
        "r.yaml",
        BILLION_LAUGHS.replace("a11: &a11", "name: &name").replace("a0:", "about:", 1),
        "about|name",
    ),
    "a list that holds itself": ("r.yaml", "recipe: cvae-gan\nlosses: &a [*a]\n", "losses is a group"),
    "a mapping that holds itself": ("r.yaml", "recipe: cvae-gan\nlosses: &a\n  losses: *a\n", "no field"),
    "an unknown anchor": ("r.yaml", "name: *gone\n", "must be a YAML or JSON file"),
    "a date that is none": ("r.yaml", "name: 2024-13-45\n", "must be a YAML or JSON file"),
    "a number of 5,000 digits": ("r.yaml", f"name: {'9' * 5000}\n", "must be a YAML or JSON file|name"),
    "nested too deeply": ("r.yaml", DEEP, "must be a YAML or JSON file"),
    "keys that are numbers": ("r.yaml", "1: 2\n", "field: value"),
    "inner keys that are numbers": ("r.yaml", "recipe: cvae-gan\ntraining:\n  1: 2\n", "training"),
    "an unknown base": ("r.yaml", "recipe: cvae-gam\n", "did you mean 'cvae-gan'"),
    "a base that is a number": ("r.yaml", "recipe: 3\n", "no recipe 3"),
    "a base that is a list": ("r.yaml", "recipe: [cvae-gan]\n", "no recipe"),
    "an unknown field": ("r.yaml", "recipe: cvae-gan\nlosses:\n  kll: 3\n", "did you mean 'losses.kl'"),
    "a whole recipe without a name": ("r.json", json.dumps({"method": "vae"}), "lacks the field 'name'"),
    "a whole recipe with an unknown field": ("r.json", json.dumps({"name": "a", "metod": "vae"}), "metod"),
    "a whole recipe with a list for a group": ("r.json", json.dumps({"name": "a", "losses": [1]}), "losses"),
    "a whole recipe with a wrong number": (
        "r.json",
        json.dumps({"name": "a", "losses": {"kl": {"much": 1}}}),
        "losses.kl must be",
    ),
    "half a JSON": ("r.json", '{"name": "a", "losses": {"kl": 1', "must be a YAML or JSON file"),
    "a picture": ("r.yaml", "\udc89PNG\r\n\x1a\n", "must be a YAML or JSON file"),
}


def overriding(words: list[str]) -> Callable[[Kit, Path], list[str]]:
    """Return the kit's training with these words in the place of its own about the same fields."""
    mine = {word.partition("=")[0] for word in words}

    def make(kit: Kit, folder: Path) -> list[str]:
        kept = [word for word in kit.train(folder / "out") if word.partition("=")[0] not in mine]
        if "--device" in words:
            kept = kept[: kept.index("cpu")] + kept[kept.index("cpu") + 1 :]
        return [*kept, *words]

    return make


def from_file(name: str, content: str, place: int) -> Callable[[Kit, Path], list[str]]:
    """Return `train` and `recipes`, in turn, of a file."""

    def make(kit: Kit, folder: Path) -> list[str]:
        path = folder / name
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        if place % 2:
            return ["recipes", str(path)]
        return ["train", str(path), "--data", str(kit.data), "--out", str(folder / "out"), "--device", "cpu"]

    return make


RECIPES: tuple[Case, ...] = (
    *(Case(f"train: {name}", overriding(words), says) for name, (words, says) in WORDS.items()),
    *(
        Case(f"{('train', 'recipes')[place % 2]} from a file: {what}", from_file(name, content, place), says)
        for place, (what, (name, content, says)) in enumerate(FILES.items())
    ),
    Case("recipes: an unknown name", lambda kit, folder: ["recipes", "cvae-gon"], "did you mean 'cvae-gan'"),
    Case("recipes: a folder that is no run", lambda kit, folder: ["recipes", str(folder)], "recipe.json"),
    Case("train: a missing file", lambda kit, folder: ["train", str(folder / "gone.yaml")], "cannot read .*gone.yaml"),
)
