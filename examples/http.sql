-- The answers over HTTP, by PostgREST: a schema `api` with the functions that may be called, and the two roles it needs.
--
--     AISLE_HTTP_PASSWORD=… psql "$DATABASE_URL" --set=ON_ERROR_STOP=1 --file=examples/http.sql
--
-- Run it as the role that ran `aisle migrate`, again after a change here. `docker compose --profile http up` does both.
--
-- A schema of its own, because PostgREST shows every function of a schema that it serves, and cannot tell
-- recommend(text) from recommend(bigint). The functions run with their owner's rights, so that the roles below need none
-- on the schema `aisle` or the shop's tables: what can be asked over HTTP is what stands here, and nothing else. Policies of
-- the shop's tables hold as they do for the owner. Where they must hold for the caller, leave `security definer` out, and give
-- web_anon what any application needs: aisle grant --reader web_anon
--
-- Whoever reaches the port may ask about any user. Keep it behind the shop's own backend; or take the user from the token
-- instead of an argument: current_setting('request.jwt.claims', true)::jsonb ->> 'sub'.
\getenv password AISLE_HTTP_PASSWORD

create schema if not exists api;

create or replace function api.predict_category(name text, manufacturer text default null, k integer default 3)
returns table (rank integer, category text, confidence double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $function$
    select * from aisle.predict_category(name, manufacturer, k)
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

-- shop_http connects and may become web_anon, as which every request runs. An empty password lets nobody in.
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
