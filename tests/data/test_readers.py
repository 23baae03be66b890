"""Each reader on small data in its publisher's exact layout, and on the real sets where they are at hand."""

import json
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data.check import check
from attrimorph.data.readers import detect, people, read, recognise
from attrimorph.data.readers.raw import assign_split
from attrimorph.data.readers.species import read_mat
from attrimorph.errors import AttrimorphError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def image(path: Path, size: tuple[int, int] = (12, 10), colour: tuple[int, int, int] = (200, 100, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def celeba(folder: Path, count: int = 6) -> Path:
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for name in names:
        image(folder / "img_align_celeba" / name)
    write(
        folder / "list_attr_celeba.txt",
        str(count),
        "Black_Hair Blond_Hair Smiling ",
        *(f"{name} -1  1 {1 if row % 2 else -1} " for row, name in enumerate(names)),
    )
    write(folder / "identity_CelebA.txt", *(f"{name} {2880 + row // 2}" for row, name in enumerate(names)))
    write(folder / "list_eval_partition.txt", *(f"{name} {min(row, 2)}" for row, name in enumerate(names)))
    return folder


def test_celeba(tmp_path: Path) -> None:
    raw = read(celeba(tmp_path))
    assert raw.name == "celeba"
    assert raw.schema.names == ("Black_Hair", "Blond_Hair", "Smiling")
    assert raw.schema.exclusive == (("Black_Hair", "Blond_Hair"),)
    assert raw.relative()[0] == "img_align_celeba/000001.jpg"
    assert raw.split == ["train", "valid", "test", "test", "test", "test"]
    assert raw.identity == [2880, 2880, 2881, 2881, 2882, 2882]
    assert raw.schema.encode(raw.table).tolist() == [[0, 1, row % 2] for row in range(6)]
    # The usual crop of 148 of 178 pixels.
    assert raw.crop is not None
    assert (raw.crop.right - raw.crop.left, raw.crop.of) == (148, (178, 218))


def test_celeba_as_csv(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        image(tmp_path / "img_align_celeba" / "img_align_celeba" / f"{number:06d}.jpg")
    write(
        tmp_path / "list_attr_celeba.csv", "image_id,Male,Young", "000001.jpg,-1,1", "000002.jpg,1,1", "000009.jpg,1,1"
    )
    write(tmp_path / "list_eval_partition.csv", "image_id,partition", "000001.jpg,0", "000002.jpg,2")
    raw = read(tmp_path)
    assert raw.schema.encode(raw.table).tolist() == [[0, 1], [1, 1]]
    assert raw.split == ["train", "test"]
    assert raw.rows_without_image == ["000009.jpg"]
    assert raw.images_without_row == ["000003.jpg"]
    assert raw.identity == [-1, -1]


def test_celeba_as_unpacked_archive(tmp_path: Path) -> None:
    celeba(tmp_path)
    for name, place in (
        ("list_attr_celeba.txt", "Anno"),
        ("identity_CelebA.txt", "Anno"),
        ("list_eval_partition.txt", "Eval"),
        ("img_align_celeba", "Img"),
    ):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / place / name)
    raw = read(tmp_path)
    assert (len(raw), raw.identity[5], raw.split[2]) == (6, 2882, "test")


def test_celeba_without_partition_keeps_people_apart(tmp_path: Path) -> None:
    celeba(tmp_path, 60)
    (tmp_path / "list_eval_partition.txt").unlink()
    raw = read(tmp_path)
    where = {
        person: {split for split, who in zip(raw.split, raw.identity, strict=True) if who == person}
        for person in raw.identity
    }
    assert all(len(splits) == 1 for splits in where.values())
    assert {split: raw.split.count(split) for split in ("train", "valid", "test")} == {
        "train": 48,
        "valid": 6,
        "test": 6,
    }


def test_ten_thousand_rows_of_forty_read_within_seconds(tmp_path: Path) -> None:
    celeba(tmp_path)
    names = [f"{number:06d}.jpg" for number in range(1, 10_001)]
    values = " ".join(["-1", " 1"] * 20)
    lines = (f"{name} {values}" for name in names)
    write(tmp_path / "list_attr_celeba.txt", "10000", " ".join(f"A{i}" for i in range(40)), *lines)
    begin = time.process_time()
    raw = read(tmp_path)
    y = raw.schema.encode({name: [-1, 1] * 5000 for name in raw.schema.names})
    assert time.process_time() - begin < 2.0
    assert len(raw.rows_without_image) == 9994
    assert raw.schema.encode(raw.table)[5].tolist() == [0, 1] * 20
    assert y.shape == (10_000, 40)
    assert y.sum() == 200_000


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("list_attr_celeba.txt", ["2", "A B", "000001.jpg 1"], "must have 2 values; row 3 has 1"),
        ("list_attr_celeba.txt", ["2", "A B", "000001.jpg 1 1", "000002.jpg 1 1 1"], "must have 2 values; row 4 has 3"),
        ("list_attr_celeba.txt", ["2", "A B", "000001.jpg 1 7"], "must be -1, 0 or 1; row 3 has '7'"),
        ("list_attr_celeba.txt", ["2"], "must have a count, names and rows"),
        ("list_attr_celeba.txt", ["1", "A A", "000001.jpg 1 1"], "'A' stands twice"),
        ("list_attr_celeba.txt", ["1", "A", "nobody.jpg 1"], "none was found"),
        ("list_eval_partition.txt", ["000001.jpg 5"], "must hold 0, 1 or 2; got 5"),
        ("list_eval_partition.txt", ["000001.jpg"], "must have 2 fields; line 1 has 1"),
        ("identity_CelebA.txt", ["000001.jpg Ada"], "must be a whole number; got 'Ada'"),
    ],
)
def test_broken_celeba_is_told(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    write(celeba(tmp_path) / name, *lines)
    with pytest.raises(AttrimorphError, match=message):
        read(tmp_path)


def lfw_folder(folder: Path) -> Path:
    for person, count in (("Ada_Lovelace", 12), ("Bo_Li", 12), ("Cy_Young", 2)):
        for number in range(1, count + 1):
            image(folder / "lfw-deepfunneled" / person / f"{person}_{number:04d}.jpg")
    write(folder / "pairs.txt", "2\t1", "Ada_Lovelace\t1\t2", "Ada_Lovelace\t1\tCy_Young\t2")
    return folder


def test_lfw_people(tmp_path: Path) -> None:
    raw = people.read_people(lfw_folder(tmp_path), min_images=10)
    assert detect(tmp_path) == "lfw"
    assert raw.schema.attributes[0].values == ("Ada_Lovelace", "Bo_Li")
    assert len(raw) == 24
    assert "2 of 3 people" in raw.notes[0]
    for person in ("Ada_Lovelace", "Bo_Li"):
        own = [split for split, who in zip(raw.split, raw.table["person"], strict=True) if who == person]
        assert [own.count(split) for split in ("train", "valid", "test")] == [10, 1, 1]
    with pytest.raises(AttrimorphError, match="at least two people with 20 images"):
        people.read_people(tmp_path)


def test_lfw_is_told_by_every_name(tmp_path: Path) -> None:
    for person in ("Aaron_Eckhart", "Ann_Veneman", "Abdullah"):
        image(tmp_path / person / f"{person}_0001.jpg", (250, 250))
    assert recognise(tmp_path) == ("lfw", "each of the 3 files is NAME/NAME_0001.jpg, of 3 people")
    image(tmp_path / "Ann_Veneman" / "IMG_0002.jpg")
    assert detect(tmp_path) == "classes"
    assert people.read_people(tmp_path, min_images=1).images_without_row == ["Ann_Veneman/IMG_0002.jpg"]


@pytest.mark.parametrize(
    ("names", "format", "values"),
    [
        # The names that cameras give, the same in both.
        (["smiling/IMG_0001.JPG", "neutral/IMG_0001.JPG"], "classes", ("neutral", "smiling")),
        # Named after their class, as people are in LFW.
        (["cat/cat_0001.jpg", "dog/dog_0001.jpg"], "classes", ("cat", "dog")),
        (["smiling/smiling_0001.jpg", "not_smiling/not_smiling_0001.jpg"], "classes", ("not_smiling", "smiling")),
        (["Cat/Cat_0001.jpg", "Dog/DSC_0001.jpg"], "classes", ("Cat", "Dog")),
        (
            ["Maine_Coon/Maine_Coon_0001.jpg", "Saint_Bernard/Saint_Bernard_0001.jpg"],
            "classes",
            ("Maine_Coon", "Saint_Bernard"),
        ),
        # As archives unpack, a folder in a folder; split folders around the classes and inside them.
        (["archive/archive/cat/1.jpg", "archive/archive/dog/1.jpg"], "classes", ("cat", "dog")),
        (["training_set/cat/1.jpg", "training_set/dog/1.jpg", "test_set/cat/1.jpg"], "classes", ("cat", "dog")),
        (["cat/train/1.jpg", "dog/train/1.jpg", "cat/test/2.jpg"], "classes", ("cat", "dog")),
        # Doubled, as Kaggle's are; splits called after more than the split.
        (
            [
                "training_set/training_set/cat/1.jpg",
                "training_set/training_set/dog/1.jpg",
                "test_set/test_set/cat/2.jpg",
            ],
            "classes",
            ("cat", "dog"),
        ),
        (
            ["a/seg_train/seg_train/sea/1.jpg", "a/seg_test/seg_test/sea/2.jpg", "a/seg_test/seg_test/ice/3.jpg"],
            "classes",
            ("ice", "sea"),
        ),
        (["Train-Data/cat/1.jpg", "Train-Data/dog/1.jpg", "Test-Data/cat/2.jpg"], "classes", ("cat", "dog")),
        (["train/1.jpg", "bus/1.jpg", "car/1.jpg"], "classes", ("bus", "car", "train")),
        # One folder, or none, tells nothing apart.
        (["IMG_0001.jpg", "IMG_0002.jpg"], "images", None),
        (["cat/cat_0001.jpg", "cat/cat_0002.jpg"], "images", None),
        (["Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart/Aaron_Eckhart_0002.jpg"], "images", None),
        (["train/1.jpg", "test/2.jpg"], "images", None),
        (["2024/summer/1.jpg", "2024/summer/2.jpg"], "images", None),
    ],
)
def test_folders_of_strangers(tmp_path: Path, names: list[str], format: str, values: tuple[str, ...] | None) -> None:
    for name in names:
        image(tmp_path / name)
    raw = read(tmp_path)
    assert (raw.name, len(raw)) == (format, len(names))
    assert raw.images_without_row == raw.notes == []
    assert (raw.schema.attributes[0].values if raw.schema.attributes else None) == values
    inside = [part in ("test", "test_set", "seg_test", "Test-Data") for name in names for part in name.split("/")[:3]]
    assert ("test" in raw.split) == any(inside)
    assert raw.encode().shape == (len(names), len(values or ()))


def test_folders_whose_names_repeat_are_refused(tmp_path: Path) -> None:
    for name in ("red/car/1.jpg", "red/bus/2.jpg", "blue/car/3.jpg", "blue/bus/4.jpg"):
        image(tmp_path / name)
    with pytest.raises(
        AttrimorphError, match=r"blue, red hold folders of the same names, bus, car; .*--format classes"
    ):
        read(tmp_path)
    assert read(tmp_path, "classes").schema.attributes[0].values == ("blue", "red")


def test_what_this_program_made_is_no_data(tmp_path: Path) -> None:
    for name in (
        "cat/1.png",
        "dog/2.png",
        "dog/face.png",
        "dog/face.edited.png",
        "dog/retouched.png",
        "dog/made-1.png",
        "dog/sub/deep.png",
    ):
        image(tmp_path / name)
    receipt = {"format": "attrimorph receipt", "verb": "edit"}
    outputs = [{"file": name} for name in ("face.png", "face.edited.png", "sub/deep.png")]
    write(tmp_path / "dog/face.json", json.dumps({**receipt, "outputs": outputs}, indent=2))
    write(tmp_path / "dog/set.json", json.dumps({**receipt, "verb": "augment", "outputs": [{"file": "made-1.png"}]}))
    write(tmp_path / "dog/retouched.json", json.dumps({"format": "of somebody else"}))
    for name in ("runs/a/samples/1.png", "dog/prepared/left.png", ".attrimorph/16/a.png"):
        image(tmp_path / name)
    write(tmp_path / "runs/a/recipe.json", "{}")
    write(tmp_path / "dog/prepared/schema.json", "{}")
    write(tmp_path / "dog/prepared/images.npy", "")
    write(tmp_path / "film.mp4", "")
    write(tmp_path / "cat/without", "")
    raw = read(tmp_path)
    assert raw.relative() == ["cat/1.png", "dog/2.png", "dog/made-1.png", "dog/retouched.png"]
    assert raw.notes == [
        "2 runs and prepared folders of this program were left out",
        "3 results of this program were left out",
        "files that are no images were passed over: 1 without ending, 3 .json, 1 .mp4",
    ]
    with pytest.raises(AttrimorphError, match="it is a run, or prepared; name the images' folder"):
        read(tmp_path / "runs" / "a")


def test_what_never_ends_is_no_picture_and_no_table(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        image(tmp_path / name)
    os.mkfifo(tmp_path / "cat/pipe.png")
    os.symlink("/dev/zero", tmp_path / "dog/zero.jpg")
    os.mkfifo(tmp_path / "labels.csv")
    with (tmp_path / "dog/large.png").open("wb") as file:
        file.truncate(2**31)
    raw = read(tmp_path)
    assert raw.relative() == ["cat/1.png", "dog/2.png", "dog/large.png"]
    assert raw.notes[0] == "2 pipes and devices were left out"
    told = [issue.text for issue in check(tmp_path).findings]
    assert any("large.png must have at most 1,024 MiB; it has 2,048" in sentence for sentence in told), told
    with pytest.raises(AttrimorphError, match=r"labels.csv must be a plain file; it is a device"):
        read(tmp_path, table=tmp_path / "labels.csv")


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jfif", "c.JPE"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name, "JPEG")
    Image.new("RGB", (9, 9)).save(tmp_path / "g.avif")
    for name in ("d.heic", "e.HEIC", "f.jxl"):
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path / "labels.csv", "file,a", "a.jpg,1")
    raw = read(tmp_path)
    assert len(raw) == 4
    assert raw.notes[0].startswith("3 pictures of types that are not read were left out: 2 .heic, 1 .jxl")
    assert f"--table {tmp_path / 'labels.csv'} reads them" in raw.notes[1]
    assert read(tmp_path, table=tmp_path / "labels.csv").schema.names == ("a",)


@pytest.mark.parametrize("named", ["", "sub/", "/home/someone/photos/", "C:\\photos\\"])
def test_a_table_of_any_name_and_place(tmp_path: Path, named: str) -> None:
    photos, labels = tmp_path / "photos", tmp_path / "elsewhere" / "my labels.csv"
    for number in range(4):
        image(photos / "in" / f"P{number}.JPG")
    write(labels, "age;Photo", *(f"{number + 20};{named}P{number}.JPG" for number in range(3)))
    raw = read(photos, table=labels)
    assert (raw.name, raw.schema.names, len(raw)) == ("table", ("age",), 3)
    assert raw.images_without_row == ["in/P3.JPG"]
    assert raw.notes == [
        "the column 'Photo' of my labels.csv was taken for the names of the files",
        "3 rows of my labels.csv were matched to images by the last part of their names",
    ]
    # A name that two images have says nothing.
    image(photos / "other" / "P0.JPG")
    assert len(read(photos, table=labels)) == 2
    with pytest.raises(AttrimorphError, match="goes with the format table; got classes"):
        read(photos, "classes", table=labels)
    with pytest.raises(AttrimorphError, match=r"cannot read .*nothing\.csv"):
        read(photos, table=Path("nothing.csv"))


@pytest.mark.parametrize("lines", [["file", "0.png"], ["file_name,split", "0.png,train"], ["file,same", "0.png,x"]])
def test_a_table_of_names_alone_has_no_labels(tmp_path: Path, lines: list[str]) -> None:
    raw = read(table(tmp_path, *lines))
    assert (raw.schema.attributes, len(raw), raw.encode().shape) == ((), 1, (1, 0))
    assert raw.notes[-1] == "attributes.csv has no column of labels: the images are read without labels"


def test_lfw_pairs(tmp_path: Path) -> None:
    pairs = people.read_pairs(lfw_folder(tmp_path))
    assert [pair.same for pair in pairs] == [True, False]
    assert pairs[1].second.name == "Cy_Young_0002.jpg"
    write(tmp_path / "pairs.txt", "1", "Ada_Lovelace 1 99")
    with pytest.raises(AttrimorphError, match=r"Ada_Lovelace_0099\.jpg; there is no such image"):
        people.read_pairs(tmp_path)
    write(tmp_path / "pairs.txt", "1", "Ada_Lovelace 1")
    with pytest.raises(AttrimorphError, match="3 or 4 fields; line 2 has 2"):
        people.read_pairs(tmp_path)


@pytest.mark.parametrize("official", [True, False])
def test_lfw_attributes(tmp_path: Path, official: bool) -> None:
    lfw_folder(tmp_path)
    rows = [("Ada Lovelace", "1", "0.5", "-1"), ("Bo Li", "3", "1.5", "3"), ("No Body", "1", "9", "9")]
    if official:
        write(
            tmp_path / "lfw_attributes.txt",
            "# LFW attributes",
            "#\tperson\timagenum\tMale\t5 o' Clock Shadow",
            *("\t".join(row) for row in rows),
        )
    else:
        write(
            tmp_path / "lfw_attr_test.csv", "person,imagenum,Male,5 o' Clock Shadow", *(",".join(row) for row in rows)
        )
    raw = read(tmp_path)
    assert raw.name == "lfw-attributes"
    assert raw.schema.names == ("Male", "5 o' Clock Shadow")
    assert raw.rows_without_image == ["No_Body_0001.jpg"]
    assert len(raw.images_without_row) == 24
    # Two images, both train: mean 1, standard deviation 0.5.
    assert raw.schema.encode(raw.table)[:, 0].tolist() == [-1, 1]
    assert (raw.schema.attributes[0].mean, raw.schema.attributes[0].scale) == (1.0, 0.5)


def test_utkface(tmp_path: Path) -> None:
    for name in (
        "26_1_0_20170116174525125",
        "80_0_4_20170116174525126",
        "24_0_1_20170116220224657 ",
        "55_0_0_2017011623jpg",
    ):
        image(tmp_path / "UTKFace" / f"{name}{'' if 'jpg' in name else '.jpg.chip'}.jpg")
    raw = read(tmp_path)
    assert raw.name == "utkface"
    assert raw.table["age"] == [24, 26, 55, 80]
    assert raw.table["Male"] == [1, 0, 1, 1]
    assert raw.table["race"] == ["Black", "White", "White", "Others"]
    assert raw.schema.encode(raw.table)[3, 2:].tolist() == [0, 0, 0, 0, 1]
    for odd in ("300_1_0_20170116174525125", "24_0_12_20170116174525125", "61_3_20170109150557335", "holiday"):
        image(tmp_path / "UTKFace" / f"{odd}.jpg")
    assert [name.partition("/")[2] for name in read(tmp_path, "utkface").images_without_row] == [
        "24_0_12_20170116174525125.jpg",
        "300_1_0_20170116174525125.jpg",
        "61_3_20170109150557335.jpg",
        "holiday.jpg",
    ]


def cub(folder: Path) -> Path:
    base = folder / "CUB_200_2011"
    kinds = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    paths = [f"{kinds[number % 2]}/Bird_{number:04d}.jpg" for number in range(1, 5)]
    for path in paths:
        image(base / "images" / path)
        segmentation = folder / "segmentations" / path.replace(".jpg", ".png")
        segmentation.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 10), 255).save(segmentation)
    write(base / "images.txt", *(f"{number} {path}" for number, path in enumerate(paths, 1)))
    write(base / "image_class_labels.txt", *(f"{number} {number % 2 + 1}" for number in range(1, 5)))
    write(base / "classes.txt", *(f"{number} {kind}" for number, kind in enumerate(kinds, 1)))
    write(base / "train_test_split.txt", "1 1", "2 1", "3 0", "4 0")
    write(folder / "attributes.txt", "1 has_bill_shape::curved_(up_or_down)", "2 has_wing_color::blue")
    write(
        base / "attributes" / "image_attribute_labels.txt",
        # image attribute is_present certainty seconds; certainty 1 = not visible; the fourth has a field too many.
        "1 1 1 4 2.5", "1 2 0 1 2.5", "2 1 0 3 1.2", "2 2 1 2 0 3.1",
        "3 1 1 4 1", "3 2 1 4 1", "4 1 0 4 1", "4 2 0 4 1",
    )  # fmt: skip
    return folder


