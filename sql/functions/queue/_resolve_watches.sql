-- Turns entries of the log about watched rows into entries about the items or customers that these touch. It runs after those
-- transactions have committed, so it sees what each row leads to now. Returns whether there were any entries. An entry without ids stands
-- for a TRUNCATE: then every row is compared.
create or replace function aisle._resolve_watches() returns boolean
language plpgsql volatile
as $function$
#variable_conflict use_column
declare
    entry record;
    watch aisle._watches;
    ids text[];
    is_any boolean := false;
begin
    begin
        perform aisle._guard();
    exception when sqlstate 'AIS09' then
        return false;  -- whoever reads the rows says it
    end;
    for entry in
        with taken as materialized (
            select topic, ids, changed_at from aisle._take_changes(watched => true)
        )
        select t.topic, array(select distinct id from taken e, unnest(e.ids) id where e.topic = t.topic) as keys,
               bool_or(t.ids = '{}') as is_truncated, min(t.changed_at) as since
        from taken t
        group by t.topic
    loop
        is_any := true;
        select * into watch from aisle._watches w where w.topic = entry.topic;
        continue when (select a.is_paused from aisle._attachments a where a.kind = watch.kind);
        if entry.is_truncated then
            perform aisle._enqueue_stale_rows(watch.kind);
        end if;
        begin
            execute format('select array(select distinct w.id from unnest($1) k (key) cross join lateral aisle._touched_by_%s(k.key) w (id))',
                           watch.topic)
            into ids using entry.keys;
        exception when others then
            -- One row that the query cannot take must not hold up all others: whatever is stale is found by comparing.
            raise warning 'Aisle cannot tell what changes in % touch: %. It compares all %.', watch.relation, sqlerrm, watch.kind;
            perform aisle._enqueue_stale_rows(watch.kind);
            ids := '{}';
        end;
        insert into aisle._changes (topic, ids, changed_at)
        select watch.kind, array_agg(i.id), entry.since
        from unnest(ids) with ordinality i (id, n)
        group by i.n / 100000;
    end loop;
    return is_any;
end
$function$;
