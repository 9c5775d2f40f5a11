"""Every error that Aisle raises. The docstring of a class is its default message; `hint` says what to do next.

Errors of the database have an SQLSTATE `AIS..` (docs/sql-api.md lists them). `translate` turns them into the class with
the same `sqlstate`, so that a caller sees the same error whether Python or SQL raised it.
"""

import inspect
import os
import re

import psycopg

SEE_TRACE = "Run it again as `aisle -v …` to see the trace. If the error stays, report it with the trace."


class AisleError(Exception):
    """Aisle failed."""

    sqlstate: str | None = None
    hint: str | None = None

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)))
        if hint is not None:
            self.hint = hint


class NoLiveModelError(AisleError):
    """No model of this task is live."""

    sqlstate = "AIS01"
    hint = "Train one: aisle train category"


class NotAttachedError(AisleError):
    """No table is attached."""

    sqlstate = "AIS02"
    hint = "Attach the shop's table first: aisle attach items SCHEMA.TABLE --id … --name …"


class AttachedTableGoneError(AisleError):
    """The attached table no longer exists."""

    hint = "Detach it, then attach another: aisle detach items"


class AlreadyAttachedError(AisleError):
    """A table is attached already."""

    sqlstate = "AIS03"
    hint = "Detach it first: aisle detach items"


class UnsuitableRelationError(AisleError):
    """The relation cannot be attached."""

    sqlstate = "AIS04"


class MissingColumnError(AisleError):
    """A named column does not exist."""

    sqlstate = "AIS05"


class InvalidArgumentError(AisleError):
    """An argument is outside its range."""

    sqlstate = "AIS06"


class ModelStateError(AisleError):
    """The model is not in a state that allows this."""

    sqlstate = "AIS07"
    hint = "See: aisle models"


class BusyError(AisleError):
    """Another process holds a lock that this command needs."""

    sqlstate = "AIS08"
    hint = "Try again when that process has finished."


class ForeignCodeError(AisleError):
    """Reading an attached relation would run other roles' code with the rights of the connected role."""

    sqlstate = "AIS09"
    hint = "See docs/security.md, Code of others."


class ConnectionFailedError(AisleError):
    """The database cannot be reached."""

    hint = "Check --database-url (or AISLE_DATABASE_URL), or start the embedded database: aisle db start"


class WrongAddressError(ConnectionFailedError):
    """The database's address, user or password is wrong."""


class UnsupportedServerError(AisleError):
    """The server is too old, or it has no pgvector."""


class SchemaVersionError(AisleError):
    """The schema `aisle` does not have the revision that this program needs."""

    hint = "Run: aisle migrate"


class EmbeddedServerError(AisleError):
    """The embedded PostgreSQL cannot be started or stopped."""


class MissingExtraError(AisleError):
    """An optional package is not installed."""


class InputFileError(AisleError):
    """The file cannot be read as a table."""


class ShopFileError(AisleError):
    """The shop file cannot be read."""


class NoShopFoundError(AisleError):
    """No table looks like products."""

    hint = "Name another schema (--schema), or write the file by hand: docs/shop-file.md"


class TrainingDataError(AisleError):
    """There is too little data to train on."""


class WarmStartError(AisleError):
    """Training cannot start from the live model."""

    hint = "Train without --warm-start."


class EncoderNotFoundError(AisleError):
    """The encoder cannot be loaded."""


class UnusableEncoderError(AisleError):
    """The encoder was found, but it cannot be used."""

    hint = "Download all its files again (config.json, tokenizer, model.safetensors), or choose another --encoder."


class CorruptModelFileError(AisleError):
    """A model file in the database does not match its checksum."""

    hint = "Train the model again, or roll back to another: aisle rollback TASK"


_BY_SQLSTATE: dict[str | None, type[AisleError]] = {
    cls.sqlstate: cls for cls in AisleError.__subclasses__() if cls.sqlstate
}


