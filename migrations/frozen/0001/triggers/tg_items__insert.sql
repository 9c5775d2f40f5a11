-- Once for each INSERT, COPY or MERGE: logs the ids of the new rows for the workers, and has drafts made of a few. Arguments:
-- the id column, the number of rows that get drafts, and `padded` if the id is char(n). Microseconds count here: it is what
-- every single insert of the shop's pays.
create or replace function aisle.tg_items__insert() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    ids text[];
begin
    begin
        -- The id of a single row comes by way of jsonb, because a dynamic query is planned anew for every statement.
        ids := array(select to_jsonb(r) ->> tg_argv[0] from new_rows r limit 2);
        if cardinality(ids) > 1 or tg_nargs > 2 or ids[1] is null then
            execute format('select array(select %I::text from new_rows limit 100001)', tg_argv[0]) into ids;
        end if;
    exception when others then
        raise warning 'Aisle cannot read the ids of new rows of %: %. Its vectors lag behind.', tg_relid::regclass, sqlerrm
            using hint = 'Detach the items and attach them again.';
        return null;
    end;
    if cardinality(ids) > 100000 then
        -- Ids of millions of rows are no one value: each entry of the log takes its share.
        for ids in execute format(
            'select array_agg(id) from (select %I::text as id, row_number() over () as n from new_rows) r
             group by n / 100000', tg_argv[0])
        loop
            perform aisle._enqueue('items', ids);
        end loop;
    elsif ids <> '{}' then
        -- As in _enqueue, without the price of a call.
        insert into aisle._changes (topic, ids, changed_at) values ('items', ids, aisle._now());
        if current_setting('aisle.notify', true) is distinct from 'off' then
            perform pg_notify('aisle_embedding_jobs', 'items');
        end if;
        if cardinality(ids) <= tg_argv[1]::integer then
            perform aisle._draft_items(ids, tg_argv[1]::integer);
        end if;
    end if;
    return null;
end
$trigger$;
