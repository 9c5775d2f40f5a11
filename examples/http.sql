-- Answers over HTTP with PostgREST: a schema `api` with the functions that clients may call, and its two roles.
--
--     AISLE_HTTP_PASSWORD=… psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=examples/http.sql
--
-- Run it as the role that ran `aisle migrate`, and again after a change here. `docker compose --profile http up` runs it.
--
-- PostgREST serves every function of a schema, and it cannot tell recommend(text) from recommend(bigint). So these
-- functions have a schema of their own. They run with their owner's rights, so that the roles below need no rights on
-- the schema `aisle` or the shop's tables: HTTP clients can call these functions and nothing else. Row security of the
-- shop's tables applies to the owner. If it must apply to the caller, leave `security definer` out, and grant web_anon
-- the rights of an application: aisle grant --reader web_anon
--
-- Everybody who reaches the port can query any user. Keep the port behind the shop's own backend; or take the user from
-- the token instead of an argument: current_setting('request.jwt.claims', true)::jsonb ->> 'sub'.
\getenv password AISLE_HTTP_PASSWORD

create schema if not exists api;

create or replace function api.predict_category(name text, manufacturer text default null, k integer default 3)
returns table (rank integer, category text, confidence double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $function$
    select p.rank, p.category, p.confidence from aisle.predict_category(name, manufacturer, k) p
$function$;

create or replace function api.recommend(user_id text, k integer default 10, context jsonb default null)
returns table (rank integer, item_id text, score double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $function$
    select * from aisle.recommend(user_id, k, context => context)
$function$;

create or replace function api.next_basket(user_id text, k integer default null)
returns table (rank integer, item_id text, probability double precision, bought_before boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $function$
    select b.rank, b.item_id, b.probability, b.bought_before from aisle.next_basket(user_id, k) b
$function$;

-- PostgREST logs in as shop_http and runs every request as web_anon. An empty password lets nobody log in.
do $roles$
begin
    if not exists (select from pg_roles where rolname = 'web_anon') then
        create role web_anon nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'shop_http') then
        create role shop_http login noinherit;
    end if;
end
$roles$;
alter role shop_http password :'password';
grant web_anon to shop_http;

revoke execute on all functions in schema api from public;
grant usage on schema api to web_anon;
grant execute on all functions in schema api to web_anon;
