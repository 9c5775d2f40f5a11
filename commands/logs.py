"""The commands' log on stderr: lines of text for people, or JSON objects for log collectors."""

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
    """One line for each event: `time` (UTC), `level`, `logger`, `message`, the event's own `fields`, and `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line break."""
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
    """Log to stderr from now on: warnings only, or information, too, if `verbose`."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[_handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it would list its plugins
    use(log_format)


def use(log_format: str) -> None:
    """Log in one of the `FORMATS` from now on."""
    _handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(TEXT))
    logging.captureWarnings(log_format == "json")


def say(error: errors.AisleError, verbose: bool) -> None:
    """Print the error that ends the command: a sentence and a hint, or a JSON object. Call it in the handler."""
    if isinstance(_handler.formatter, JsonFormatter):
        fields = {"fields": {"hint": error.hint}} if error.hint else None
        logging.getLogger("aisle").error("%s", error, extra=fields, exc_info=verbose)
        return
    if verbose:
        traceback.print_exc()
    click.echo(f"Error: {error}", err=True)
    if error.hint:
        click.echo(error.hint, err=True)
