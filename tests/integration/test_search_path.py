"""Wherever pgvector is, whatever is on a search path, whoever owns Aisle: all works, and nothing planted runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

pytest.importorskip("implicit")

from aisle import db, migrations
from aisle.db import doctor, grants
from tests.conftest import Server
from tests.integration import life

# Better fits for calls in our statements than PostgreSQL's own, and namesakes of our helpers; each says who ran it.
LOOK_ALIKES = """
create sequence public.caught;
grant all on sequence public.caught to public;
create function public.spy() returns void language plpgsql as
    $f$ begin if current_user <> 'keeper' then perform nextval('public.caught'); end if; end $f$;
create function public.cardinality(text[]) returns integer language plpgsql as
    $f$ begin perform public.spy(); return 1; end $f$;
create function public.format(text, text) returns text language plpgsql as
    $f$ begin perform public.spy(); return $1; end $f$;
create function public.concat_ws(text, text, text) returns text language plpgsql as
    $f$ begin perform public.spy(); return $2; end $f$;
create function public.array_remove(text[], text) returns text[] language plpgsql as
    $f$ begin perform public.spy(); return $1; end $f$;
create function public.array_to_string(text[], text) returns text language plpgsql as
    $f$ begin perform public.spy(); return ''; end $f$;
create function public.array_fill(double precision, integer[]) returns double precision[] language plpgsql as
    $f$ begin perform public.spy(); return '{1}'; end $f$;
create function public.to_regclass(text, integer) returns regclass language sql as $f$ select null::regclass $f$;
create function public._now() returns timestamptz language plpgsql as
    $f$ begin perform public.spy(); return now(); end $f$;
create function public._ngrams(text, text, text) returns text[] language plpgsql as
    $f$ begin perform public.spy(); return '{}'; end $f$;
create function public.gather(text[], text) returns text[] language plpgsql as
    $f$ begin perform public.spy(); return $1; end $f$;
create aggregate public.array_agg(text) (sfunc = public.gather, stype = text[]);
create aggregate public.count(text) (sfunc = public.gather, stype = text[]);
create function public.divide(integer, double precision) returns double precision language plpgsql as
    $f$ begin perform public.spy(); return 1; end $f$;
create operator public./ (leftarg = integer, rightarg = double precision, function = public.divide);
create function public.join(text, integer) returns text language plpgsql as
    $f$ begin perform public.spy(); return $1; end $f$;
create operator public.|| (leftarg = text, rightarg = integer, function = public.join);
create function public.same(text[], text[]) returns boolean language plpgsql as
    $f$ begin perform public.spy(); return false; end $f$;
create operator public.<> (leftarg = text[], rightarg = text[], function = public.same);
"""
ROLES = ("keeper", "house", "reader_role", "worker_role", "admin_role")


@pytest.fixture
def roles(server: Server) -> Iterator[None]:
    for role in ROLES:
        server.execute(f"create role {role} login")
    try:
        yield
    finally:
        for role in ROLES:
            server.execute(f"drop role {role}")


@pytest.fixture(
    params=[("public", None), ("extensions", "''"), ("user", "shop")], ids=["public", "extensions", "on no path"]
)
def planted(request: pytest.FixtureRequest, server: Server, roles: None) -> Iterator[str]:
    """A database of the shop's role, with pgvector in some schema that PUBLIC may not use, and a search path."""
    schema, path = request.param
    with server.database("owner keeper") as url:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'create schema if not exists "{schema}"'.encode())
            connection.execute(f'create extension vector schema "{schema}"'.encode())
            if path is not None:
                connection.execute(f'revoke all on schema "{schema}" from public'.encode())
                connection.execute(f"alter database {name} set search_path = {path}".encode())
        with psycopg.connect(make_conninfo(url, user="keeper"), autocommit=True) as keeper:
            keeper.execute(life.SHOP)
            keeper.execute(LOOK_ALIKES)
        yield url


@pytest.mark.trap(41, 42)
def test_all_works_wherever_pgvector_is_and_whatever_is_planted(planted: str, tmp_path: Path) -> None:
    migrations.migrate(planted)
    life.attach_and_train(planted)
    with db.connect(planted) as owner:
        owner.execute("grant usage on schema shop to reader_role, worker_role, admin_role")
        owner.execute("grant select on all tables in schema shop to reader_role, worker_role, admin_role")
        for kind in grants.KINDS:
            grants.grant(owner, kind, f"{kind}_role")
            assert grants.missing_on_the_shop(owner, f"{kind}_role") == []
    life.write(make_conninfo(planted, user="keeper"))
    life.update_vectors(make_conninfo(planted, user="worker_role"))
    with psycopg.connect(make_conninfo(planted, user="reader_role"), autocommit=True) as reader:
        said = life.answers(reader)
    with psycopg.connect(planted, autocommit=True) as owner:
        assert life.answers(owner) == said
        for view in life.VIEWS:
            owner.execute(f"select v::text from aisle.{view} v".encode())
    life.look(planted, tmp_path)
    admin = doctor.examine(make_conninfo(planted, user="admin_role"), migrations.head())
    assert [f for f in admin if f.remedy and "The superuser" not in f.found] == []
    with psycopg.connect(planted) as owner:
        caught: Any = owner.execute("select is_called from public.caught").fetchone()
    assert caught == (False,), "Something that the shop's role had planted ran with the rights of another."


@pytest.mark.trap(41)
def test_a_plain_role_may_own_it_all(server: Server, roles: None, tmp_path: Path) -> None:
    with server.database("owner keeper") as url:
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("create extension vector")
            superuser.execute(f"grant create on database {superuser.info.dbname} to house".encode())
            superuser.execute("grant keeper to house")
        with psycopg.connect(make_conninfo(url, user="keeper"), autocommit=True) as keeper:
            keeper.execute(life.SHOP)
        house = make_conninfo(url, user="house")
        migrations.migrate(house)
        life.attach_and_train(house)
        life.write(make_conninfo(url, user="keeper"))
        life.update_vectors(house)
        with psycopg.connect(house, autocommit=True) as connection:
            life.answers(connection)
        life.look(house, tmp_path)
        assert [f for f in doctor.examine(house, migrations.head()) if f.remedy] == []
        migrations.migrate(house, "base")
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("revoke keeper from house; drop owned by house")
