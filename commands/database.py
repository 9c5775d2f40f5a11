"""Commands for the database itself: `aisle db`, `migrate`, `grant`, `doctor`."""

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
    """Show whether the embedded PostgreSQL runs, and where its data are."""
    from aisle.db import embedded

    status = embedded.status()
    values = {name: str(value) if value is not None else None for name, value in vars(status).items()}
    if as_json:
        print_json(values | {"running": status.running})
    else:
        print_rows(list(values), [list(values.values())], as_json=False)


@embedded_server.command()
@click.option("--with-password", is_flag=True, help="Print the password, too, if the address has one.")
@pass_database
def url(database: Database, with_password: bool) -> None:
    """Print the address of the database, without a password."""
    from aisle.db import addresses

    click.echo(database.url if with_password else addresses.without_password(database.url))


@embedded_server.command()
@pass_database
def shell(database: Database) -> None:
    """Open psql on the database."""
    import shutil

    from aisle import db
    from aisle.db import addresses

    db.connect(database.url).close()  # its errors explain a wrong address without quoting the password
    psql = shutil.which("psql")
    if psql is None:
        from aisle.db import embedded

        psql = str(embedded.program("psql"))
    if password := addresses.password(database.url):
        os.environ["PGPASSWORD"] = password  # everybody on the machine can read the arguments of a process
    os.execvp(psql, [psql, addresses.without_password(database.url)])  # noqa: S606 - the command opens a shell


@click.command()
@click.option(
    "--sql", "as_sql", is_flag=True, help="Print the SQL for an empty database, so that an administrator can run it."
)
@click.option(
    "--vector-schema", default="pgvector", show_default=True, help="Schema of pgvector in that database, with --sql."
)
@click.option("--to", "revision", default="head", show_default=True, help="Target revision; `base` removes the schema.")
@pass_database
def migrate(database: Database, as_sql: bool, vector_schema: str, revision: str) -> None:
    """Create or update the schema `aisle`. Several processes may run it at once."""
    from aisle import migrations

    if as_sql:
        click.echo(migrations.migration_sql(revision, vector_schema=vector_schema))
        return
    migrations.migrate(database.url, revision)
    click.echo(f"The schema is at revision {migrations.head() if revision == 'head' else revision}.")


@click.command()
@click.option(
    "--reader", multiple=True, metavar="ROLE", help="Role of an application. It may call the functions that answer."
)
@click.option("--worker", multiple=True, metavar="ROLE", help="Role that may run `aisle worker` and `aisle embed`.")
@click.option("--admin", multiple=True, metavar="ROLE", help="Role that may do everything except create and drop.")
@click.option(
    "--despite-row-security", is_flag=True, help="Let readers read vectors of rows that row security hides from them."
)
@click.option("--print-sql", is_flag=True, help="Print the SQL and run nothing.")
@pass_database
def grant(
    database: Database,
    reader: tuple[str, ...],
    worker: tuple[str, ...],
    admin: tuple[str, ...],
    despite_row_security: bool,
    print_sql: bool,
) -> None:
    """Grant roles the use of Aisle.

    The grants include models that are trained later. Each option may be repeated.
    """
    from aisle.db import grants

    granted = [
        (kind, role) for kind, roles in zip(grants.KINDS, (reader, worker, admin), strict=True) for role in roles
    ]
    if not granted:
        raise click.UsageError("Name a role: --reader, --worker or --admin ROLE.")
    if print_sql:
        if reader and not despite_row_security:
            click.echo("-- Readers can read the vectors of rows that row security hides: docs/security.md")
        click.echo("\n".join(grants.text(kind, role) for kind, role in granted))
        return
    with database.connect() as connection:
        for kind, role in granted:
            grants.grant(connection, kind, role, despite_row_security=despite_row_security)
            click.echo(f"{role} is {'an' if kind == 'admin' else 'a'} {kind} now.")
            missing = grants.missing_on_the_shop(connection, role)
            if missing:
                click.echo("It lacks rights on the shop's tables. Their owners can grant them:")
                click.echo("\n".join(f"    {statement}" for statement in missing))


@click.command()
@json_option
@pass_database
def doctor(database: Database, as_json: bool) -> None:
    """Find problems, and show their remedies. The exit code is 1 if there is a problem."""
    from aisle import migrations
    from aisle.db.doctor import examine

    findings = examine(database.url, migrations.head())
    rows = [(f.check, "ok" if f.remedy is None else "PROBLEM", f.found, f.remedy or "") for f in findings]
    print_rows(("check", "verdict", "found", "remedy"), rows, as_json)
    problems = sum(f.remedy is not None for f in findings)
    if problems:
        raise errors.AisleError(f"{problems} problem{'s' if problems > 1 else ''} found.")
