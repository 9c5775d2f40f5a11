-- For each row whose content or id changed; on partitioned tables and under logical replication for inserted and deleted
-- rows too. Arguments: the id column, which is read by way of jsonb, because a dynamic query would be planned for every row;
-- the number of rows that get drafts; and `padded` if the id is char(n), whose padding is no part of an id.
create or replace function aisle.tg_items__row() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    old_id text;
    new_id text;
    ids text[];
begin
    begin
        if tg_op <> 'INSERT' then
            old_id := to_jsonb(old) ->> tg_argv[0];
        end if;
        if tg_op <> 'DELETE' then
            new_id := to_jsonb(new) ->> tg_argv[0];
        end if;
        if coalesce(old_id, new_id) is null and not to_jsonb(coalesce(new, old)) ? tg_argv[0] then
            raise undefined_column using message = format('there is no column %s', tg_argv[0]);
        end if;
        if tg_nargs > 2 then
            old_id := rtrim(old_id, ' ');
            new_id := rtrim(new_id, ' ');
        end if;
    exception when others then
        raise warning 'Aisle cannot read the id of a row of %: %. Its vectors lag behind.', tg_relid::regclass, sqlerrm
            using hint = 'Detach the items and attach them again.';
        return null;
    end;
    if old_id is distinct from new_id and old_id is not null then
        perform aisle._items_removed(array[old_id]);
    end if;
    if tg_op = 'UPDATE' and old_id <> new_id then
        -- The same statement may have given the old id to another row, as `set id = id + 1` does. If it did not, the
        -- worker finds no such row and drops the job.
        ids := array[old_id, new_id];
    elsif new_id is not null then
        ids := array[new_id];
    end if;
    if ids is not null then
        perform aisle._enqueue('items', ids);
        if tg_argv[1] <> '0' then
            perform aisle._draft_items(ids, tg_argv[1]::integer);
        end if;
    end if;
    return null;
end
$trigger$;
