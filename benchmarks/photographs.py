"""A person's photograph: faces found, and what `edit` makes of its file.

    python benchmarks/photographs.py [--lfw FOLDER] [--count 400]

Draws photographs of odd sizes in every format, orientation and depth, edits each, and prints a table: pixels changed
outside the frame, the steepest change of the difference at its rim, time and memory. With LFW (deep-funneled) it counts
the faces that are found: upright, turned, and 40 pixels large.
"""

import argparse
import io
import itertools
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from attrimorph import load
from attrimorph.applications.edit import trained_on, whole_frame
from attrimorph.data.faces import TURNS, Face, find_faces
from attrimorph.data.images import align
from attrimorph.photographs.faces import frames_of
from attrimorph.photographs.file import Photograph, read_photograph

PEOPLE = Path(__file__).parents[1] / "tests" / "fixtures" / "photographs"
# Of LFW's pictures, 250 x 250: where the middle of the eyes lies (the median of 400), how far from there a face's may
# lie, and how far its eyes may be apart.
MIDDLE, NEAR, APART = (125.0, 112.2), 25.0, (18.0, 62.0)
BOX = 84.0  # pixels of a face's width there
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def found(faces: list[Face], middle: tuple[float, float], scale: float, turns: int) -> bool:
    """Tell whether one of the faces lies where it should, the right way up."""
    for face in faces:
        left, right = (complex(*eye) for eye in face.eyes)
        angle = np.angle((right - left) * 1j**turns, deg=True)
        near = abs((left + right) / 2 - complex(*middle)) < NEAR * scale
        if near and APART[0] < abs(right - left) / scale < APART[1] and abs(angle) < 45:
            return True
    return False


