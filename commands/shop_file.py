"""Commands for the shop file: `aisle discover`, `attachments`, and `attach -f`."""

from pathlib import Path

import click

from aisle.commands import Database, json_option, pass_database, print_json

WOULD_CHANGE = 3  # the exit code of --check if something would change


@click.command()
@click.option("--schema", help="Schema of the shop's tables.  [default: all schemas]")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: stdout]"
)
@pass_database
def discover(database: Database, schema: str | None, output: Path | None) -> None:
    """Propose a shop file for the database, from its tables.

    It only reads: names, keys, and samples of rows. The database needs no Aisle yet.
    """
    from aisle.discovery.discover import shop_file

    text = shop_file(database.url, schema)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: {text.count('DECIDE')} points to decide. Read it, then: aisle attach -f {output} --check")


@click.command()
@json_option
@pass_database
def attachments(database: Database, as_json: bool) -> None:
    """Print what is declared, as a shop file."""
    from aisle.discovery.writing import Section, text
    from aisle.files import declaring, shop_file

    with database.connect() as connection:
        found = declaring.declared(connection)
        settings = declaring.write_back(connection)
    if as_json:
        print_json([
            {"kind": kind, "is_paused": is_paused, "declaration": declaration}
            for kind, (declaration, is_paused) in found.items()
        ])  # fmt: skip
        return
    made = []
    for kind, (declaration, is_paused) in found.items():
        for name, values in shop_file.sections(kind, declaration).items():
            section = Section(name, ["Paused: aisle.resume puts it back."] if is_paused and name == kind else [])
            for key, value in values.items():
                section.add(key, value)
            made.append(section)
    if settings:
        section = Section("write_back", [])
        for key, value in settings.items():
            section.add(key, value)
        made.append(section)
    click.echo(text([], made).strip() if made else "Nothing is attached.")


def attach_file(context: click.Context, database: Database, file: Path, check: bool, accept_changes: bool) -> None:
    """Attach what a shop file declares, and print what that changes."""
    from aisle.files import declaring, shop_file

    content = shop_file.read(file)
    with database.connect() as connection:
        changes = declaring.declare(connection, content, check=check, accept_changes=accept_changes)
    for change in changes:
        click.echo("\n".join(declaring.described(change)))
    if not any(change.is_change for change in changes):
        click.echo("Nothing changes.")
    elif check:
        click.echo("Nothing was written. To make it so: aisle attach -f …")
        context.exit(WOULD_CHANGE)
