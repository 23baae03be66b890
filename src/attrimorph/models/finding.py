"""From the name of a model to its file. No torch here: what was mistyped is told at once."""

from importlib.resources import files
from pathlib import Path

from attrimorph.errors import AttrimorphError, suggestion


def shipped() -> dict[str, Path]:
    """Return the models that come with the package: name -> file."""
    folder = Path(str(files("attrimorph") / "shipped"))
    return {
        path.stem: path
        for path in sorted(folder.glob("*.safetensors"))
        if not path.stem.startswith(("judge-", "recogniser-", "axes-"))
    }


def find(source: str | Path) -> Path:
    """Return the model file that a run folder, a hub folder, a file or the name of a shipped model stands for."""
    path = Path(source)
    if path.is_dir():
        checkpoints = sorted(path.glob("checkpoints/[0-9]*/model.safetensors"))
        for candidate in (path / "model.safetensors", *checkpoints[::-1]):
            if candidate.exists():
                return candidate
        raise AttrimorphError(f"{path} holds no model yet; train one into it, or name a run that has a checkpoint")
    if path.is_file():
        return path
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    raise AttrimorphError(
        f"there is no run folder, model file or shipped model {str(source)!r}; {suggestion(str(source), known)}"
    )


def named_parts(source: str | Path) -> list[str]:
    """Return the models that a name stands for: one, or the several of a chain, which stand with commas."""
    words = str(source)
    return [words] if Path(words).exists() else [part.strip() for part in words.split(",") if part.strip()] or [words]
