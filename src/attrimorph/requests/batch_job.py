"""A data set answered shard by shard on Ray Data.

One worker makes a shard, whole, from its pictures alone: in the same batches, on one thread, whoever makes it. A shard
that is there is not made again. So every picture is answered once, and the shards are the same bytes however many
workers there were and however often the job was killed; between them the workers hold as many pictures as go through a
model at once.
"""

import io
import json
import logging
import os
import pickle
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attrimorph.console import plain
from attrimorph.data import csv_text
from attrimorph.data.images import CropLike
from attrimorph.data.readers import Source, archives, recognise
from attrimorph.data.readers.raw import IMAGE_SUFFIXES
from attrimorph.errors import AttrimorphError, extra
from attrimorph.files import lock_folder, read_json, whole_file, write_bytes, write_json
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.requests import Progress
from attrimorph.requests.batch import OnShards, Row
from attrimorph.requests.edit_folder import BYTES, PIXELS, check_places
from attrimorph.requests.receipt import input_files, model_reference
from attrimorph.training import keep_memory
from attrimorph.version import __version__

JOB, NOTES, FIGURES, RECORDS = "job.json", "notes.csv", "figures.json", "records"
ROWS = 1000  # of a parquet file that are written at once, fewer where pictures are large
STORE = 200 << 20  # bytes that Ray shares between processes of one machine: names of pictures alone
MEASURED = 10_000  # pictures, at most, as many of each shard, that Frechet's distance is over
BLOCKS = 10_000  # in which shards are handed out


# --- shards


class Shard(NamedTuple):
    """What one shard is made of.

    Attributes:
        name: of it, without ending.
        archive: a tar shard or a parquet file; None: `pictures` tells them.
        pictures: files, their names and their labels.
        crop: that is usual for them.
    """

    name: str
    archive: Path | None = None
    pictures: Sequence[tuple[Path, str, Row]] = ()
    crop: CropLike = None


def shards_of(request: OnShards) -> tuple[list[Shard], str]:
    """Return the shards that a source becomes, in order, and a digest of what it is.

    Raises:
        AttrimorphError: it holds no pictures, or is not read as is asked.
    """
    source = Source(request.source.absolute(), request.format, request.table)
    if source.prepared:
        raise AttrimorphError(f"{source.path} is prepared; a batch reads pictures; name the folder that they came from")
    layout = recognise(source.path)[0] if source.recognised else request.format
    digest, shards = sha256(), list[Shard]()
    if request.table is None and layout in ("shards", "parquet"):
        endings = (".tar",) if layout == "shards" else archives.TABLES
        for path in archives.archives(source.path, *endings):
            name = path.relative_to(source.path).with_suffix("").as_posix()
            shards.append(Shard(name, path))
            digest.update(f"{name}\0{path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
    else:
        raw = source.read()
        table = zip(*raw.table.values(), strict=True) if raw.table else [()] * len(raw)
        labels = [
            {"split": split, **dict(zip(raw.table, row, strict=True))}
            for split, row in zip(raw.split, table, strict=True)
        ]
        rows = list(zip(raw.files, raw.relative(), labels, strict=True))
        for start in range(0, len(rows), request.shard_size):
            part = rows[start : start + request.shard_size]
            shards.append(Shard(f"{start // request.shard_size:06d}", None, part, raw.crop))
            digest.update("\n".join(name for _, name, _ in part).encode("utf-8", "surrogateescape"))
    if twice := [name for name, count in Counter(shard.name for shard in shards).items() if count > 1]:
        raise AttrimorphError(f"two shards of {source.path} are called {twice[0]}; rename one of them")
    return shards, digest.hexdigest()


Put = Callable[[str, Row, bytes, str], None]


@contextmanager
def tar_file(path: Path, kinds: Mapping[str, str], pictures: bool) -> Iterator[Put]:
    """Write a WebDataset shard: NAME.json with what is known, and the picture beside it."""
    with whole_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:

        def put(key: str, row: Row, content: bytes, suffix: str) -> None:
            known = {name: value for name, value in row.items() if value is not None}
            for ending, part in ((suffix, content), (".json", json.dumps(known).encode() if known else b"")):
                if part:
                    info = tarfile.TarInfo(f"{key}{ending}")
                    info.size = len(part)
                    tar.addfile(info, io.BytesIO(part))

        yield put


@contextmanager
def parquet_file(path: Path, kinds: Mapping[str, str], pictures: bool) -> Iterator[Put]:
    """Write a parquet file as Hugging Face reads it: image {bytes, path}, and a column for each label."""
    import pyarrow
    import pyarrow.parquet as parquet

    number, word = ({"dtype": kind, "_type": "Value"} for kind in ("float64", "string"))
    held: dict[str, tuple[Any, Row]] = {
        "number": (pyarrow.float64(), number),
        "word": (pyarrow.string(), word),
        "vector": (pyarrow.list_(pyarrow.float32()), {"feature": {**number, "dtype": "float32"}, "_type": "List"}),
        "image": (pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]), {"_type": "Image"}),
    }
    first = "image" if pictures else "file"
    columns = {first: held["image" if pictures else "word"]}
    columns |= {name: held[kind] for name, kind in kinds.items() if name != first}
    told = json.dumps({"info": {"features": {name: feature for name, (_, feature) in columns.items()}}})
    schema = pyarrow.schema([(name, kind) for name, (kind, _) in columns.items()], metadata={"huggingface": told})
    rows = list[Row]()
    with whole_file(path) as file, parquet.ParquetWriter(file, schema) as writer:

        def put(key: str, row: Row, content: bytes, suffix: str) -> None:
            texts = {
                name: None if row.get(name) is None else str(row[name])
                for name, kind in kinds.items()
                if kind == "word"
            }
            name = f"{key}{suffix}"
            rows.append({**row, **texts, first: {"bytes": content, "path": name} if pictures else name})
            if len(rows) == ROWS or sum(len(each[first]["bytes"]) for each in rows if pictures) > BYTES // 4:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows.clear()

        yield put
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


