"""The database itself: `aisle db`, `aisle migrate`, `aisle grant`, `aisle doctor`."""

import os

import click

from aisle.commands import Database, json_option, pass_database, print_json, print_rows
from aisle.db import errors


@click.group("db")
def embedded_server() -> None:
    """Start, stop and find the embedded PostgreSQL."""


@embedded_server.command()
def start() -> None:
    """Start the embedded PostgreSQL and leave it running."""
    from aisle.db import embedded

    click.echo(embedded.start())


@embedded_server.command()
def stop() -> None:
    """Stop the embedded PostgreSQL."""
    from aisle.db import embedded

    click.echo("Stopped." if embedded.stop() else "It was not running.")


@embedded_server.command("status")
@json_option
def db_status(as_json: bool) -> None:
    """Say whether the embedded PostgreSQL runs, and where its data are."""
    from aisle.db import embedded

    status = embedded.status()
    values = {name: str(value) if value is not None else None for name, value in vars(status).items()}
    if as_json:
        print_json(values | {"running": status.running})
    else:
        print_rows(list(values), [list(values.values())], as_json=False)


@embedded_server.command()
@click.option("--with-password", is_flag=True, help="With the password, if one is in it.")
@pass_database
def url(database: Database, with_password: bool) -> None:
    """Print the address of the database that the commands use, without a password."""
    from aisle.db import addresses

    click.echo(database.url if with_password else addresses.without_password(database.url))


@embedded_server.command()
@pass_database
def shell(database: Database) -> None:
    """Open psql on the database."""
    import shutil

    from aisle import db
    from aisle.db import addresses

    db.connect(database.url).close()  # says what is wrong with an address, and quotes no password
    psql = shutil.which("psql")
    if psql is None:
        from aisle.db import embedded

        psql = str(embedded.program("psql"))
    if password := addresses.password(database.url):
        os.environ["PGPASSWORD"] = password  # everybody on the machine can read the arguments of a process
    os.execvp(psql, [psql, addresses.without_password(database.url)])  # noqa: S606 - the shell is what was asked for


@click.command()
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL for an empty database, for an administrator to run.")
@click.option(
    "--vector-schema", default="public", show_default=True, help="With --sql: the schema of pgvector in that database."
)
@click.option(
    "--to", "revision", default="head", show_default=True, help="The revision to go to; `base` removes it all."
)
@pass_database
def migrate(database: Database, as_sql: bool, vector_schema: str, revision: str) -> None:
    """Create or update the schema `aisle`. Safe to run from several processes at once."""
    from aisle import migrations

    if as_sql:
        click.echo(migrations.migration_sql(revision, vector_schema=vector_schema))
        return
    migrations.migrate(database.url, revision)
    click.echo(f"The schema is at revision {migrations.head() if revision == 'head' else revision}.")


@click.command()
@click.option("--reader", multiple=True, metavar="ROLE", help="May ask: the functions for applications, nothing else.")
@click.option("--worker", multiple=True, metavar="ROLE", help="May run `aisle worker` and `aisle embed`.")
@click.option("--admin", multiple=True, metavar="ROLE", help="May do all but create and drop: deploy, roll back, look.")
@click.option(
    "--despite-row-security", is_flag=True, help="Let readers read vectors of rows that row security hides from them."
)
@click.option("--print-sql", is_flag=True, help="Print the SQL, for an administrator to read and run.")
@pass_database
def grant(
    database: Database,
    reader: tuple[str, ...],
    worker: tuple[str, ...],
    admin: tuple[str, ...],
    despite_row_security: bool,
    print_sql: bool,
) -> None:
    """Let roles use Aisle, for good.

    Later models are theirs to use, too. Each option may be repeated.
    """
    from aisle.db import grants

    granted = [
        (kind, role) for kind, roles in zip(grants.KINDS, (reader, worker, admin), strict=True) for role in roles
    ]
    if not granted:
        raise click.UsageError("Name a role: --reader, --worker or --admin ROLE.")
    if print_sql:
        if reader and not despite_row_security:
            click.echo("-- Where row security hides rows, readers read their vectors all the same: docs/security.md")
        click.echo("\n".join(grants.text(kind, role) for kind, role in granted))
        return
    with database.connect() as connection:
        for kind, role in granted:
            grants.grant(connection, kind, role, despite_row_security=despite_row_security)
            click.echo(f"{role} is {'an' if kind == 'admin' else 'a'} {kind} now.")
            missing = grants.missing_on_the_shop(connection, role)
            if missing:
                click.echo("It cannot use or read all that it needs. The owners may let it:")
                click.echo("\n".join(f"    {statement}" for statement in missing))


@click.command()
@json_option
@pass_database
def doctor(database: Database, as_json: bool) -> None:
    """Look for what is wrong, and say what to do about it. The exit code is 1 if something is."""
    from aisle import migrations
    from aisle.db.doctor import examine

    findings = examine(database.url, migrations.head())
    rows = [(f.check, "ok" if f.remedy is None else "PROBLEM", f.found, f.remedy or "") for f in findings]
    print_rows(("check", "verdict", "found", "remedy"), rows, as_json)
    problems = sum(f.remedy is not None for f in findings)
    if problems:
        raise errors.AisleError(f"{problems} problem{'s' if problems > 1 else ''} found.")