def test_cub(tmp_path: Path) -> None:
    raw = read(cub(tmp_path))
    assert raw.name == "cub"
    assert raw.schema.names == ("species", "has_bill_shape::curved_(up_or_down)", "has_wing_color::blue")
    assert raw.table["species"][:2] == ["002.Laysan_Albatross", "001.Black_footed_Albatross"]
    assert raw.split == ["train", "train", "test", "test"]
    expected = [[0, 1, 1, np.nan], [1, 0, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(raw.schema.encode(raw.table), np.array(expected, np.float32))
    assert raw.masks is not None
    assert raw.masks[0] == tmp_path / "segmentations" / "002.Laysan_Albatross" / "Bird_0001.png"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("images.txt", ["1"], "must have 2 fields; line 1 has 1"),
        ("images.txt", ["one a.jpg"], "must be a whole number; got 'one'"),
        ("image_class_labels.txt", ["1 1"], "must label every image; image 2"),
        ("image_class_labels.txt", ["1 1", "2 9", "3 1", "4 1"], "gives image 2 the class 9"),
        ("attributes/image_attribute_labels.txt", ["1 1 1"], "must hold lines of image, attribute"),
        ("attributes/image_attribute_labels.txt", ["1 7 1 4"], "names the attribute 7"),
        ("attributes/image_attribute_labels.txt", ["1 1 5 4"], "must be 0 or 1"),
    ],
)
def test_broken_cub_is_told(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    write(cub(tmp_path) / "CUB_200_2011" / name, *lines)
    with pytest.raises(AttrimorphError, match=message):
        read(tmp_path)


def mat(path: Path, arrays: dict[str, np.ndarray], compressed: bool = True) -> None:
    """Write numeric arrays as MATLAB 5 does: the layout of its file format description, for the tests alone."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    content = b""
    for name, array in arrays.items():
        flags = element(6, struct.pack("<II", 9, 0))
        shape = element(5, np.array(array.shape, "<i4").tobytes())
        # A name of at most four letters is packed into the tag, as MATLAB does.
        short = len(name) <= 4
        title = struct.pack("<HH4s", 1, len(name), name.encode()) if short else element(1, name.encode())
        matrix = element(14, flags + shape + title + element(2, array.astype("u1").tobytes(order="F")))
        packed = zlib.compress(matrix)
        content += struct.pack("<II", 15, len(packed)) + packed if compressed else matrix
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + content)


def flowers(folder: Path) -> Path:
    for number in range(1, 7):
        image(folder / "jpg" / f"image_{number:05d}.jpg")
        image(folder / "segmim" / f"segmim_{number:05d}.jpg", colour=(0, 0, 254))
    mat(folder / "imagelabels.mat", {"labels": np.array([[1, 1, 2, 2, 3, 3]])})
    mat(folder / "setid.mat", {"trnid": np.array([[1, 3]]), "valid": np.array([[2, 4]]), "tstid": np.array([[5, 6]])})
    return folder


def test_flowers(tmp_path: Path) -> None:
    raw = read(flowers(tmp_path))
    assert raw.name == "flowers"
    assert raw.table["flower"] == [f"class_{number:03d}" for number in (1, 1, 2, 2, 3, 3)]
    assert raw.split == ["train", "valid", "train", "valid", "test", "test"]
    assert raw.identity == [1, 1, 2, 2, 3, 3]
    assert raw.mask_background == (0, 0, 254)
    assert raw.masks is not None
    assert raw.masks[5] == tmp_path / "segmim" / "segmim_00006.jpg"


@pytest.mark.parametrize("compressed", [True, False])
def test_mat_files(tmp_path: Path, compressed: bool) -> None:
    table = np.arange(6).reshape(2, 3)
    mat(tmp_path / "a.mat", {"abc": table, "longer_name": table.T}, compressed)
    arrays = read_mat(tmp_path / "a.mat")
    assert arrays["abc"].tolist() == table.tolist()
    assert arrays["longer_name"].tolist() == table.T.tolist()


def test_mat_files_of_scipy(tmp_path: Path) -> None:
    scipy = pytest.importorskip("scipy.io")
    table = np.array([[1.5, -2.0], [3.0, 70_000.0]])
    scipy.savemat(tmp_path / "a.mat", {"x": table, "text": "flower", "n": np.int64(7)}, do_compression=True)
    arrays = read_mat(tmp_path / "a.mat")
    assert arrays["x"].tolist() == table.tolist()
    assert arrays["n"].item() == 7


@pytest.mark.parametrize(
    "content",
    [b"", b"MATLAB 7.3 MAT-file", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0e\0\0\0\xff\0\0\0abc"],
)
def test_broken_mat_files_are_told(tmp_path: Path, content: bytes) -> None:
    flowers(tmp_path)
    (tmp_path / "imagelabels.mat").write_bytes(content)
    with pytest.raises(AttrimorphError, match=r"imagelabels\.mat"):
        read(tmp_path)


def test_class_folders(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for number in range(20):
            image(tmp_path / label / f"{number}.png")
    image(tmp_path / "stray.png")
    raw = read(tmp_path)
    assert raw.name == "classes"
    assert raw.schema.attributes[0].values == ("cat", "dog")
    assert [raw.split.count(split) for split in ("train", "valid", "test")] == [32, 4, 4]
    assert raw.images_without_row == ["stray.png"]
    assert raw.identity[0] == 0
    assert raw.identity[-1] == 1


def test_class_folders_below_splits(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            image(tmp_path / split / label / "1.png")
    raw = read(tmp_path)
    assert sorted(set(zip(raw.split, raw.table["class"], strict=True))) == [
        ("test", "cat"), ("test", "dog"), ("train", "cat"), ("train", "dog"), ("valid", "cat"), ("valid", "dog"),
    ]  # fmt: skip


def test_unpaired_folders(tmp_path: Path) -> None:
    for folder, count in (("trainA", 20), ("trainB", 10), ("testA", 3), ("testB", 2)):
        for number in range(count):
            image(tmp_path / folder / f"{number}.jpg")
    raw = read(tmp_path)
    assert raw.name == "unpaired"
    assert sum(raw.table["B"]) == 12
    assert [raw.split.count(split) for split in ("train", "valid", "test")] == [27, 3, 5]
    assert all((raw.files[row].parent.name[:4] == "test") == (raw.split[row] == "test") for row in range(len(raw)))


def test_two_folders_of_the_same_names_hold_pairs(tmp_path: Path) -> None:
    for folder, count in (("trainA", 20), ("trainB", 20), ("testA", 3), ("testB", 3)):
        for number in range(count):
            image(tmp_path / folder / f"{number}.{'jpg' if folder[-1] == 'A' else 'png'}")
    raw = read(tmp_path)
    pairs: dict[int, list[int]] = {}
    for row, number in enumerate(raw.identity):
        pairs.setdefault(number, []).append(row)
    assert len(pairs) == 23
    for first, second in pairs.values():
        assert raw.files[first].stem == raw.files[second].stem
        assert raw.split[first] == raw.split[second]
        assert {raw.table["B"][first], raw.table["B"][second]} == {0, 1}
    assert [raw.split.count(split) for split in ("train", "valid", "test")] == [36, 4, 6]
    image(tmp_path / "trainB" / "alone.png")
    assert set(read(tmp_path).identity) == {-1}


def table(folder: Path, *lines: str, name: str = "attributes.csv") -> Path:
    for number in range(4):
        image(folder / f"{number}.png")
    write(folder / name, *lines)
    return folder


def test_table_kinds(tmp_path: Path) -> None:
    table(
        tmp_path,
        "file,split,identity,flag,sign,word,number,text,empty,same",
        "0.png,train,ann,0,-1,true,1,red,,x",
        "1.png,train,bob,1,1,false,3,blue,,x",
        "2.png,val,ann,1.0,1,,100,red,,x",
        "9.png,test,eve,0,1,true,4,green,,x",
    )
    raw = read(tmp_path)
    assert [attribute.kind for attribute in raw.schema.attributes] == [
        "binary",
        "binary",
        "binary",
        "real",
        "categorical",
    ]
    assert raw.schema.attribute("text").values == ("blue", "red")
    # Standardised over the train split alone.
    assert (raw.schema.attribute("number").mean, raw.schema.attribute("number").scale) == (2.0, 1.0)
    assert raw.schema.encode(raw.table)[1].tolist() == [1, 1, 0, 1, 1, 0]
    assert np.isnan(raw.schema.encode(raw.table)[2, 2])
    assert raw.split == ["train", "train", "valid"]
    assert raw.identity == [0, 1, 0]
    assert raw.rows_without_image == ["9.png"]
    assert raw.images_without_row == ["3.png"]
    assert ["'empty' was left out" in raw.notes[0], "'same' was left out" in raw.notes[1]] == [True, True]


def test_table_of_free_text_is_left_out(tmp_path: Path) -> None:
    for number in range(1002):
        (tmp_path / f"{number}.png").touch()
    write(tmp_path / "metadata.csv", "file_name,caption,flag", *(f"{n}.png,text {n},1" for n in range(1002)))
    raw = read(tmp_path)
    assert raw.schema.names == ("flag",)
    assert "1002 different texts" in raw.notes[0]


def test_hub_metadata_in_split_folders(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        image(tmp_path / split / "a" / "1.png")
        lines = [{"file_name": "a/1.png", "age": 3.5 + (split == "train"), "glasses": split == "train", "box": [1, 2]}]
        write(tmp_path / split / "metadata.jsonl", *(json.dumps(line) for line in lines))
    raw = read(tmp_path)
    assert raw.split == ["train", "valid"]
    assert raw.schema.names == ("age", "glasses")
    assert raw.schema.encode(raw.table).tolist() == [[0, 1], [-1, 0]]
    assert "'box' was left out" in raw.notes[0]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("attributes.csv", ["file,a"], "must have rows below its header"),
        ("attributes.csv", [""], "it is empty"),
        ("attributes.csv", ["file,a", "0.png,1,2"], "row 2 has 3"),
        ("attributes.csv", ["name,a", "zero,1"], "must have a column file_name"),
        ("attributes.csv", ["file,a", "0.png,1", "0.png,0"], "'0.png' stands twice"),
        ("attributes.csv", ["file,a,a", "0.png,1,1"], "'a' stands twice"),
        ("attributes.csv", ["file,a,", "0.png,1,1"], "column 3 has none"),
        ("attributes.csv", ["file,a", ",1"], "row 1 names none"),
        ("attributes.csv", ["file,split,a", "0.png,holdout,1"], "train, valid or test; got 'holdout'"),
        ("attributes.csv", ["file,a", "7.png,1"], "none was found"),
        ("metadata.jsonl", ["{"], "line 1 of .* must be JSON"),
        ("metadata.jsonl", ["[1]"], "must be a JSON object"),
    ],
)
def test_broken_tables_are_told(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    with pytest.raises(AttrimorphError, match=message):
        read(table(tmp_path, *lines, name=name))


def test_text_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    table(tmp_path, "file,a", "0.png,1")
    (tmp_path / "attributes.csv").write_bytes(b"file,a\n0.png,\xff\n")
    with pytest.raises(AttrimorphError, match="must be UTF-8 text; line 2 is not"):
        read(tmp_path)


def test_a_table_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    image(tmp_path / "secret.png")
    inner = tmp_path / "data"
    table(inner, "file,a", "../secret.png,1", "0.png,0")
    assert read(inner).rows_without_image == ["../secret.png"]


def test_what_fits_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="there is no folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(AttrimorphError, match="must hold images; none was found"):
        read(tmp_path)
    image(tmp_path / "a.png")
    with pytest.raises(AttrimorphError, match="it is a file"):
        read(tmp_path / "a.png")
    with pytest.raises(AttrimorphError, match="no data format 'celebba'; did you mean 'celeba'"):
        read(tmp_path, "celebba")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    image(folder / "cat" / "a.png")
    (folder / "cat").chmod(0)
    try:
        with pytest.raises(AttrimorphError, match="Permission denied"):
            read(folder)
    finally:
        (folder / "cat").chmod(0o700)


def test_split_is_repeatable_and_exact() -> None:
    assert assign_split(100) == assign_split(100)
    assert [assign_split(100).count(name) for name in ("train", "valid", "test")] == [80, 10, 10]
    assert assign_split(3) == ["train"] * 3


@pytest.mark.skipif(not (SHARED / "celeba10k").is_dir(), reason="the CelebA subset is not here")
def test_real_celeba() -> None:
    raw = read(SHARED / "celeba10k")
    assert len(raw) == 10_000
    assert [raw.split.count(name) for name in ("train", "valid", "test")] == [8001, 999, 1000]
    assert len(set(raw.identity)) == 5429
    y = raw.schema.encode(raw.table)
    assert y.shape == (10_000, 40)
    # The first row of the file: 5_o_Clock_Shadow -1, Arched_Eyebrows 1, Attractive 1, Bags_Under_Eyes -1.
    assert y[0, :4].tolist() == [0, 1, 1, 0]


@pytest.mark.skipif(not (SHARED / "lfw").is_dir(), reason="the LFW subset is not here")
def test_real_lfw() -> None:
    raw = people.read_people(SHARED / "lfw", min_images=20)
    assert (len(raw), len(raw.schema.attributes[0].values)) == (3023, 62)
    scores = people.read_attributes(SHARED / "lfw")
    assert len(scores.schema.attributes) == 73
    assert len(scores) + len(scores.rows_without_image) == 4144
    train = np.array([name == "train" for name in scores.split])
    np.testing.assert_allclose(scores.schema.encode(scores.table)[train].mean(0), 0, atol=1e-4)
    pairs = people.read_pairs(SHARED / "lfw")
    assert (len(pairs), sum(pair.same for pair in pairs)) == (1200, 600)
