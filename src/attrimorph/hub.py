"""Sharing models: the hub's layout (config.json, model.safetensors, a model card), written, read and uploaded."""

import json
import tempfile
from pathlib import Path
from typing import Any

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.files import write_bytes, write_text
from attrimorph.loading import load
from attrimorph.metrics.figures import card_figures, overall
from attrimorph.models import shipped
from attrimorph.models.model import Model


def save_pretrained(model: Model, folder: str | Path) -> Path:
    """Write the hub's layout into a folder: config.json, model.safetensors and a model card, README.md."""
    folder = Path(folder)
    write_bytes(folder / "model.safetensors", model.to_bytes())
    write_text(folder / "config.json", json.dumps(model.header, indent=2) + "\n")
    write_text(folder / "README.md", model_card(model))
    return folder


def push_to_hub(model: Model, repository: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a model in the hub's layout to `repository` ("owner/name"); needs the extra `hub`.

    Returns:
        The address of what was uploaded.
    """
    hub = _hub()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        api = hub.HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder))


def from_pretrained(source: str | Path, device: str = "cpu") -> Model:
    """Load a model from a folder in the hub's layout or, when there is no such folder, from the hub ("owner/name")."""
    if Path(source).exists() or str(source) in shipped():
        return load(source, device)
    if "/" not in str(source):
        raise AttrimorphError(
            f"{str(source)!r} is no folder and no hub name (owner/name); {suggestion(str(source), shipped())}"
        )
    hub = _hub()
    try:
        return load(hub.hf_hub_download(str(source), "model.safetensors"), device)
    except (OSError, ValueError) as error:
        raise AttrimorphError(
            f"cannot fetch {source} from the hub: {str(error).splitlines()[0][:150]}; check the name and the network"
        ) from error


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise AttrimorphError("the hub needs the extra `hub`; run: pip install 'attrimorph[hub]'") from error
    return huggingface_hub


def model_card(model: Model) -> str:
    """Return the model card: what it is, how it was made, what was measured, how to use it."""
    values, protocols = card_figures(model.card)
    rows = "\n".join(f"| `{key}` | {values[key]} | {protocols.get(key, '')} |" for key in overall(list(values)))
    figures = (
        f"| figure | value | how it was measured |\n|---|---|---|\n{rows}\n"
        if rows
        else "Not measured yet: run `attrimorph evaluate`.\n"
    )
    return f"""---
library_name: attrimorph
tags: [image-editing, attributes, {model.recipe.method}]
---
# {model.recipe.name}

{model.recipe.about or "A model trained with attrimorph."}

- method: {model.recipe.method}; images {model.image_size}x{model.image_size}
- {model.images_seen:,} images seen; seed {model.recipe.training.seed}
- attributes: {", ".join(model.schema.names[:60]) or "none"}

{figures}
```python
import attrimorph
model = attrimorph.from_pretrained("FOLDER_OR_HUB_NAME")
```

The recipe and the schema stand in `config.json` and in the header of `model.safetensors`.
"""
