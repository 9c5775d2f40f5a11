"""What commands say of themselves on stderr: lines for people, or objects of JSON for what collects logs."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import click

from aisle.db import errors

FORMATS = ("text", "json")
TEXT = "%(asctime)s %(levelname)s %(message)s"

_handler = logging.StreamHandler()


class JsonFormatter(logging.Formatter):
    """A line an event: `time` (UTC), `level`, `logger`, `message`, what the event gives as `fields`, and `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


def configure(verbose: bool, log_format: str) -> None:
    """Log to stderr from now on: warnings, and everything that is going on if it is to be verbose."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[_handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it reports on its plugins
    use(log_format)


def use(log_format: str) -> None:
    """Write what is logged from now on in one of the `FORMATS`."""
    _handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(TEXT))
    logging.captureWarnings(log_format == "json")


def say(error: errors.AisleError, verbose: bool) -> None:
    """Say, while an error is handled, why the command ends: a sentence and a hint, or one more object of JSON."""
    if isinstance(_handler.formatter, JsonFormatter):
        fields = {"fields": {"hint": error.hint}} if error.hint else None
        logging.getLogger("aisle").error("%s", error, extra=fields, exc_info=verbose)
        return
    if verbose:
        traceback.print_exc()
    click.echo(f"Error: {error}", err=True)
    if error.hint:
        click.echo(error.hint, err=True)