def recall(folder: Path, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield how many faces of LFW are found."""
    paths = sorted(folder.rglob("*.jpg"))
    random.Random(0).shuffle(paths)
    told: dict[str, list[bool]] = defaultdict(list)
    x, y = MIDDLE
    for path in paths[:count]:
        image = Image.open(path).convert("RGB")
        told["LFW"].append(found(find_faces(image), MIDDLE, 1, 0))
        for turns, middle in ((1, (y, 250 - x)), (2, (250 - x, 250 - y)), (3, (250 - y, x))):
            turned = image.transpose(TURNS[turns])
            told["LFW turned by 90, 180, 270 degrees"].append(found(find_faces(turned), middle, 1, turns))
        scale = 40 / BOX
        small = image.resize((round(250 * scale), round(250 * scale)), Image.Resampling.BICUBIC)
        told["faces of 40 pixels"].append(found(find_faces(small), (x * scale, y * scale), scale, 0))
    for (name, values), bar in zip(told.items(), ("98 %", "95 %", "90 %"), strict=True):
        yield f"{name}: found", f"{np.mean(values):.1%} of {len(values):,}", bar


def false_faces(count: int = 300) -> tuple[str, str, str]:
    """Return how often a face is seen where there is none: noise of all roughness, shapes, and parts of photographs."""
    numbers, seen = np.random.default_rng(0), 0
    room = np.asarray(Image.open(PEOPLE / "man.jpg").convert("RGB"))
    parts = [room[170:, :], room[:, 175:], room[:60, :]]
    for index in range(count):
        size = int(numbers.integers(100, 400))
        if index % 3 == 2:
            pixels = np.rot90(parts[index // 3 % 3], int(numbers.integers(4)))
            image = Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size))
        else:
            frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))) + 1 / size
            waves = np.fft.fft2(numbers.normal(size=(3, size, size))) / frequency ** numbers.uniform(0, 2)
            values = np.fft.ifft2(waves).real.transpose(1, 2, 0)
            values = (values - values.min()) / np.ptp(values) * 255
            image = Image.fromarray((values.round(-1) if index % 3 else values).astype(np.uint8))
        seen += bool(find_faces(image))
    return "pictures without a face in which one is seen", f"{seen / count:.1%} of {count}", "1 %"


def alignment() -> tuple[str, str, str]:
    """Return how many photographs of 1024 x 1024 pixels are read and aligned in a second."""
    buffers = []
    for name in ("woman", "man"):
        buffer = io.BytesIO()
        Image.open(PEOPLE / f"{name}.jpg").resize((1024, 1024), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        buffers.append(buffer)
    align(Image.open(buffers[0]).convert("RGB"), 128)
    begin, spent = time.perf_counter(), time.process_time()
    for index in range(20):
        align(Image.open(buffers[index % 2]).convert("RGB"), 128)
    wall, spent = time.perf_counter() - begin, time.process_time() - spent
    return "photographs of 1024 px aligned in a second, one core", f"{20 / wall:.0f} ({20 / spent:.0f} of CPU)", "20"


def drawn(folder: Path) -> Iterator[Path]:
    """Write photographs of odd sizes in every format, depth and orientation; yields 200 paths."""
    sizes = [(301, 257), (256, 403), (333, 333), (512, 299), (277, 500)]
    kinds = [("png", "RGB"), ("png", "RGBA"), ("png", "L"), ("tif", "RGB"), ("webp", "RGB")]
    for number, ((width, height), (suffix, mode), orientation) in enumerate(
        itertools.product(sizes, kinds, range(1, 9))
    ):
        scene = Image.effect_noise((width, height), 40).convert("RGB")
        person = Image.open(PEOPLE / f"{'wo' * (number % 2)}man.jpg")
        scene.paste(person.resize((240, 240), Image.Resampling.BICUBIC), (number % (width - 240), 3))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = scene
        if orientation != 1:  # laid in the file as a camera lays it
            back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
            stored = scene.transpose(Image.Transpose(back))
        stored = stored.convert(mode)
        if mode == "RGBA":
            stored.putalpha(Image.linear_gradient("L").resize(stored.size))
        path = folder / f"{number:03d}-{orientation}-{mode}.{suffix}"
        profile = PROFILE if mode != "L" else None
        options = {"lossless": True, "exact": True} if suffix == "webp" else {}
        stored.save(path, exif=exif, icc_profile=profile, **options)
        if suffix == "png" and mode == "RGB" and number % 2:  # of 16 bits
            photograph = read_photograph(path)
            deep = photograph.pixels.astype(np.uint16) * 257 + np.arange(3, dtype=np.uint16)
            deep = np.minimum(deep, 65535).astype(np.uint16)
            Photograph(deep, "PNG", orientation, parts=photograph.parts).write(path)
        yield path


def kept(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Edit drawn photographs by one command and yield what became of them."""
    (folder / "in").mkdir()
    paths = list(drawn(folder / "in"))
    command = ["edit", str(folder / "in"), "--set", "Eyeglasses=1", "--out", str(folder / "out")]
    subprocess.run([sys.executable, "-m", "attrimorph", *command], check=True, stdout=subprocess.DEVNULL)
    outside = edited = wrong = 0
    steepest = 0.0
    for path in paths:
        before, after = read_photograph(path), read_photograph(folder / "out" / path.name)
        with Image.open(path) as one, Image.open(folder / "out" / path.name) as other:
            same = one.size == other.size and one.mode == other.mode and before.orientation == after.orientation
            same = same and one.info.get("icc_profile") == other.info.get("icc_profile")
        wrong += not (same and before.pixels.dtype == after.pixels.dtype and before.pixels.shape == after.pixels.shape)
        difference = after.pixels.astype(float) - before.pixels
        inside = inside_frame(before)
        outside += int((difference[~inside] != 0).sum())
        edited += bool(difference.any())
        top = np.iinfo(before.pixels.dtype).max
        wide = np.pad(inside, 1, mode="edge")  # where the photograph ends there is no rim
        shrunk = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        rim = inside & ~shrunk
        steepest = max(steepest, float(np.abs(difference[rim]).max(initial=0)) / top * 255)
    yield "photographs changed; with another size, mode, depth, orientation or profile", f"{edited}; {wrong}", "200; 0"
    yield "pixels changed outside the frame", str(outside), "0"
    yield "largest change at the rim, of 255", f"{steepest:.2f}", "1"


def inside_frame(photograph: Photograph) -> np.ndarray:
    """Return which pixels lie in the frame, [H, W]."""
    image = photograph.rgb()
    model = load("drawn-faces-64")
    ((frame,), _) = frames_of(image, whole_frame(model, image), **trained_on(model))
    y, x = np.mgrid[: image.height, : image.width] + 0.5
    a, b, c, d, e, f = frame.inverse
    right, down = a * x + b * y + c, d * x + e * y + f
    # A pixel that the rim passes through counts as inside.
    slack = 0.75 / frame.scale
    return (np.minimum(right, down) > -slack) & (np.maximum(right, down) < frame.side + slack)


def cost(folder: Path, megapixels: int) -> Iterator[tuple[str, str, str]]:
    """Yield what one edit of a large JPEG takes, beside importing torch and Pillow's own decoding and encoding."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5)
    scene = Image.effect_noise((height * 3 // 2, height), 20).convert("RGB")
    person = Image.open(PEOPLE / "man.jpg")
    scene.paste(person.resize((height // 2, height // 2), Image.Resampling.BICUBIC), (height // 2, height // 4))
    path = folder / f"{megapixels}.jpg"
    scene.save(path, quality=92)
    pillow = (
        f"import torch; from PIL import Image; Image.open({str(path)!r}).save({str(folder / 'p.jpg')!r}, quality=92)"
    )
    edit = ["-m", "attrimorph", "edit", str(path), "--set", "Smiling=1", "--out", str(folder / "made.png")]
    bare, _ = measured("-c", pillow)
    ours, memory = measured(*edit)
    yield f"edit of {megapixels} megapixels over import torch and Pillow", f"{ours / bare:.1f} ({ours:.1f} s)", "2.0"
    yield f"its memory at {megapixels} megapixels, GB", f"{memory:.2f}", "1"


def measured(*words: str) -> tuple[float, float]:
    """Return the least wall time of three runs, in seconds, and the resident memory of the largest in GB."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
        taken.append(time.perf_counter() - begin)
    return min(taken), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lfw", type=Path, help="the folder lfw-deepfunneled")
    parser.add_argument("--count", type=int, default=400, help="pictures of LFW")
    parser.add_argument("--only", choices=["faces", "files", "cost"], help="a part")
    words = parser.parse_args()
    print("| what | now | bar |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        parts: dict[str, list[Iterator[tuple[str, str, str]]]] = {
            "faces": [
                iter([alignment(), false_faces()]) if words.only in (None, "faces") else iter([]),
                recall(words.lfw, words.count) if words.lfw else iter([]),
            ],
            "cost": [cost(Path(name), 12), cost(Path(name), 24)],
            "files": [kept(Path(name))],
        }
        for part, rows in parts.items():
            if words.only in (None, part):
                for row in itertools.chain(*rows):
                    print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
