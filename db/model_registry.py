"""The registry of models: their rows, and their files, which the database stores in chunks with checksums."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, errors, locks

CHUNK_SIZE = 4 * 1024 * 1024  # bytes; far below the 1 GB limit of a value, and small enough to stream

Answer = TypeVar("Answer")

PATIENCE = 20.0  # seconds until we give up a lock that another process holds
PAUSES = 0.2, 0.2  # seconds in which the others' queries run: the first pause and the longest

START = "start/"  # prefix of files that only a warm start reads

# Formats that hold data only, so that reading a file never runs code.
SAFE_SUFFIXES = frozenset({".json", ".model", ".safetensors", ".txt"})


@dataclass(frozen=True)
class Model:
    """One row of the registry."""

    model_id: int
    task: str
    state: str
    encoder: str | None
    dimensions: int
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    data: dict[str, Any]


def create(
    connection: Connection, task: str, dimensions: int, *, encoder: str | None, parameters: dict[str, Any]
) -> int:
    """Register a model in state `loading`, create its vector tables, and return its id."""
    with connection.transaction():
        model_id: int = db.fetch_value(
            connection,
            "insert into aisle._models (task, dimensions, encoder, parameters, declaration) values (%s, %s, %s, %s, "
            "(select declaration from aisle._attachments where kind = 'items')) returning model_id",
            (task, dimensions, encoder, Jsonb(parameters)),
        )
        connection.execute("select aisle._create_generation(%s)", (model_id,))
    return model_id


def get(connection: Connection, model_id: int) -> Model:
    """Return one model; raises ModelStateError when there is none."""
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        model = cursor.execute(
            "select model_id, task, state, encoder, dimensions, parameters, metrics, data "
            "from aisle._models where model_id = %s",
            (model_id,),
        ).fetchone()
    if model is None:
        raise errors.ModelStateError(f"There is no model {model_id}.")
    return model


def live(connection: Connection, task: str) -> int | None:
    """Return the id of a task's live model, or None."""
    row = connection.execute("select model_id from aisle._live_models where task = %s", (task,)).fetchone()
    return row[0] if row else None


def require_live(connection: Connection, task: str) -> int:
    """Return the id of a task's live model; raises NoLiveModelError if there is none."""
    model_id = live(connection, task)
    if model_id is None:
        raise errors.NoLiveModelError(f"No {task} model is live.", hint=f"Train one: aisle train {task}")
    return model_id


def deploy(connection: Connection, model_id: int, *, force: bool = False) -> str:
    """Make a model live; raises ModelStateError for one that is not ready, or was worse and is not forced."""
    return str(patiently(lambda: db.fetch_value(connection, "select aisle.deploy(%s, force => %s)", (model_id, force))))


def rollback(connection: Connection, task: str) -> str:
    """Make the model before the live one live again; raises ModelStateError if there is none."""
    return str(patiently(lambda: db.fetch_value(connection, "select aisle.rollback(%s)", (task,))))


def drop(connection: Connection, model_id: int) -> int:
    """Remove a model; return the number of freed bytes. Raises ModelStateError for a live model."""
    freed = 0
    while db.fetch_value(connection, "select exists (select from aisle._models where model_id = %s)", (model_id,)):
        freed += patiently(lambda: db.fetch_value(connection, "select aisle._drop_model(%s)", (model_id,)))
    return freed


def prune(connection: Connection, task: str | None, keep: int) -> list[str]:
    """Remove old and failed models; return a sentence for each."""
    query, said = "select aisle.prune(%s, %s)", []
    while rows := patiently(lambda: connection.execute(query, (task, keep)).fetchall()):
        said += [row[0] for row in rows]
    return said


def patiently(action: Callable[[], Answer]) -> Answer:
    """Return a transaction's result; try it again while another process holds a lock that it needs.

    Each attempt waits only briefly, so that no other query has to wait. Raises BusyError after PATIENCE seconds. Raises
    the Aisle error for another error of the database if it has a class of its own, else the error itself.
    """

    def attempt() -> Answer:
        try:
            return action()
        except psycopg.Error as error:
            translated = errors.translate(error)
            if type(translated) is errors.AisleError:
                raise
            raise translated from error

    return locks.retrying(attempt, errors.BusyError, PAUSES, PATIENCE)


@contextlib.contextmanager
def training_lock(connection: Connection) -> Iterator[None]:
    """Hold the training lock, which excludes training runs, migrations and prunes; raises BusyError if one has it.

    A transaction in a session of its own holds the lock and does nothing else: it holds back no vacuum, a pooler keeps
    the session for it, and the lock ends with this process.
    """
    with contextlib.ExitStack() as stack:
        name = connection.info.parameter_status("application_name") or "aisle train"
        holder = stack.enter_context(db.connect(db.address_of(connection), application_name=name))
        transaction = holder.transaction()
        transaction.__enter__()
        try:
            lock_training(holder)
            yield
        finally:
            with contextlib.suppress(psycopg.OperationalError):  # a lost session holds no lock
                transaction.__exit__(None, None, None)


def lock_training(connection: psycopg.Connection[Any]) -> None:
    """Take the training lock until the end of the transaction; raises BusyError if another process has it."""
    try:
        with connection.transaction():
            connection.execute("lock table aisle._training_lock in exclusive mode nowait")
    except psycopg.errors.LockNotAvailable:
        query = "select aisle._table_user(array['aisle._training_lock'::regclass], 'ExclusiveLock')"
        holder = db.fetch_value(connection, query)
        raise errors.BusyError(
            f"Another training run or migration is going on ({holder or 'it has just ended'}).",
            hint="Wait until it ends, or stop it.",
        ) from None


def write_files(connection: Connection, model_id: int, folder: Path) -> None:
    """Store every file below a folder with the model; raises ValueError for a format that could contain code."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in SAFE_SUFFIXES:
            raise ValueError(f"{name} is not stored: only {', '.join(sorted(SAFE_SUFFIXES))} files are")
        with connection.transaction(), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            connection.execute(
                "insert into aisle._model_files (model_id, name, size, sha256) values (%s, %s, %s, %s)",
                (model_id, name, path.stat().st_size, digest),
            )
            file.seek(0)
            for chunk in range(max(1, -(-path.stat().st_size // CHUNK_SIZE))):
                connection.execute(
                    "insert into aisle._model_file_chunks (model_id, name, chunk, content) values (%s, %s, %s, %b)",
                    (model_id, name, chunk, file.read(CHUNK_SIZE)),
                )


def read_files(connection: Connection, model_id: int, folder: Path, *, start: bool = False) -> None:
    """Write a model's files below a folder: those that the worker needs, or with `start` those of a warm start.

    Raises CorruptModelFileError if a file does not match its checksum.
    """
    files = connection.execute(
        "select name, sha256 from aisle._model_files where model_id = %s and starts_with(name, %s) = %s",
        (model_id, START, start),
    ).fetchall()
    for name, expected in files:
        path = (folder / name).resolve()
        if path.suffix not in SAFE_SUFFIXES or not path.is_relative_to(folder.resolve()):
            raise errors.CorruptModelFileError(f"Model {model_id} has a file with the unexpected name {name!r}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("wb") as file, connection.cursor(binary=True) as cursor:
            for (content,) in cursor.stream(
                "select content from aisle._model_file_chunks where model_id = %s and name = %s order by chunk",
                (model_id, name),
            ):
                digest.update(content)
                file.write(content)
        if digest.digest() != bytes(expected):
            path.unlink()
            raise errors.CorruptModelFileError(f"File {name} of model {model_id} does not match its checksum.")
