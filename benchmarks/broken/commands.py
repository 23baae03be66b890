"""Words that the command line cannot take: unknown ones, and values out of range."""

from collections.abc import Callable
from pathlib import Path

from .case import Case, Kit


def said(*words: str) -> Callable[[Kit, Path], list[str]]:
    """Return words, with FACE, MODEL, RUN, DATA, OUT and HERE put in."""

    def make(kit: Kit, folder: Path) -> list[str]:
        places = {
            "FACE": str(kit.face),
            "MODEL": str(kit.model),
            "RUN": str(kit.run),
            "DATA": str(kit.data),
            "OUT": str(folder / "out"),
            "HERE": str(folder),
        }
        return [places.get(word, word) for word in words]

    return make


EDIT = ("edit", "FACE", "--model", "MODEL", "--out", "OUT", "--device", "cpu")
MORPH = ("morph", "FACE", "FACE", "--model", "MODEL", "--out", "OUT", "--device", "cpu")
SAMPLE = ("sample", "--model", "MODEL", "--out", "OUT", "--device", "cpu")
PREPARE = ("data", "prepare", "HERE", "--out", "OUT")

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown verb": (("edot",), "did you mean|edot"),
    "an unknown verb below data": (("data", "chek", "HERE"), "chek"),
    "an unknown option": ((*SAMPLE, "--cuont", "3"), "cuont"),
    "an option without value": (("sample", "--count"), "count"),
    "words for a number": ((*SAMPLE, "--count", "many"), "count"),
    "a fraction for a whole number": ((*SAMPLE, "--count", "2.5"), "count"),
    "no images": ((*SAMPLE, "--count", "0"), "count must lie in 1"),
    "minus three images": ((*SAMPLE, "--count", "-3"), "count"),
    "a million million images": ((*SAMPLE, "--count", str(10**12)), "count must lie in"),
    "a seed of ten to the thirty": ((*SAMPLE, "--seed", str(10**30)), "seed must lie in"),
    "a seed in words": ((*SAMPLE, "--seed", "luck"), "seed"),
    "an unknown device": (("sample", "--device", "abacus"), "device"),
    "a device that is not there": (("sample", "--model", "MODEL", "--out", "OUT", "--device", "cuda"), "cuda"),
    "an unknown model": (("sample", "--model", "drawn-faces-65"), "no run folder, model file or shipped model"),
    "a picture of another kind": ((*SAMPLE[:-4], "--out", "smile.jpg"), "must be a .png file"),
    "a sample with an unknown attribute": ((*SAMPLE, "--set", "Smilling=1"), "did you mean 'Smiling'"),
    "a sample with a value of no attribute": ((*SAMPLE, "--set", "hair=blond=1"), "no attribute 'hair'"),
    "no image": (("edit", "--set", "Smiling=1"), "IMAGE"),
    "no change": (EDIT, "at least one attribute"),
    "a change without number": ((*EDIT, "--set", "Smiling"), "--set Smiling takes a number"),
    "a change without name": ((*EDIT, "--set", "=1"), "there is no attribute"),
    "a change in words": ((*EDIT, "--set", "Smiling=much"), "must be a number"),
    "a change twice": ((*EDIT, "--set", "Smiling=1", "--set", "Smiling=0"), "stands twice"),
    "a strength of NaN": ((*EDIT, "--set", "Smiling=nan"), "strength must .*Smiling got nan"),
    "a strength of infinity": ((*EDIT, "--set", "Smiling=inf"), "strength must .*Smiling got inf"),
    "a strength of minus infinity": ((*EDIT, "--set", "Smiling=-inf"), "strength must .*Smiling got -inf"),
    "a strength of ten to the forty": ((*EDIT, "--set", "Smiling=1e40"), "strength must"),
    "a strength beyond all numbers": ((*EDIT, "--set", "Smiling=1e999"), "strength must"),
    "an unknown attribute": ((*EDIT, "--set", "Nose=1"), "no attribute 'Nose'"),
    "an attribute with a line break": ((*EDIT, "--set", "Smi\nling=1"), "no attribute"),
    "a known half": ((*EDIT, "--set", "Smiling=1", "--known", "Male=0.5"), "must be 0 or 1"),
    "a known NaN": ((*EDIT, "--set", "Smiling=1", "--known", "Male=nan"), "must be 0 or 1"),
    "an unknown known attribute": ((*EDIT, "--set", "Smiling=1", "--known", "Mal=0"), "did you mean 'Male'"),
    "one picture to morph": ((*MORPH[:2], *MORPH[3:]), "path linear takes two pictures; got 1 picture"),
    "three pictures to morph": ((*MORPH, "FACE"), "takes two pictures; got 3 pictures"),
    "an unknown path": ((*MORPH, "--path", "straight"), "path"),
    "a square between two": ((*MORPH, "--path", "bilinear"), "takes four pictures; got 2"),
    "a square of a thousand": ((*MORPH, "FACE", "FACE", "--path", "bilinear", "--steps", "1000"), "steps must lie in"),
    "a path that the model cannot go": ((*MORPH, "--path", "homomorphic"), "follows references"),
    "a chain without CycleGANs": ((*MORPH, "--path", "cyclegan-chain", "--set", "Young=1"), "needs CycleGANs"),
    "groups on a straight path": ((*MORPH, "--groups", "one-by-one"), "path homomorphic"),
    "changes on a straight path": ((*MORPH, "--set", "Young=1"), "path cyclegan-chain"),
    "a reference that cannot be followed": ((*EDIT, "--set", "Young=1", "--like", "FACE"), "follows references"),
    "a reference and what is known": ((*EDIT, "--set", "Young=1", "--like", "FACE", "--known", "Male=1"), "--known"),
    "a chain of other models": (
        ("edit", "FACE", "--set", "Young=1", "--model", "drawn-faces-64,drawn-faces-64"),
        "of CycleGANs",
    ),
    "a chain with a model that is not there": (
        ("edit", "FACE", "--set", "Young=1", "--model", "drawn-faces-64,gone"),
        "'gone'",
    ),
    "one step": (("morph", "FACE", "FACE", "--steps", "1", "--model", "MODEL", "--out", "OUT"), "steps must lie in"),
    "a million steps": (
        ("morph", "FACE", "FACE", "--steps", "1000000", "--model", "MODEL", "--out", "OUT"),
        "steps must",
    ),
    "no source": (("transfer", "FACE", "--model", "MODEL"), "--from"),
    "an unknown attribute to take": (
        ("transfer", "FACE", "--from", "FACE", "--attributes", "Nose", "--model", "MODEL", "--out", "OUT"),
        "Nose",
    ),
    "no attribute to take": (
        ("transfer", "FACE", "--from", "FACE", "--attributes", ",,", "--model", "MODEL", "--out", "OUT"),
        "attribute",
    ),
    "no images to evaluate on": (("evaluate", "MODEL", "--count", "0", "--out", "OUT"), "count must"),
    "a million million images to evaluate on": (
        ("evaluate", "MODEL", "--count", str(10**12), "--out", "OUT"),
        "count must",
    ),
    "an unknown group of figures": (("evaluate", "MODEL", "--metrics", "edit", "--out", "OUT"), "did you mean 'edits'"),
    "a recogniser that is not": (("evaluate", "MODEL", "--recogniser", "nobody", "--out", "OUT"), "no recogniser"),
    "weights that are none": (("evaluate", "MODEL", "--extractor", "FACE", "--out", "OUT"), "must hold weights"),
    "an evaluation that is none": (("evaluate", "MODEL", "--against", "FACE", "--out", "OUT"), "must be a JSON file"),
    "an unknown recipe": (("train", "cvae-gna"), "did you mean 'cvae-gan'"),
    "no recipe": (("train",), "recipe"),
    "data that are not there": (("train", "cvae-gan", "--data", "gone", "--out", "OUT"), "no folder gone"),
    "data that are a file": (("train", "cvae-gan", "--data", "FACE", "--out", "OUT"), "must be a folder"),
    "nowhere to prepare to": (("data", "prepare", "HERE"), "--out"),
    "prepare: a size of 7": ((*PREPARE, "--image-size", "7"), "image_size must be between|must hold images"),
    "prepare: a size of 5000": ((*PREPARE, "--image-size", "5000"), "image_size must be between|must hold images"),
    "prepare: a crop in words": ((*PREPARE, "--crop", "much"), "crop must be"),
    "prepare: a crop inside out": ((*PREPARE, "--crop", "9,9,3,3"), "crop must be"),
    "prepare: a crop of NaN": ((*PREPARE, "--crop", "nan,0,9,9"), "crop must be"),
    "prepare: a source that is not there": (("data", "prepare", "gone", "--out", "OUT"), "no folder gone"),
    "check: a source that is a file": (("data", "check", "FACE"), "must be a folder"),
    "synthetic: an unknown kind": (("data", "synthetic", "OUT", "--kind", "cats"), "kind"),
    "synthetic: two images": (("data", "synthetic", "OUT", "--count", "2"), "count must be at least 3"),
    "synthetic: a million million images": (
        ("data", "synthetic", "OUT", "--count", str(10**12), "--size", "16"),
        "count|write",
    ),
    "synthetic: a size of 8": (("data", "synthetic", "OUT", "--size", "8"), "size must lie in"),
    "synthetic: a correlation of NaN": (
        ("data", "synthetic", "OUT", "--correlation", "nan"),
        "correlation must lie in",
    ),
    "synthetic: a negative seed": (("data", "synthetic", "OUT", "--seed", "-1"), "seed must lie in"),
    "synthetic: no identities": (
        ("data", "synthetic", "OUT", "--count", "20", "--size", "16", "--identities", "0"),
        "identities",
    ),
}

REAL = (
    "an unknown verb",
    "an unknown option",
    "no change",
    "an unknown recipe",
    "synthetic: two images",
)

COMMANDS: tuple[Case, ...] = tuple(
    Case(f"words: {name}", said(*words), says, real=name in REAL) for name, (words, says) in WRONG.items()
)
