"""What `import attrimorph` promises: these names, no more, and nothing heavy before one is used."""

import subprocess
import sys

import pytest

import attrimorph

# A name added here is a promise; a name removed breaks somebody's program. CHANGELOG.md tells of both.
PUBLIC = {
    "Attribute",
    "AttrimorphError",
    "Code",
    "Model",
    "Recipe",
    "Schema",
    "__version__",
    "edit",
    "from_pretrained",
    "load",
    "morph",
    "open_or_prepare",
    "push_to_hub",
    "recipes",
    "reconstruct",
    "replay",
    "sample",
    "save_pretrained",
    "train",
    "transfer",
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
    if name in ("edit", "load", "morph", "reconstruct", "replay", "sample", "train", "transfer"):
        assert callable(value)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'edti'"):
        attrimorph.edti  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, attrimorph; print(sorted({'torch', 'numpy', 'pydantic', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
