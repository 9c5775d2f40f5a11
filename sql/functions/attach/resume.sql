create or replace function aisle.resume(kind text) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration constant jsonb := aisle._redeclared(kind);
    -- What was accepted before is not refused because the items are paused, too, or because a foreign key still leads to a swapped table.
    accepted constant text := case kind when 'items' then 'accept_changes' else 'accept_item_ids' end;
    arguments text;
    said text;
    code text;
    advice text;
begin
    if declaration is null then
        raise exception 'No % are attached.', kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    perform aisle.pause(kind);
    select string_agg(case jsonb_typeof(d.value)
               when 'array' then format('%I => %L::text[]', d.key, array(select jsonb_array_elements_text(d.value)))
               else format('%I => %L', d.key, d.value #>> '{}') end, ', ')
    into arguments
    from jsonb_each(declaration || jsonb_build_object(accepted, true)) d;
    begin
        execute format('select aisle.%I(%s)', 'attach_' || kind, arguments) into said;
    exception when sqlstate 'AIS04' or sqlstate 'AIS05' or sqlstate 'AIS06' then
        get stacked diagnostics code = returned_sqlstate, advice = pg_exception_hint;
        raise exception '%', sqlerrm using errcode = code, hint = concat_ws(
            ' ', regexp_replace(nullif(advice, ''), '([^.])$', '\1.'),
            'If a migration changed what was declared, change that: aisle attach -f FILE --accept-changes');
    end;
    if not declaration ? accepted then
        update aisle._attachments a set declaration = a.declaration - accepted where a.kind = kind;
    end if;
    if exists (select from aisle._tasks t where t.follows = kind) then
        said := said || format(e'\n%s rows differ from their vectors; they wait for a worker.', aisle._enqueue_stale_rows(kind));
    end if;
    return said;
end
$function$;

comment on function aisle.resume(text) is
    'Puts Aisle''s views and triggers back as they were declared, after aisle.pause or after they were damaged, on the tables that have the '
    'declared names now. Keeps each vector whose row reads as before, and queues the others.';
