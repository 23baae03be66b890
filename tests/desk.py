"""A folder that holds something small and real for every name that README and docs use: photographs, data, runs."""

import csv
import shutil
from pathlib import Path

import torch
from PIL import Image

from attrimorph import load
from attrimorph.applications.edit import EditTarget, found_source
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces, shapes
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.requests.saved import saved_png
from tests import certificates
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model

ROOT = Path(__file__).parent.parent
PEOPLE = ("Ada_Stone", "Ben_Field", "Cleo_Marsh")
EACH = 24
PICTURES = ("photo", "face", "a", "b", "A", "B", "C", "D", "left", "right", "ada", "ben")
"""Names of single pictures, with .png and .jpg."""
IN_CLASSES = ("README.md",)
"""Pages whose photos/ are folders of two classes, as a camera names pictures; elsewhere a table tells attributes."""
PHOTOS = ("photos", "data/celeba", "data/people", "data/celeba-64", "celeba10k", ".../celeba10k", "PATH", "DIR", "DATA")
"""Folders of labelled pictures of people."""
PREPARED = ("faces", "tied", "prepared", "celeba64", "celeba32", "lfw-64", "data/faces", "faces400")
RUNS = {
    "cvae-gan-edit": ("mine", "any", "cvae-gan", "celeba-64", "layers-cvae"),
    "gan": ("gan",),
    "wgan-gp": ("wgan-gp",),
    "cgan": ("cgan",),
}
TRANSLATIONS = {"male": "Male", "blond": "Blond_Hair", "young": "Young", "smiling": "Smiling"}
TRANSLATIONS |= {f"cyclegan-{name}": attribute for name, attribute in TRANSLATIONS.items()}
PUBLISHED = {"networks.sees_face": False, "networks.prototypes": "mean"}
"""Fields of HomoInterpGAN before its mending."""


def lay(folder: Path) -> None:
    """Write all of it into a folder."""
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "src").symlink_to(ROOT / "src")  # with the photograph that README edits
    (drawn,) = faces.draw(3 * EACH, 64, 5)
    pictures = [Image.fromarray(each.numpy()) for each in drawn.images]
    for number, name in enumerate(PICTURES):
        pictures[number].save(folder / f"{name}.png")
        pictures[number].save(folder / f"{name}.jpg")
    party = Image.new("RGB", (720, 400), (90, 110, 120))
    for place, name in ((0, "man"), (400, "woman")):
        party.paste(
            Image.open(ROOT / "tests" / "fixtures" / "photographs" / f"{name}.jpg").resize((320, 320)), (place, 60)
        )
    party.save(folder / "party.jpg")
    (folder / "mine.yaml").write_text("recipe: cvae-gan\nname: mine\nlosses.kl: 2\n")
    Image.fromarray((torch.rand(64, 64) > 0.9).byte().mul(255).numpy()).save(folder / "scratch.png")
    first = folder / PHOTOS[0]
    (first / "images").mkdir(parents=True)
    with (first / "attributes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "split", *faces.SCHEMA.names, "identity"])
        for number, (picture, row) in enumerate(zip(pictures, drawn.attributes.int().tolist(), strict=True)):
            picture.save(first / "images" / f"{number:03d}.png")
            split = ("train", "train", "valid", "test")[number % 4]
            table.writerow([f"images/{number:03d}.png", split, *row, PEOPLE[number // EACH]])
        table.writerow(["anna.png", "train", *drawn.attributes[0].int().tolist(), PEOPLE[0]])
    pictures[0].save(first / "anna.png")
    for name in PHOTOS[1:]:
        shutil.copytree(first, folder / name)
    for number, picture in enumerate(pictures):
        person = PEOPLE[number // EACH]
        path = folder / "lfw" / person / f"{person}_{number % EACH + 1:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((250, 250)).save(path)
    for number, picture in enumerate(pictures):
        path = folder / "classes" / PEOPLE[number // EACH] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    for number, picture in enumerate(pictures):
        path = folder / "own" / ("neutral", "smiling")[number % 2] / f"IMG_{number // 2 + 1:04d}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    for number, picture in enumerate(pictures[:20]):
        path = folder / "freckles" / ("with", "without")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    write_faces(folder / PREPARED[0], count=48, size=64)
    for name in PREPARED[1:]:
        if name.endswith("32"):
            write_faces(folder / name, count=48, size=32)
        else:
            shutil.copytree(folder / PREPARED[0], folder / name)
    for method, names in RUNS.items():
        for seed, name in enumerate(names):
            tiny_model(folder / "runs" / name, method=method, size=64, seed=seed)
    people = Schema((Attribute("class", "categorical", values=PEOPLE),))
    tiny_model(folder / "runs" / "classes", size=64, schema=people)
    model = load("drawn-faces-64")
    source = found_source(model, pictures[5])
    (folder / "face.png").write_bytes(
        saved_png(model, source, EditTarget({"Smiling": 1.0}), None, model_name="drawn-faces-64")
    )
    signature = certificates.signature()
    (folder / "chain.pem").write_bytes(signature.certificates)
    (folder / "key.pem").write_bytes(signature.key)
    tiny_layers(folder / "runs" / "layers", size=64)
    for seed, (name, attribute) in enumerate(TRANSLATIONS.items()):
        changes = {"domains.attribute": attribute, "training.seed": seed, "data.image_size": 64}
        small_model(folder / "runs" / name, "cyclegan-64", changes)
    size = {"data.image_size": 64}
    for name, fields in (("homointerp-64", {}), ("mended", {}), ("published", PUBLISHED)):
        small_model(folder / "runs" / name, "homointerp-drawn-64", {**fields, **size})
        small_model(folder / "runs" / f"{name}-shapes", "homointerp-drawn-64", {**fields, **size}, schema=shapes.SCHEMA)
