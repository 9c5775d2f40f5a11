-- Takes away the views of a kind, its watches, and its triggers on the shop's tables with their functions. Leaves all that was derived.
create or replace function aisle._unhook(kind text) returns void
language plpgsql volatile
set client_min_messages = warning  -- not "does not exist, skipping"
as $function$
#variable_conflict use_variable
declare
    trigger_name name;
    target regclass;
    function_name name;
    signature regprocedure;
begin
    for trigger_name, target, function_name in
        select t.tgname, t.tgrelid, p.proname
        from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid
        where p.pronamespace = 'aisle'::regnamespace and starts_with(t.tgname, 'aisle_500_') and not t.tgisinternal and t.tgparentid = 0
          and (starts_with(p.proname, format('tg_%s__', kind)) or starts_with(p.proname, format('tg_watch_%s_', kind)))
    loop
        execute format('drop trigger %I on %s', trigger_name, target);
    end loop;
    execute format('drop view if exists %s aisle.%I, aisle.%I', case kind when 'orders' then 'aisle._customers,' end,
                   '_' || kind, format('_%s_source', kind));
    if kind = 'items' then
        perform aisle._drop_write_back();
        drop function if exists aisle._category_paths(text[]);
        drop view if exists aisle._categories, aisle._category_nodes;
    end if;
    for signature in
        select p.oid from pg_proc p
        where p.pronamespace = 'aisle'::regnamespace
          and (p.proname in (format('tg_%s__insert', kind), format('tg_%s__delete', kind), format('tg_%s__row', kind))
               or starts_with(p.proname, format('tg_watch_%s_', kind)) or starts_with(p.proname, format('_touched_by_watch_%s_', kind)))
    loop
        execute format('drop function %s', signature);
    end loop;
    delete from aisle._changes c where c.topic in (select w.topic from aisle._watches w where w.kind = kind);
    delete from aisle._watches w where w.kind = kind;
end
$function$;
