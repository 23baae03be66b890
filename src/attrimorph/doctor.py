"""What this machine offers and lacks: read, tried and measured, not guessed."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from attrimorph.version import __version__

# Extra -> the modules it brings, and what is lost without them.
EXTRAS = {
    "c2pa": (("c2pa", "cryptography"), "signed pictures from the studio"),
    "hub": (("huggingface_hub",), "models from and to the Hugging Face hub"),
    "masks": (("cv2",), "data mask"),
    "export": (("onnx", "onnxscript", "onnxruntime"), "models as ONNX files"),
    "parquet": (("pyarrow",), "data in parquet files"),
    "ray": (("ray", "pyarrow", "pandas"), "batch, data sets of any size"),
    "studio": (("fastapi", "uvicorn", "websockets"), "the studio, a page with sliders"),
    "tensorboard": (("tensorboard",), "TensorBoard logs of a training run"),
    "video": (("av",), "morph --mp4"),
}
LEAST_FREE_GIB = 2.0


@dataclass(frozen=True)
class Line:
    """One line of the report.

    Attributes:
        name: what was looked at.
        text: what was found.
        remedy: what to do about it; empty when all is well.
        bad: True when attrimorph cannot work like this.
    """

    name: str
    text: str
    remedy: str = ""
    bad: bool = False


def examine() -> Iterator[Line]:
    """Look at everything, in the order in which trouble usually comes."""
    yield Line("attrimorph", f"{__version__} in {Path(__file__).parent}")
    yield Line("python", f"{platform.python_version()} ({sys.executable}), {platform.platform()}")
    yield from _packages()
    yield from _torch()
    yield _memory()
    yield _disk(Path.cwd())
    yield from _extras()
    yield _shipped()


def _packages() -> Iterator[Line]:
    names = ("torch", "numpy", "pillow", "pydantic", "cyclopts", "safetensors")
    yield Line("packages", ", ".join(f"{name} {_version(name)}" for name in names))
    if _findable("torchvision"):
        yield Line(
            "torchvision",
            f"{_version('torchvision')} is installed; attrimorph does not use it",
            remedy="beside a CPU build of torch it breaks other packages' imports; uninstall it if they fail",
        )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _findable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _torch() -> Iterator[Line]:
    import torch

    from attrimorph.loading import default_device
    from attrimorph.training import choose_fast_path

    yield Line("cores", f"{os.cpu_count()}; torch uses {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield Line(f"cuda:{index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        yield Line("gpu", "none that torch can use; everything runs on the CPU")
    path = choose_fast_path(device=default_device())
    shown = ", ".join(f"{way} {time:.1f} ms" for way, time in path.milliseconds.items())
    exact = "; a training's float32 products run as TF32, all others exactly" if path.tf32 else ""
    yield Line("speed", f"{path.precision} {path.memory_format} is chosen here{exact}; a small step takes: {shown}")


def _memory() -> Line:
    if not {"SC_PHYS_PAGES", "SC_AVPHYS_PAGES", "SC_PAGE_SIZE"} <= set(os.sysconf_names):
        return Line("memory", "this system does not say")
    page = os.sysconf("SC_PAGE_SIZE") / 2**30
    total, free = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    return Line("memory", f"{total:.1f} GiB, {free:.1f} GiB of it unused")


def _disk(folder: Path) -> Line:
    free = shutil.disk_usage(folder).free / 2**30
    text, remedy = f"{free:.1f} GiB free in {folder}", ""
    if free < LEAST_FREE_GIB:
        remedy = f"runs want {LEAST_FREE_GIB:.0f} GiB; free some space"
    elif not os.access(folder, os.W_OK | os.X_OK):
        text, remedy = f"{folder} cannot be written", "give results another folder with --out"
    return Line("disk", text, remedy)


def _extras() -> Iterator[Line]:
    for extra, (modules, purpose) in EXTRAS.items():
        if all(map(_findable, modules)):
            yield Line(f"extra {extra}", "installed")
        else:
            yield Line(f"extra {extra}", "not installed", remedy=f"pip install 'attrimorph[{extra}]' for {purpose}")


def _shipped() -> Line:
    from attrimorph.models import shipped

    if names := shipped():
        return Line("shipped models", ", ".join(names))
    return Line("shipped models", "none found", remedy="install attrimorph again", bad=True)
