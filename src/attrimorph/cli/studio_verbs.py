"""studio, export."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from attrimorph.cli.app import USE, Device, ModelName, Whole, app, chosen
from attrimorph.errors import AttrimorphError
from attrimorph.requests import DEFAULT_MODEL

SHIPPED = (DEFAULT_MODEL, "homointerp-drawn-64", "discvae-drawn-64", "pggan-drawn-64")
"""What opens when nothing is named: the shipped models, the first of them shown."""


@app.command(group=USE)
def studio(
    *models: Annotated[str, Parameter(help="Run folders, model files or shipped models; by default the shipped ones.")],
    port: Whole | None = None,
    host: str = "127.0.0.1",
    token: str | None = None,
    no_label: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
    runs: Path = Path("runs"),
    no_training: bool = False,
    open_: Annotated[bool, Parameter(name="--open")] = False,
    device: Device = "auto",
) -> None:
    """Open a page with sliders on this machine: move one, and the face follows.

    Parameters
    ----------
    port
        Where it listens; by default the first free one from 8710 on.
    host
        The address that it listens on; one that other machines can reach needs --token.
    token
        A word that every request must carry; the page is given it by ?token=... once.
    no_label
        Leave out of saved pictures what says that they were edited: text tag, XMP and Content Credentials.
    certificate
        A PEM file with the certificates that sign Content Credentials (extra `c2pa`), the signing one first; without
        one nothing is signed.
    key
        A PEM file with the private key of the certificate.
    runs
        The folder of trainings that the page shows.
    no_training
        Leave trainings out: nobody can see, start or stop them on the page.
    open
        Open the page in this machine's browser.
    """
    try:
        from attrimorph.applications.provenance import signature_of
        from attrimorph.studio.server import create_app, listen, serve
    except ImportError as error:
        raise AttrimorphError(
            f"the studio needs the extra `studio` ({error.name} is missing); run: pip install 'attrimorph[studio]'"
        ) from error
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isalnum()):
        raise AttrimorphError(
            "a token must be at least 16 letters and digits, so that nobody guesses it; got another; "
            'make one with: python -c "import secrets; print(secrets.token_hex(16))"'
        )
    served = create_app(
        models or SHIPPED,
        device=chosen(device),
        host=host,
        token=token,
        label=not no_label,
        signature=signature_of(certificate, key),
        runs=None if no_training else runs,
    )
    at = listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{at.getsockname()[1]}/"
    entrance = address if token is None else f"{address}?token={token}"

    def ready() -> None:
        print(f"the studio is open: {entrance}  (stop it with Ctrl+C)", flush=True)
        if open_:
            import webbrowser

            webbrowser.open(entrance)

    serve(served, at, ready)
    print("the studio is closed", flush=True)


@app.command(group=USE)
def export(
    model: ModelName = DEFAULT_MODEL,
    /,
    *,
    out: Path,
    part: Literal["generator", "encoder", "classifier"] = "generator",
) -> None:
    """Write a part of a model as a program for other runtimes, and check it against the model's own output.

    Parameters
    ----------
    out
        A .pt2 file (torch.export) or an .onnx file (needs the extra `export`).
    part
        generator: z and attributes to images; encoder: images and attributes to z; classifier: images to probabilities.
    """
    from attrimorph.applications.export import export as write
    from attrimorph.loading import load

    written = write(load(model), out, part=part)
    for name, shape in (*written.inputs.items(), *written.outputs.items()):
        print(f"{name}: float32 [{', '.join(['batch', *map(str, shape[1:])])}]")
    print(f"it differs from the model by at most {written.difference:.1e}")
    print(written.path)
