"""A certificate and its key, as a user of the studio has them; made anew, in memory."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from attrimorph.applications.provenance import SETTINGS, Kind, Signature


def signature() -> Signature:
    """Make a certificate that nobody vouches for."""

    def named(words: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "nobody in particular"), (NameOID.COMMON_NAME, words))
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])

    def usage(*, signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(signs, False, False, False, False, not signs, not signs, False, False)

    above, below = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    issuer = named("made by a test")

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
        ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
        ObjectIdentifier("1.3.6.1.4.1.62558.2.1"),
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ]
    leaf = (
        begun(named("a test on this machine"), below.public_key())
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage(signs=True), True)
        .add_extension(x509.ExtendedKeyUsage(purposes), False)
        .sign(above, hashes.SHA256())
    )
    return Signature(
        leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        below.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def credentials_of(content: bytes, kind: Kind) -> dict[str, Any] | None:
    """Return what a file's Content Credentials say, as C2PA's own reader tells it; None where it has none."""
    import c2pa

    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(SETTINGS)) as context,
            c2pa.Reader(kind, io.BytesIO(content), context=context) as reader,
        ):
            found: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    return found
