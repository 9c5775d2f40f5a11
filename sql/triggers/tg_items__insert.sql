-- Once for each INSERT, COPY or MERGE: hands on the ids of the new rows. Arguments: the id column, and `padded` if it is char(n).
create or replace function aisle.tg_items__insert() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    ids text[];
    is_long boolean;
begin
    begin
        -- The id of a single row comes by way of jsonb, because a dynamic query is planned anew for every statement.
        select array_agg(to_jsonb(r) ->> tg_argv[0]) into ids from (select * from new_rows limit 2) r
        having count(*) = 1 and tg_nargs = 1;
        if ids[1] is null then
            execute format(
                'select array_agg(%1$I::text) filter (where %1$I is not null), count(*) > 100000
                 from (select %1$I from new_rows limit 100001) r', tg_argv[0])
            into ids, is_long;
        end if;
    exception when others then
        raise warning 'Aisle cannot read the ids of new rows of %: %. Its vectors lag behind.', tg_relid::regclass, sqlerrm
            using hint = 'Detach the items and attach them again.';
        return null;
    end;
    if is_long then
        -- Ids of millions of rows are no one value: each entry of the log takes its share.
        for ids in execute format(
            'select array_agg(id) from (select %1$I::text as id, row_number() over () as n from new_rows where %1$I is not null) r
             group by n / 100000', tg_argv[0])
        loop
            perform aisle._items_changed(ids);
        end loop;
    elsif ids is not null then
        perform aisle._items_changed(ids);
    end if;
    return null;
end
$trigger$;
