"""What `import attrimorph` promises: these names, no more, and nothing heavy before one is used."""

import subprocess
import sys

import pytest

import attrimorph

# A name added here is a promise; a name removed breaks somebody's program. CHANGELOG.md tells of both.
PUBLIC = {
    "Attribute",
    "AttrimorphError",
    "AttributeScore",
    "Augment",
    "AxisEditor",
    "Batch",
    "Code",
    "FunctionEditor",
    "Model",
    "Pictures",
    "Recipe",
    "Schema",
    "Search",
    "Studio",
    "__version__",
    "balanced",
    "batches",
    "compared",
    "confirmation",
    "decisions",
    "drawn_images",
    "edit",
    "edit_like",
    "effects",
    "evaluate",
    "faces",
    "find_pack",
    "fit_axes",
    "from_pretrained",
    "homomorphic",
    "inpaint",
    "judged_by",
    "latent_map",
    "load",
    "load_identity_encoder",
    "load_judge",
    "load_pack",
    "measure_augmentation",
    "measure_edits",
    "measure_identities",
    "measure_responses",
    "model_for",
    "more_of_each",
    "morph",
    "neighbours",
    "new_identities",
    "open_gallery",
    "open_or_prepare",
    "paths",
    "push_to_hub",
    "recipes",
    "reconstruct",
    "replay",
    "retrieve",
    "sample",
    "save_pack",
    "save_pretrained",
    "source_of",
    "square",
    "superresolve",
    "to_pil",
    "train",
    "trajectory",
    "transfer",
    "with_curved",
}


def test_the_public_names_are_these() -> None:
    assert set(attrimorph.__all__) == PUBLIC
    assert len(attrimorph.__all__) == len(PUBLIC)
    assert set(dir(attrimorph)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_of_them_is_there(name: str) -> None:
    value = getattr(attrimorph, name)
    assert value is not None
    # A submodule of the same name must not take the place of the function.
    if name[0].islower() and name not in ("faces", "paths", "recipes"):
        assert callable(value)


def test_names_from_before_still_stand_for_what_they_stood_for() -> None:
    assert attrimorph.Gauge is attrimorph.AttributeScore
    assert attrimorph.load_recogniser is attrimorph.load_identity_encoder
    assert attrimorph.way is attrimorph.trajectory


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'edti'"):
        attrimorph.edti  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, attrimorph; print(sorted({'torch', 'numpy', 'pydantic', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
