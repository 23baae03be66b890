"""Sharing models: the hub's layout (config.json, model.safetensors, a model card), written, read and uploaded.

And exports: a part of a model as a program for other runtimes, torch.export or ONNX, checked against the model itself.
"""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attrimorph.applications.inputs import encoder
from attrimorph.errors import AttrimorphError, extra, suggestion
from attrimorph.files import refuse_foreign, write_bytes, write_text
from attrimorph.loading import load
from attrimorph.metrics.figures import card_figures, overall
from attrimorph.models import shipped
from attrimorph.models.model import Generates, Model

Part = Literal["generator", "encoder", "classifier"]
SUFFIXES = (".pt2", ".onnx")
MOST = 1024  # images in one batch of an exported program
CLOSE = 1e-3
"""Images in -1..1 and codes may differ by so much in another runtime, which adds in another order."""
CHECKED = (1, 3)  # batches that are compared


def save_pretrained(model: Model, folder: str | Path) -> Path:
    """Write the hub's layout into a folder: config.json, model.safetensors and a model card, README.md."""
    folder = Path(folder)
    card = folder / "README.md"
    # A card of ours says whose the others are.
    refuse_foreign([card] if card.exists() else [folder / "config.json", folder / "model.safetensors"])
    write_bytes(folder / "model.safetensors", model.to_bytes())
    write_text(folder / "config.json", json.dumps(model.header, indent=2) + "\n")
    write_text(card, model_card(model))
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
    with extra("hub", "the hub"):
        import huggingface_hub
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

{"".join(f"- {topic}: {text}{chr(10)}" for topic, text in model.card.get("words", {}).items())}
{figures}
```python
import attrimorph
model = attrimorph.from_pretrained("FOLDER_OR_HUB_NAME")
```

The recipe and the schema stand in `config.json` and in the header of `model.safetensors`.
"""


@dataclass(frozen=True)
class Exported:
    """A program that was written.

    Attributes:
        path: the file.
        inputs, outputs: name -> shape, "batch" first.
        difference: the largest, from the model's own output.
    """

    path: Path
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    difference: float


class Program(nn.Module):
    """A part of a model as one function of tensors.

    Args:
        model: whose networks it holds.
        run: what it does.
    """

    def __init__(self, model: Model, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(dict(model.networks))
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(*inputs)


def export(model: Model, path: Path, *, part: Part = "generator") -> Exported:
    """Write a part of a model as a program, and compare the program as written with the model.

    Inputs are float32: z [B, Z] and attributes [B, W] of a conditional generator, z alone of another; images
    [B, 3, S, S] in -1..1 and attributes of an encoder; images of a classifier. NaN = unknown attribute. Outputs are
    images, z, or probabilities.

    Args:
        model: on the CPU.
        path: .pt2 (torch.export) or .onnx (needs the extra `export`).
        part: of the model.

    Raises:
        AttrimorphError: the model has no such part, the extra is missing, or the program does not agree with the model.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise AttrimorphError(f"an export must be a {' or '.join(SUFFIXES)} file; got {path.name}; name it so")
    run, names, outcome = _part(model, part)
    # It is made when it is first looked at; that must not be while tensors are only traced.
    _ = model.schema.fill_value
    program = Program(model, run).eval()
    example = _inputs(model, part, 2)
    about = {
        "model": model.recipe.name, "model_sha256": model.hash, "part": part, "schema": model.schema.to_json(),
        "image_size": model.image_size, "preprocessing": model.header.get("preprocessing") or {},
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dimension = torch.export.Dim("batch", min=1, max=MOST)
        shapes = tuple({0: dimension} for _ in example)
        try:
            traced = torch.export.export(program, example, dynamic_shapes=(shapes,), strict=False)
        except Exception as error:  # what a tracer cannot follow fails in many ways
            raise AttrimorphError(
                f"the {part} of {model.recipe.name!r} ({model.recipe.method}) cannot be exported: "
                f"{' '.join(str(error).split())[:160]}"
            ) from error
        content = _pt2(traced, about) if path.suffix.lower() == ".pt2" else _onnx(traced, names, outcome, about)
    difference = _compared(content, path.suffix.lower(), model, part, run)
    if not difference <= CLOSE:
        raise AttrimorphError(
            f"the exported {part} must agree with the model to {CLOSE:g}; it differs by {difference:.3g}; nothing was "
            "written, please report it"
        )
    write_bytes(path, content)
    inputs = {name: tuple(each.shape) for name, each in zip(names, example, strict=True)}
    with torch.no_grad():
        found = run(*example)
    return Exported(path, inputs, {outcome: tuple(found.shape)}, difference)


def _part(model: Model, part: Part) -> tuple[Callable[..., Tensor], tuple[str, ...], str]:
    """Return what a part does, and the names of its inputs and its output."""
    blank = torch.full((1, model.schema.width), torch.nan)
    if part == "generator":
        if not isinstance(model, Generates):
            remedy = "export another part, or use a CVAE-GAN"
            raise model.unable("export", "generates images from codes", remedy)
        if model.conditional:
            return model.generate, ("z", "attributes"), "images"
        return lambda z: model.generate(z, blank.expand(z.shape[0], -1)), ("z",), "images"
    if part == "encoder":
        encodes = encoder(model, "export of an encoder")
        return lambda images, y: encodes.encode(images, y).z, ("images", "attributes"), "z"
    if "classifier" not in model.networks:
        raise AttrimorphError(
            f"the model {model.recipe.name!r} ({model.recipe.method}) has no classifier; export another part"
        )
    return model.classify, ("images",), "probabilities"


def _inputs(model: Model, part: Part, count: int) -> tuple[Tensor, ...]:
    """Return plausible inputs of a part, `count` rows."""
    generator = torch.Generator().manual_seed(count)
    y = model.draw_attributes(count, generator)
    if part == "generator":
        code = model.sample_codes(count, generator, y)
        return (code.z, code.attributes) if model.conditional else (code.z,)
    images = torch.rand(count, 3, model.image_size, model.image_size, generator=generator) * 2 - 1
    return (images, y) if part == "encoder" else (images,)


def _pt2(traced: Any, about: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(traced, buffer, extra_files={"attrimorph.json": json.dumps(about)})
    return buffer.getvalue()


def _onnx(traced: Any, names: tuple[str, ...], outcome: str, about: dict[str, Any]) -> bytes:
    with extra("export", "an ONNX file"):
        import onnx  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
        import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
        import onnxscript  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
    # The exporter tells of its progress on standard output, which is for results, and of packages that it misses.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        program = torch.onnx.export(traced, (), input_names=names, output_names=[outcome], dynamo=True, verbose=False)
    assert program is not None
    proto = program.model_proto
    for key, value in about.items():
        proto.metadata_props.add(key=f"attrimorph {key}", value=value if isinstance(value, str) else json.dumps(value))
    content: bytes = proto.SerializeToString()
    return content


def _compared(content: bytes, suffix: str, model: Model, part: Part, run: Callable[..., Tensor]) -> float:
    """Run the program as it is read back, and return the largest difference from the model's own output."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"program{suffix}"
        path.write_bytes(content)
        again: Callable[..., Tensor] = torch.export.load(path).module() if suffix == ".pt2" else _read_onnx(path)
        worst = 0.0
        for count in CHECKED:
            inputs = _inputs(model, part, count)
            with torch.no_grad():
                worst = max(worst, float((again(*inputs) - run(*inputs)).abs().max()))
    return worst


def _read_onnx(path: Path) -> Callable[..., Tensor]:
    import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def again(*inputs: Tensor) -> Tensor:
        fed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    return again
