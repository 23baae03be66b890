"""What pictures tell of where they come from, read by others than who wrote it."""

import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from attrimorph.applications import provenance
from attrimorph.applications.provenance import Signature, signature_of, xmp_of
from attrimorph.errors import AttrimorphError
from attrimorph.pictures import gif_bytes, mp4_bytes, png_bytes
from tests import certificates
from tests.certificates import credentials_of

TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def picture(red: int = 0) -> Image.Image:
    return Image.new("RGB", (16, 16), (red, 30, 60))


@pytest.mark.parametrize(
    ("photograph", "word"), [(True, "compositeWithTrainedAlgorithmicMedia"), (False, "trainedAlgorithmicMedia")]
)
def test_xmp_says_that_a_model_made_it(photograph: bool, word: str) -> None:
    with Image.open(io.BytesIO(png_bytes(picture(), "tag", xmp_of(photograph)))) as image:
        told = image.info["XML:com.adobe.xmp"]
    (description,) = ElementTree.fromstring(told.split("?>", 1)[1].rpartition("<?")[0]).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    assert description.get(TYPE) == f"http://cv.iptc.org/newscodes/digitalsourcetype/{word}"


@pytest.mark.parametrize("kind", ["image/png", "image/gif", "video/mp4"])
def test_a_signed_file_tells_that_it_is_unchanged_and_a_changed_one_that_it_is_not(kind: provenance.Kind) -> None:
    frames = [picture(10 * number) for number in range(6)]
    content = {
        "image/png": lambda: png_bytes(picture(), "the tag"),
        "image/gif": lambda: gif_bytes(frames, tag="the tag"),
        "video/mp4": lambda: mp4_bytes(frames, tag="the tag"),
    }[kind]()
    signed = certificates.signature().sign(content, kind, photograph=True)
    told = credentials_of(signed, kind)
    assert told is not None
    assert told["validation_state"] == "Valid"
    (manifest,) = told["manifests"].values()
    (made,) = [each["data"] for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")]
    (action,) = made["actions"]
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert manifest["claim_generator_info"][0]["name"] == "attrimorph"
    assert credentials_of(content, kind) is None
    place = signed.index(b"the tag")
    forged = credentials_of(signed[:place] + b"no tag!" + signed[place + 7 :], kind)
    assert forged is not None
    assert forged["validation_state"] == "Invalid"


def test_signing_leaves_pixels_and_text_alone() -> None:
    content = png_bytes(picture(9), "the tag", xmp_of(False))
    with (
        Image.open(io.BytesIO(content)) as before,
        Image.open(io.BytesIO(certificates.signature().sign(content, "image/png", photograph=False))) as after,
    ):
        assert after.tobytes() == before.tobytes()
        assert after.info == before.info


@pytest.fixture
def owned(tmp_path: Path) -> tuple[Path, Path]:
    mine = certificates.signature()
    (tmp_path / "chain.pem").write_bytes(mine.certificates)
    (tmp_path / "key.pem").write_bytes(mine.key)
    return tmp_path / "chain.pem", tmp_path / "key.pem"


def test_the_owners_certificate_signs(owned: tuple[Path, Path]) -> None:
    found = signature_of(*owned)
    assert found == Signature(owned[0].read_bytes(), owned[1].read_bytes())


def test_without_a_certificate_nobody_signs() -> None:
    assert signature_of(None, None) is None


def test_what_cannot_sign_is_told(owned: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = owned
    with pytest.raises(AttrimorphError, match="give --certificate and --key"):
        signature_of(certificate, None)
    with pytest.raises(AttrimorphError, match=r"cannot read .*nowhere"):
        signature_of(tmp_path / "nowhere", key)
    with pytest.raises(AttrimorphError, match="must be a private key in PEM"):
        signature_of(certificate, certificate)
    with pytest.raises(AttrimorphError, match="certificate must be one that C2PA takes"):
        signature_of(key, key)
    other = tmp_path / "other.pem"
    other.write_bytes(certificates.signature().key)
    with pytest.raises(AttrimorphError, match="certificate must be one that C2PA takes"):
        signature_of(certificate, other)


def test_without_the_extra_nothing_is_signed(monkeypatch: pytest.MonkeyPatch, owned: tuple[Path, Path]) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)  # as where it is not installed
    with pytest.raises(AttrimorphError, match=r"pip install 'attrimorph\[c2pa\]'"):
        signature_of(*owned)
