create or replace function aisle.resume(kind text) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration constant jsonb := aisle._redeclared(kind);
    arguments text;
    said text;
begin
    if declaration is null then
        raise exception 'No % are attached.', kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    perform aisle.pause(kind);
    select string_agg(case jsonb_typeof(d.value)
               when 'array' then format('%I => %L::text[]', d.key, array(select jsonb_array_elements_text(d.value)))
               else format('%I => %L', d.key, d.value #>> '{}') end, ', ')
    into arguments
    from jsonb_each(declaration || case kind when 'items' then '{"accept_changes": true}' else '{}' end::jsonb) d;
    execute format('select aisle.%I(%s)', 'attach_' || kind, arguments) into said;
    if exists (select from aisle._tasks t where t.follows = kind) then
        said := said || format(e'\n%s rows differ from their vectors; they wait for a worker.', aisle._enqueue_stale_rows(kind));
    end if;
    return said;
end
$function$;

comment on function aisle.resume(text) is
    'Puts Aisle''s views and triggers back as they were declared, after aisle.pause or after they were damaged, on the tables that have the '
    'declared names now. Keeps each vector whose row reads as before, and queues the others.';