WRITERS = {"tar": tar_file, "parquet": parquet_file}


# --- the job


class ShardWriter:
    """Makes shards: rows with a pickled `shard` -> how many pictures it holds, and how many were left out.

    Args:
        request: what is asked.
        out: the folder of shards.
        device: of this worker.
        kept: see `Answers`.
    """

    def __init__(self, request: OnShards, out: Path, device: str, kept: int) -> None:
        torch.set_num_threads(1)
        keep_memory()
        self.request, self.out, self.answers = request, out, request.answers(device)
        self.answers.kept = kept

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make the shards of a batch of rows."""
        made = [self.make(pickle.loads(each)) for each in batch["shard"]]
        return {name: np.array([each[name] for each in made]) for name in ("pictures", "left out")}

    def make(self, shard: Shard) -> dict[str, int]:
        """Make one shard: first what there is to tell of it, then itself."""
        answers, notes = self.answers, list[tuple[str, str, str]]()
        sums, taken_names = {name: [0.0, 0] for name, kind in answers.kinds.items() if kind == "number"}, set[str]()
        answers.features, count = [], 0
        try:
            pictures = list(shard.pictures) if shard.archive is None else [
                (path, path.relative_to(shard.archive).as_posix(), row) for path, row in archives.samples(shard.archive)
            ]  # fmt: skip
        except AttrimorphError as error:
            pictures, notes = [], [(str(shard.archive), "left out", str(error))]
        columns = dict.fromkeys(column for _, _, row in pictures for column in row)
        kinds = {column: kind_of([row.get(column) for _, _, row in pictures]) for column in columns}
        place = self.out / f"{shard.name}.{self.request.to}"
        with WRITERS[self.request.to](place, kinds | answers.kinds, answers.pictures) as put:
            for part in self.parts(pictures, shard.crop, notes):
                for (_, name, row, _), answer in zip(
                    part, answers.answer([each[0] for each in part], [each[3] for each in part]), strict=True
                ):
                    put(key_of(name, taken_names), row | answer.row, answer.content, answer.suffix)
                    notes += [(name, "note", sentence) for sentence in answer.said]
                    for column in sums.keys() & answer.row.keys():
                        if (value := answer.row[column]) is not None:
                            sums[column] = [sums[column][0] + value, sums[column][1] + 1]
                    count += 1
            if answers.features:
                with whole_file(self.out / RECORDS / f"{shard.name}.npy") as file:
                    np.save(file, torch.cat(answers.features, 1).numpy())
            left_out = sum(kind == "left out" for _, kind, _ in notes)
            record = {"pictures": count, "left out": left_out, "sums": sums, "notes": notes}
            write_bytes(self.out / RECORDS / f"{shard.name}.json", json.dumps(record).encode())
        return {"pictures": count, "left out": left_out}

    def parts(
        self, pictures: Sequence[tuple[Path, str, Row]], crop: CropLike, notes: list[tuple[str, str, str]]
    ) -> Iterator[list[tuple[Path, str, Row, Any]]]:
        """Yield as many pictures as go through the model at once; those that cannot be read are noted."""
        part, held = list[tuple[Path, str, Row, Any]](), 0
        for path, name, row in pictures:
            try:
                taken, size = self.answers.take(path, crop)
            except AttrimorphError as error:
                notes.append((name, "left out", str(error)))
                continue
            part.append((path, name, row, taken))
            held += size
            if len(part) * self.answers.image_size**2 >= PIXELS or held > BYTES:
                yield part
                part, held = [], 0
        if part:
            yield part


def kind_of(values: Sequence[Any]) -> str:
    """Return "number" where all values that are known are numbers, else "word"."""
    return "number" if all(value is None or isinstance(value, int | float) for value in values) else "word"


def key_of(name: str, taken: set[str]) -> str:
    """Return what a sample of a shard is called: a name up to its ending, other dots as _, unlike those before."""
    path = PurePosixPath(name)
    stem = path.with_name(
        (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name).replace(".", "_")
    ).as_posix()
    key, number = stem, 2
    while key in taken:
        key, number = f"{stem}-{number}", number + 1
    taken.add(key)
    return key


class Done(NamedTuple):
    """What a batch wrote.

    Attributes:
        out: the folder of shards.
        shards, pictures, left_out: how many; `before`: how many of the shards were there.
        figures: column -> mean and how many it is over.
        distance: Frechet's, of what was measured.
    """

    out: Path
    shards: int
    before: int
    pictures: int
    left_out: int
    figures: dict[str, tuple[float, int]]
    distance: float | None


def run(request: OnShards, out: Path, device: str = "auto", progress: Progress | None = None) -> Done:
    """Write the shards of a batch that are not there yet.

    Args:
        request: what is asked.
        out: the folder; what is told of it lies there, too.
        device: auto, cpu or cuda; of the workers.
        progress: called with (shards done, shards).

    Raises:
        AttrimorphError: the extra is missing, `out` holds something else, the cluster cannot be reached or has no such
            device, or a worker met such an error.
    """
    with extra("ray", "a batch"):
        import ray.data  # noqa: F401
    out = out.absolute()
    check_places(request.source, out)
    shards, digest = shards_of(request)
    answers = request.answers("cpu")
    inputs = {each.path: each.sha256 for each in input_files(request.inputs)}
    job = {"format": "attrimorph batch", "attrimorph": __version__, "verb": request.verb, "model": answers.digest,
           "source_sha256": digest, "arguments": request.arguments(), "inputs": inputs}  # fmt: skip
    lock = lock_folder(out)
    there = [path.name for path in out.iterdir() if path.name != ".lock"]
    if JOB not in there and there:
        raise AttrimorphError(
            f"{out} must be a new folder, or hold this batch; it holds {there[0]}; choose another --out"
        )
    if JOB in there and read_json(out / JOB) != json.loads(json.dumps(job)):
        raise AttrimorphError(
            f"{out} holds another batch: its {JOB} tells of other pictures, words, model or version; choose another "
            "folder with --out"
        )
    write_json(out / JOB, job)
    places = {
        shard.name: (out / f"{shard.name}.{request.to}", out / RECORDS / f"{shard.name}.json") for shard in shards
    }
    for path in out.rglob(".*.part"):
        path.unlink(missing_ok=True)  # of workers that were killed
    todo = [shard for shard in shards if not all(path.exists() for path in places[shard.name])]
    before = len(shards) - len(todo)
    if todo:
        # Workers may run anywhere.
        named = {name: getattr(request, name, None) for name in ("model", "judge", "like")}
        whole = {name: model_reference(value) for name, value in named.items() if value}
        work = request.model_copy(update=whole)
        kept = -(-MEASURED // len(shards))
        on_ray(work, out, device, todo, kept, lambda done: progress(before + done, len(shards)) if progress else None)
    lock.close()
    return gathered(out, [shard.name for shard in shards], before)


def on_ray(
    request: OnShards, out: Path, device: str, shards: Sequence[Shard], kept: int, progress: Callable[[int], None]
) -> None:
    """Let workers make shards; each has a processor, and of the GPUs that there are an equal share."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its remarks about itself are not the user's
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    begun = not ray.is_initialized()
    own: Row = {"include_dashboard": False, "object_store_memory": STORE} if request.address is None else {}
    try:
        if begun:
            ray.init(address=request.address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray's own are of no common kind
        raise AttrimorphError(
            f"Ray does not start or cannot be reached ({plain(str(error))}); see --address"
        ) from error
    try:
        there = ray.cluster_resources()
        gpus = there.get("GPU", 0) if device != "cpu" else 0
        if device == "cuda" and not gpus:
            raise AttrimorphError(
                "Ray finds no GPU for the device cuda; use --device cpu, or name a cluster by --address"
            )
        workers = min(request.workers or max(1, int(there.get("CPU", 1))), len(shards))
        context = DataContext.get_current()
        context.enable_progress_bars = False
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        answered = from_items(rows, override_num_blocks=min(len(rows), BLOCKS)).map_batches(
            ShardWriter,
            batch_size=1,
            compute=ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=min(1.0, gpus / workers),
            fn_constructor_args=(request, out, "cuda" if gpus else "cpu", kept),
        )
        for done, _ in enumerate(answered.iter_rows(), 1):
            progress(done)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        while cause is not None and not isinstance(cause, AttrimorphError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is None:
            raise
        raise AttrimorphError(str(cause)) from error
    finally:
        if begun:
            ray.shutdown()


def gathered(out: Path, names: Sequence[str], before: int) -> Done:
    """Read what is told of all shards, in their order; write the notes as one table, and the figures."""
    totals, sums, features = Counter[str](), dict[str, list[float]](), list[Tensor]()
    with whole_file(out / NOTES) as table:
        table.write(csv_text([["shard", "picture", "status", "reason"]]).encode())
        for name in names:
            record = read_json(out / RECORDS / f"{name}.json")
            totals += Counter({each: record[each] for each in ("pictures", "left out")})
            table.write(csv_text([name, *note] for note in record["notes"]).encode("utf-8", "surrogateescape"))
            for column, (total, count) in record["sums"].items():
                held = sums.get(column, [0.0, 0])
                sums[column] = [held[0] + total, held[1] + count]
            if (path := out / RECORDS / f"{name}.npy").exists():
                features.append(torch.from_numpy(np.load(path, allow_pickle=False)))
    figures = {column: (total / count, int(count)) for column, (total, count) in sums.items() if count}
    distance = None
    if sum(each.shape[1] for each in features) > 1:
        distance = frechet_distance(*torch.cat(features, 1))
    told: Row = {**totals, "mean": {column: mean for column, (mean, _) in figures.items()},
                 "known": {column: count for column, (_, count) in figures.items()}}  # fmt: skip
    if distance is not None:
        told["Frechet's distance of the edits to the pictures"] = distance
    write_json(out / FIGURES, told)
    return Done(out, len(names), before, totals["pictures"], totals["left out"], figures, distance)
