"""The command `aisle`: a group over `commands/`. It prints each error as one sentence and a hint."""

import io
import os
import sys
from collections.abc import Iterable, Iterator

import click
import psycopg

from aisle import commands
from aisle.commands import (
    answers,
    database,
    demo,
    experiment,
    logs,
    models,
    shop,
    shop_file,
    train,
    vectors,
    write_back,
)
from aisle.db import errors

# `aisle --help` lists the commands under these headings.
SECTIONS = {
    "Start": (demo.demo, database.embedded_server, database.migrate, database.grant, database.doctor),
    "The shop's tables": (
        shop_file.discover,
        shop.attach,
        shop_file.attachments,
        shop.detach,
        shop.pause,
        shop.resume,
        shop.import_,
        shop.export,
        write_back.apply,
        write_back.undo,
    ),
    "Models and vectors": (
        train.train,
        train.retrain,
        train.label,
        models.evaluate,
        experiment.experiment,
        models.report,
        models.models,
        models.deploy,
        models.rollback,
        models.prune,
        models.index,
        vectors.embed,
        vectors.backfill,
        vectors.worker,
        vectors.status,
        vectors.failures,
    ),
    "Answers of the SQL functions": (
        answers.predict_category,
        answers.item_category,
        answers.similar,
        answers.search,
        answers.recommend,
        answers.next_basket,
    ),
}
# They share a line of `aisle --help` with the command that they undo.
REVERSES = {
    "pause": ("resume", "Take Aisle off the tables for a migration, and back."),
    "apply": ("undo", "Write predicted categories to the shop, and back."),
}


class Sections(click.Group):
    """A group whose help lists its commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a definition list for each section."""
        for title, members in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(_lines(members)))


def _lines(members: Iterable[click.Command]) -> Iterator[tuple[str, str]]:
    reverses = {reverse for reverse, _ in REVERSES.values()}
    for member in members:
        name = str(member.name)
        if name in REVERSES:
            yield f"{name}, {REVERSES[name][0]}", REVERSES[name][1]
        elif name not in reverses:
            yield name, member.get_short_help_str(60)


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--database-url",
    metavar="URL",
    envvar=["AISLE_DATABASE_URL", "DATABASE_URL"],
    show_envvar=True,
    help="The shop's PostgreSQL. Default: the embedded one.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more, and show the trace of an error.")
@click.option(
    "--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True, help="Format of log lines."
)
@click.version_option(package_name="aisle")
@click.pass_context
def aisle(context: click.Context, database_url: str | None, verbose: bool, log_format: str) -> None:
    """Classify products, recommend items and predict baskets in SQL."""
    logs.configure(verbose, log_format)
    context.obj = commands.Database(database_url)


def _name_variables(command: click.Command, prefix: str) -> None:
    """Accept each option as the variable PREFIX_OPTION, too; click would use the parameter's name instead."""
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value:
            name = max(option.opts, key=len).removeprefix("--")
            option.envvar = option.envvar or f"{prefix}_{name}".replace("-", "_").upper()
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            _name_variables(member, f"{prefix}_{name}")


for members in SECTIONS.values():
    for member in members:
        aisle.add_command(member)
_name_variables(aisle, "AISLE")


def main() -> None:
    """Run the command line. An error prints one sentence and a hint, and exits with a code other than 0."""
    verbose = "-v" in sys.argv or "--verbose" in sys.argv
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name may have bytes that are not UTF-8
    try:
        sys.exit(aisle.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the pipe has closed it. Python must not complain again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (errors.AisleError, psycopg.Error) as raised:
        logs.say(raised if isinstance(raised, errors.AisleError) else errors.translate(raised), verbose)
        sys.exit(1)
    except Exception as unexpected:
        logs.say(errors.of_unexpected(unexpected), verbose)
        sys.exit(1)


if __name__ == "__main__":
    main()
