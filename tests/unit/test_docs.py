"""README and docs name what there is, and what they show works.

    python -m tests.unit.test_docs

writes docs/cli.md anew. A block that begins with ```sql run is run against a shop with an attached table and a live
model.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner

from aisle import db
from aisle.benchmarks import results_table
from aisle.cli import SECTIONS, aisle
from aisle.db import errors, grants
from aisle.migrations import objects
from tests.conftest import Shop

ROOT = Path(__file__).parents[2]
CLI = ROOT / "docs/cli.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
    *sorted(ROOT.glob("benchmarks/*.md")),
]
LOG = ROOT / "benchmarks/LOG.md"  # its commands are those of their day
RENEW = "Renew docs/cli.md: python -m tests.unit.test_docs"
WIDTH = 100  # columns
TABLE_WIDTH = 230  # characters
SCREEN = 54  # lines: a window as high as a laptop's screen

INTRODUCTION = """\
# The command line

`python -m tests.unit.test_docs` writes this page from `aisle … --help`. An environment variable can set every option,
too: `AISLE_`, the command and the option in capitals, such as `AISLE_TRAIN_CATEGORY_SEED`. Errors are one sentence and
a hint on stderr, with exit code 1 (2: wrong usage; 130: interrupted). Tables have bold headings on a terminal only; in
a pipe or a file they are plain, and no line is folded. `--json` is for programs; [json.md](json.md) lists its keys.

Commands and options complete on Tab after one of these lines, in the shell's start-up file or by hand:

    eval "$(_AISLE_COMPLETE=bash_source aisle)"     # bash 4.4 or newer, ~/.bashrc
    eval "$(_AISLE_COMPLETE=zsh_source aisle)"      # zsh, ~/.zshrc
    _AISLE_COMPLETE=fish_source aisle | source      # fish, ~/.config/fish/config.fish
