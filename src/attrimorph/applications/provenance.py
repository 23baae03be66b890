"""Where a picture comes from, in words that other programs read.

Two forms. IPTC's digital source type, an XMP packet in the file: any reader of metadata shows it, anybody can remove
it. C2PA Content Credentials (specification 2.x, https://spec.c2pa.org), with the extra `c2pa`: the same and the
program's name, signed, so that a later change of the file shows. Who signs is as well known as the certificate.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from attrimorph.errors import AttrimorphError, extra
from attrimorph.pictures import png_bytes
from attrimorph.version import __version__

TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
Kind = Literal["image/png", "image/jpeg", "image/webp", "image/tiff", "image/gif", "video/mp4"]
SETTINGS = {"verify": {"verify_trust": False}, "builder": {"thumbnail": {"enabled": False}}}


def source_type(photograph: bool) -> str:
    """Return IPTC's word for a picture that a model made: of a photograph, or out of nothing."""
    return TYPES + ("compositeWithTrainedAlgorithmicMedia" if photograph else "trainedAlgorithmicMedia")


def xmp_of(photograph: bool) -> str:
    """Return the XMP packet that says so."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        f'Iptc4xmpExt:DigitalSourceType="{source_type(photograph)}" '
        f'xmp:CreatorTool="attrimorph {__version__}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


@dataclass(frozen=True)
class Signature:
    """Who signs.

    Attributes:
        certificates: the chain, PEM, the signing one first.
        key: its private key, PEM.
    """

    certificates: bytes
    key: bytes

    def sign(self, content: bytes, kind: Kind, *, photograph: bool) -> bytes:
        """Return a file with its Content Credentials inside; pixels and other metadata stay.

        Args:
            content: the file's bytes.
            kind: its type.
            photograph: whether it was made of a photograph.

        Raises:
            AttrimorphError: the certificate cannot sign.
        """
        import c2pa

        program = {"name": "attrimorph", "version": __version__}
        made = {"action": "c2pa.created", "digitalSourceType": source_type(photograph), "softwareAgent": program}
        manifest = {
            "claim_generator_info": [program],
            "format": kind,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
        }
        signed = io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo(_algorithm(self.key), self.certificates, self.key, None)
            settings = c2pa.Settings.from_dict(SETTINGS)
            with c2pa.Signer.from_info(info) as signer, c2pa.Context(settings) as context:
                c2pa.Builder(manifest, context).sign(signer, kind, io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise AttrimorphError(
                f"the certificate must be one that C2PA takes for signing; it is not ({error}); "
                "name another chain and its key"
            ) from error
        return signed.getvalue()


def signature_of(certificate: Path | None, key: Path | None) -> Signature | None:
    """Return who signs, the owner of a certificate; None where none is given: then nothing is signed.

    Args:
        certificate: a PEM file with the chain, the signing one first.
        key: a PEM file with its private key, without a password.

    Raises:
        AttrimorphError: only one of the two is given, they cannot be read or cannot sign, or the extra is missing.
    """
    if (certificate is None) != (key is None):
        raise AttrimorphError("a certificate and its key sign together; got one of them; give --certificate and --key")
    if certificate is None or key is None:
        return None
    with extra("c2pa", "signing"):
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    try:
        found = Signature(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise AttrimorphError(f"cannot read {error.filename}: {error.strerror}; check the path") from error
    found.sign(png_bytes(Image.new("RGB", (1, 1))), "image/png", photograph=False)
    return found


def _algorithm(key: bytes) -> Any:
    """Return C2PA's name of how a key signs."""
    from c2pa import C2paSigningAlg
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AttrimorphError(
            "the key must be a private key in PEM without a password; it is not; "
            "convert it: openssl pkey -in KEY -out NEW"
        ) from error
    match found:
        case ec.EllipticCurvePrivateKey(curve=curve) if curve.key_size in (256, 384, 521):
            return {256: C2paSigningAlg.ES256, 384: C2paSigningAlg.ES384, 521: C2paSigningAlg.ES512}[curve.key_size]
        case ed25519.Ed25519PrivateKey():
            return C2paSigningAlg.ED25519
        case rsa.RSAPrivateKey():
            return C2paSigningAlg.PS256
    raise AttrimorphError(
        "the key must be of P-256, P-384, P-521, Ed25519 or RSA; it is of another kind; make a new one"
    )
