"""Where a picture comes from, in words that other programs read.

Two forms. IPTC's digital source type, an XMP packet in the file: any reader of metadata shows it, anybody can remove
it. C2PA Content Credentials (specification 2.x, https://spec.c2pa.org), with the extra `c2pa`: the same and the
program's name, signed, so that a later change of the file shows. Who signs is as well known as the certificate.
"""

import importlib.util
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from attrimorph.errors import AttrimorphError
from attrimorph.version import __version__

TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
Kind = Literal["image/png", "image/gif", "video/mp4"]
SETTINGS = {"verify": {"verify_trust": False}, "builder": {"thumbnail": {"enabled": False}}}
CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"  # C2PA's own purpose of a certificate; older readers ask for the next one
DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"


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
            with c2pa.Signer.from_info(info) as signer, _context(c2pa) as context:
                c2pa.Builder(manifest, context).sign(signer, kind, io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise AttrimorphError(
                f"the certificate must be one that C2PA takes for signing; it is not ({error}); "
                "name another chain and its key"
            ) from error
        return signed.getvalue()


def credentials_of(content: bytes, kind: Kind) -> dict[str, Any] | None:
    """Return what a file's Content Credentials say, as C2PA's own reader tells it; None where it has none.

    Raises:
        ImportError: the extra is missing.
    """
    import c2pa

    try:
        with _context(c2pa) as context, c2pa.Reader(kind, io.BytesIO(content), context=context) as reader:
            found: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    return found


def _context(c2pa: Any) -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(SETTINGS))


def can_sign() -> bool:
    """Tell whether the extra is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("c2pa", "cryptography"))


def signature_of(certificate: Path | None, key: Path | None) -> Signature | None:
    """Return who signs: the owner's certificate, one made now, in memory; None without the extra.

    Args:
        certificate: a PEM file with the chain, the signing one first.
        key: a PEM file with its private key, without a password.

    Raises:
        AttrimorphError: only one of the two is given, they cannot be read or cannot sign, or the extra is missing.
    """
    if (certificate is None) != (key is None):
        raise AttrimorphError("a certificate and its key sign together; got one of them; give --certificate and --key")
    if not can_sign():
        if certificate is None:
            return None
        raise AttrimorphError("signing needs the extra `c2pa`; it is missing; run: pip install 'attrimorph[c2pa]'")
    if certificate is None or key is None:
        return local_signature()
    try:
        found = Signature(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise AttrimorphError(f"cannot read {error.filename}: {error.strerror}; check the path") from error
    found.sign(_smallest_png(), "image/png", photograph=False)
    return found


def local_signature() -> Signature:
    """Make a certificate that nobody vouches for: it shows that a file has not changed since, not who made it.

    It lives in memory: no key lies on the disk, and every start of the studio signs as another.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

    def named(words: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "attrimorph, by nobody in particular"), (NameOID.COMMON_NAME, words))
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])

    def usage(*, signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(signs, False, False, False, False, not signs, not signs, False, False)

    above, below = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    issuer = named("made by a studio when it started")

    def begun(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            # Without an authority for time stamps a signature is valid as long as its certificate.
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False)
        )

    # C2PA refuses a certificate that signs itself, so there are two: one that vouches, one that signs.
    root = (
        begun(issuer, above.public_key())
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage(signs=False), True)
        .sign(above, hashes.SHA256())
    )
    purposes = [
        ObjectIdentifier(DOCUMENT_SIGNING),
        ObjectIdentifier(CLAIM_SIGNING),
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ]
    leaf = (
        begun(named("a studio on this machine"), below.public_key())
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage(signs=True), True)
        .add_extension(x509.ExtendedKeyUsage(purposes), False)
        .sign(above, hashes.SHA256())
    )
    return Signature(
        leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        below.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


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


def _smallest_png() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()