"""


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each section's title with the path of each of its commands, in the order of `aisle --help`."""

    def below(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        if isinstance(command, click.Group):
            for name, member in sorted(command.commands.items()):
                yield from below(member, (*path, name))

    for title, members in SECTIONS.items():
        for member in members:
            for path in below(member, (str(member.name),)):
                yield title, path


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(aisle, [*path, "--help"], prog_name="aisle", terminal_width=WIDTH)
    assert result.exit_code == 0, result.output
    return result.output.rstrip()


def cli_reference() -> str:
    parts, titles = [INTRODUCTION, f"```\n{help_of(())}\n```\n"], set[str]()
    for title, path in commands():
        if title not in titles:
            parts.append(f"## {title}\n")
            titles.add(title)
        parts.append(f"### aisle {' '.join(path)}\n\n```\n{help_of(path)}\n```\n")
    return "\n".join(parts)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchor(heading: str) -> str:
    """Return the fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


PUBLIC = [
    (path.split("/")[0], path.split("/")[-1])
    for path in objects.creation_order()
    if "/" in path and not path.split("/")[-1].startswith(("_", "tg_"))
]
RUNNABLE = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```sql run\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S), 1)
]
# `aisle …` within a line, and each command of a block, with the lines that it goes on in.
COMMANDS = re.compile(r"(?<!`)`(aisle [^`]+)`|^ *(aisle (?:[^\\\n]|\\\n?)+)$", re.M)
USES = [
    pytest.param(page, line, id=f"{page.name}-{line}")
    for page in PAGES
    if page not in (CLI, LOG)
    for line in dict.fromkeys(
        " ".join("".join(found).replace("\\\n", " ").split()) for found in COMMANDS.findall(page.read_text("utf-8"))
    )
]
LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8"))
]


def test_help_fits_a_screen() -> None:
    shown = CliRunner().invoke(aisle, ["--help"], prog_name="aisle", terminal_width=80).output
    assert len(shown.splitlines()) <= SCREEN, "Say less, or join commands in a group."
    assert "..." not in shown.partition("Options:")[2], "Shorten the first sentence of the command that is cut off."


def test_the_shell_completes_commands() -> None:
    program = Path(sys.executable).with_name("aisle")
    asked = {"_AISLE_COMPLETE": "bash_complete", "COMP_WORDS": "aisle train ca", "COMP_CWORD": "2"}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,category\n"


def test_every_option_is_a_variable_too() -> None:
    shown = CliRunner().invoke(aisle, ["migrate"], env={"AISLE_MIGRATE_SQL": "1"}).output
    assert "create schema if not exists aisle" in shown.lower()
    refused = CliRunner().invoke(aisle, ["recommend", "ann"], env={"AISLE_RECOMMEND_TOP": "none"}).output
    assert "'none' is not a valid integer range" in refused


@pytest.mark.parametrize("path", [path for _, path in commands()], ids=" ".join)
def test_every_command_is_in_the_reference(path: tuple[str, ...]) -> None:
    assert f"\n### aisle {' '.join(path)}\n" in text_of("docs/cli.md"), RENEW


def test_the_command_reference_is_what_help_says() -> None:
    assert CLI.read_text(encoding="utf-8") == cli_reference(), RENEW


@pytest.mark.parametrize(("folder", "name"), PUBLIC)
def test_every_public_object_is_in_the_docs(folder: str, name: str) -> None:
    shown = f"`aisle.{name}`" if folder == "views" else f"\naisle.{name}("
    assert shown in text_of("docs/sql-api.md"), f"Describe aisle.{name} in docs/sql-api.md."


def test_the_arguments_of_functions_are_those_in_the_docs(connection: db.Connection) -> None:
    rows = connection.execute(
        "select p.proname, p.proargnames[:p.pronargs] from pg_proc p where p.pronamespace = 'aisle'::regnamespace"
        " and p.proname = any (%s)",
        ([name for folder, name in PUBLIC if folder == "functions"],),
    ).fetchall()
    for name, arguments in rows:
        found = re.search(rf"^aisle\.{name}\((.*?)\)(?=\s*→|$)", text_of("docs/sql-api.md"), re.M | re.S)
        assert found, f"docs/sql-api.md has no signature of aisle.{name}."
        documented = [part.split()[0] for part in found[1].split(",")]
        assert documented == arguments, f"docs/sql-api.md gives aisle.{name} other arguments."


def test_the_columns_of_views_are_those_in_the_docs(connection: db.Connection) -> None:
    for name in (name for folder, name in PUBLIC if folder == "views"):
        cursor = connection.execute(psycopg.sql.SQL("select * from aisle.{}").format(psycopg.sql.Identifier(name)))
        columns = ", ".join(f"`{column.name}`" for column in cursor.description or ())
        assert re.search(rf"^\| `aisle\.{name}` \|.*\| {re.escape(columns)} \|$", text_of("docs/sql-api.md"), re.M), (
            f"docs/sql-api.md: the columns of aisle.{name} are {columns}."
        )


def test_every_sqlstate_is_in_the_docs() -> None:
    folder = Path(str(db.__file__)).parent
    used = {state for path in folder.rglob("*.sql") for state in re.findall(r"AIS\d\d", path.read_text("utf-8"))}
    used |= {cls.sqlstate for cls in errors.AisleError.__subclasses__() if cls.sqlstate}
    documented = set(re.findall(r"^\| `(AIS\d\d)` \|", text_of("docs/sql-api.md"), re.M))
    assert documented == used, "The table of errors in docs/sql-api.md must list exactly those that are raised."


@pytest.mark.parametrize(("page", "line"), USES)
def test_commands_in_the_docs_exist(page: Path, line: str) -> None:
    command: click.Command = aisle
    words = iter(shlex.split(line, comments=True)[1:])
    for word in words:
        if re.match(r"--?[a-z]", word):
            options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            assert word.partition("=")[0] in options | {"-h", "--help"}, f"{page.name}: {line}: there is no {word}."
            if isinstance(command, click.Group) and "=" not in word:
                takes = {
                    name for option in command.params if not getattr(option, "is_flag", False) for name in option.opts
                }
                next(words if word in takes else iter(()), None)  # the option's value is no command
        elif isinstance(command, click.Group) and word != "…":
            assert word in command.commands, f"{page.name}: {line}: there is no command {word}."
            command = command.commands[word]


# What README.ko.md says in Korean within its code.
KOREAN = {
    "'a product name'": "'상품명'",
    "# or leave it out: an embedded database": "# 생략하면 내장 데이터베이스",
}


def test_the_korean_readme_shows_the_same_code() -> None:
    def blocks(name: str) -> list[str]:
        found = re.findall(r"^```[^`]*^```$|(?:^    .*\n)+", text_of(name), re.M)
        return [block for block in found if "──▶" not in block]  # the diagram is translated as a whole

    expected = blocks("README.md")
    for english, korean in KOREAN.items():
        expected = [block.replace(english, korean) for block in expected]
    assert blocks("README.ko.md") == expected, "README.ko.md must have the code blocks of README.md, in the same order."


def test_the_korean_readme_leads_where_the_english_one_does() -> None:
    def targets(name: str) -> set[str]:
        found = re.findall(r"\]\(([^)]+)\)", text_of(name))
        return {target.replace(".ko.md", ".md") for target in found if not target.startswith("README")}

    assert targets("README.ko.md") == targets("README.md"), "README.ko.md must have the links of README.md."


def test_what_is_asked_in_contributing_is_where_it_says() -> None:
    answers = text_of("CONTRIBUTING.md").partition("## Where is")[2]
    for name in re.findall(r"`([\w/…]*\w+\.(?:py|sql|toml))`", answers):
        assert any(ROOT.glob(f"**/{name.replace('…', '**')}")), f"CONTRIBUTING.md: there is no {name}."


def test_the_results_are_those_on_file() -> None:
    page = results_table.PAGE.read_text(encoding="utf-8")
    renew = "Renew docs/results.md: python benchmarks/results_table.py --write"
    assert all(f"## {heading}\n" in page and table in page for heading, table in results_table.tables().items()), renew
    assert results_table.written(page) == page, renew


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_is_wrapped(page: Path) -> None:
    if page == CLI:
        pytest.skip("`--help` wraps it.")
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = [line for line in text.splitlines() if not line.startswith(("    ", "|", "  `python "))]
    too_long = [line for line in lines if len(line) > WIDTH]
    assert not too_long, f"{page.name}: wrap at {WIDTH} columns: {too_long}"
    wide = [line for line in text.splitlines() if len(line) >= TABLE_WIDTH]
    assert not wide, f"{page.name}: a row of a table has {TABLE_WIDTH} characters or more: {wide}"


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_somewhere(page: Path, target: str) -> None:
    name, _, fragment = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    assert file.exists(), f"{page.name} links to {target}, which does not exist."
    if fragment:
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
        assert fragment in map(anchor, headings), f"{file.name} has no heading for #{fragment}."


def test_the_readme_names_the_tested_pytorch() -> None:
    pinned = re.search(r"^torch==\S+", text_of("constraints.txt"), re.M)
    assert pinned
    assert f" {pinned[0]} " in text_of("README.md"), f"README.md must say {pinned[0]}, as constraints.txt does."


@pytest.mark.parametrize("block", RUNNABLE)
def test_a_block_marked_runnable_runs(documented_shop: Shop, block: str) -> None:
    documented_shop.execute(block)


def block_that_creates(role: str) -> str:
    return next(str(p.values[0]) for p in RUNNABLE if f"create role {role};" in str(p.values[0]))


def refused(shop: Shop, statement: str) -> bool:
    try:
        shop.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_what_the_shop_grants_in_the_docs_is_enough_for_a_reader(documented_shop: Shop) -> None:
    documented_shop.execute(block_that_creates("shop_app"))
    grants.grant(documented_shop.connection, "reader", "shop_app")
    assert grants.missing_on_the_shop(documented_shop.connection, "shop_app") == []
    documented_shop.execute("set role shop_app")
    for call in (
        "predict_category('녹차', '', 3, 1)", "embed_text('녹차')", "item_category(42)", "item_category('41')",
        "similar_items(43)", "similar_items('43')", "search_items('녹차')",
        "recommend('ann')", "recommend(7, exclude_seen => false)", "recommend('nobody')",
        "next_basket('ann')", "next_basket(7)", "complete_basket(array['41'], user_id => 'ann')",
    ):  # fmt: skip
        documented_shop.execute(f"select * from aisle.{call}")
    documented_shop.execute("reset role")


def test_the_documented_grants_of_a_watcher_are_enough_and_no_more(documented_shop: Shop) -> None:
    documented_shop.execute(block_that_creates("shop_watch"))
    documented_shop.execute("set role shop_watch")
    for name in (name for folder, name in PUBLIC if folder == "views"):
        documented_shop.execute(f"select * from aisle.{name}")
    assert refused(documented_shop, "select from aisle._model_file_chunks")
    assert refused(documented_shop, "select aisle.requeue_failures()")
    documented_shop.execute("reset role")


@pytest.fixture(scope="module")
def compose() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `docker compose config` on our file; AISLE_DB_PASSWORD comes from the arguments alone."""
    candidates = (["docker", "compose"], ["docker-compose"])
    for command in candidates:
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("There is neither `docker compose` nor `docker-compose` to validate docker-compose.yml with.")

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AISLE_")}
        return subprocess.run(
            [*command, "--file", str(ROOT / "docker-compose.yml"), "config"],
            env=environment | variables, capture_output=True, text=True, cwd=os.sep,
        )  # fmt: skip

    return run


def test_the_compose_file_is_valid(compose: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = compose(AISLE_DB_PASSWORD="p@ss/word")
    assert result.returncode == 0, result.stderr


def test_the_compose_file_has_no_default_password(compose: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    if (ROOT / ".env").exists():
        pytest.skip("A file .env here may hold the password.")
    result = compose()
    assert result.returncode != 0
    assert "set it in the environment" in result.stderr


if __name__ == "__main__":
    CLI.write_text(cli_reference(), encoding="utf-8")