# Each view over an attached table, and the kind of the attachment. Dropping the table drops the view.
_VIEWS = {"items": "items", "interactions": "interactions", "orders": "orders", "customers": "orders"}


def missing_relation(message: str) -> AisleError | None:
    """Return the Aisle error for a message about a missing relation; None if the relation is not Aisle's."""
    if view := re.search(rf"aisle\._({'|'.join(_VIEWS)})\b", message):
        kind = _VIEWS[view[1]]
        return AttachedTableGoneError(
            f"Aisle's view of the {kind} is gone: they are paused, or a table was dropped.",
            hint=f"See which: aisle doctor. After a migration: aisle resume {kind}; for good: aisle detach {kind}",
        )
    if "aisle" in message:
        return SchemaVersionError("The database has no schema `aisle` yet, or an older revision of it.")
    return None


def translate(error: psycopg.Error) -> AisleError:
    """Return the Aisle error for a database error, with its hint; chain it with `raise … from error`."""
    diagnostic = error.diag
    message = diagnostic.message_primary or str(error).strip() or type(error).__name__
    missing = isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedTable)
    if missing and (ours := missing_relation(message)):
        return ours
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return BusyError()
    if diagnostic.sqlstate in _BY_SQLSTATE:
        return _BY_SQLSTATE[diagnostic.sqlstate](message, hint=diagnostic.message_hint)
    hint = diagnostic.message_hint
    if limit := _LIMITS.get(diagnostic.sqlstate):
        hint = f"Check {limit} of the role, the database and the pooler. Or somebody canceled the command."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        hint = hint or _who_may(message, diagnostic.context or "")
    return AisleError(f"The database says: {' '.join(message.split()).rstrip('.')}.", hint=hint)


# SQLSTATEs of commands that a setting ended, and the setting.
_LIMITS = {
    psycopg.errors.QueryCanceled.sqlstate: "statement_timeout",
    psycopg.errors.IdleSessionTimeout.sqlstate: "idle_session_timeout",
    psycopg.errors.IdleInTransactionSessionTimeout.sqlstate: "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
}


def _who_may(message: str, context: str) -> str:
    """Return the hint for a missing privilege; `context` names the functions that ran."""
    if database := re.match(r"permission denied for database (.+)", message):
        return f"Its owner can grant it: grant create on database {database[1]} to the role that migrates."
    if (schema := re.match(r"permission denied for schema (.+)", message)) and schema[1] != "aisle":
        return f"Its owner can grant it: grant usage on schema {schema[1]} to the role that needs it."
    if re.search(r"\baisle\.(attach|detach)_?\w*\(", context):
        return "Only a table's owner, or a member of that role, can attach or detach the table."
    return (
        "The owner of the schema `aisle` can grant the use of it: aisle grant. Only the owner can run commands that "
        "create or drop tables. The shop's tables need grants of their owners."
    )


def of_unexpected(error: Exception) -> AisleError:
    """Return the error for an exception that has no class here; chain it with `raise … from error`."""
    original = getattr(error, "orig", None)  # SQLAlchemy wraps the driver's error
    if isinstance(original, psycopg.Error):
        return translate(original)
    if isinstance(error, UnicodeEncodeError) and (foreign := re.search("[\udc80-\udcff]+", error.object)):
        shown = "".join(f"\\x{byte:02x}" for byte in os.fsencode(foreign[0]))
        return AisleError(
            f"The command line or an environment variable has bytes that are not UTF-8: {shown}.",
            hint="Set the terminal to UTF-8, or convert the text: iconv -f CP949 -t UTF-8",
        )
    if isinstance(error, OSError) and error.strerror:
        where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
        return AisleError(f"The system says: {error.strerror}{where}.", hint=SEE_TRACE)
    said = " ".join(str(error).split()).rstrip(".")
    return AisleError(f"Unexpected {type(error).__name__}{': ' if said else ''}{said}.", hint=SEE_TRACE)
