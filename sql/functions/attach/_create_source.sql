-- Creates the view aisle._<kind>_source of a query, or of a table some of whose columns are declared as expressions. `columns` maps the
-- names of the view's columns to columns or expressions; `key` is that of the ids. The view reads with its caller's rights, so row
-- security holds.
create or replace function aisle._create_source(kind text, target regclass, query text, columns jsonb, key text) returns regclass
language plpgsql volatile
as $function$
declare
    name constant text := format('_%s_source', kind);
    missing text;
begin
    if query is not null then
        execute format('create view aisle._query as %s', query);
        target := 'aisle._query'::regclass;
    end if;
    select string_agg(quote_ident(c.value), ', ') into missing
    from jsonb_each_text(columns) c
    where not aisle._is_expression(target, c.value)
      and not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0);
    if missing is not null then
        raise exception 'The query of the % has no column %.', kind, missing
            using errcode = 'AIS05', hint = (select 'Its columns: ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                                             from pg_attribute a where a.attrelid = target and a.attnum > 0);
    end if;
    execute format(
        'create view aisle.%I with (security_invoker = true) as select %s from %s r',
        name, concat_ws(', ', nullif(aisle._selected(target, columns - key), ''),
                        format('r.%I as %I', columns ->> key, key)),  -- last, where aisle._origin looks
        coalesce('(' || query || ')', target::text));
    drop view if exists aisle._query;
    perform aisle._copy_grants('aisle._attachments', format('aisle.%I', name));
    return format('aisle.%I', name)::regclass;
end
$function$;
