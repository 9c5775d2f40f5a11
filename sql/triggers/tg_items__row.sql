-- For each row whose content or id changed; on partitioned tables and under logical replication for inserted and deleted
-- rows too. Argument: the id column.
create or replace function aisle.tg_items__row() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    old_id text;
    new_id text;
begin
    if tg_op <> 'INSERT' then
        execute format('select ($1).%I::text', tg_argv[0]) into old_id using old;
    end if;
    if tg_op <> 'DELETE' then
        execute format('select ($1).%I::text', tg_argv[0]) into new_id using new;
    end if;
    if old_id is distinct from new_id and old_id is not null then
        perform aisle._forget_items(array[old_id]);
    end if;
    if tg_op = 'UPDATE' and old_id <> new_id then
        -- The same statement may have given the old id to another row, as `set id = id + 1` does. If it did not, the
        -- worker finds no such row and drops the job.
        perform aisle._items_changed(array[old_id, new_id]);
    elsif new_id is not null then
        perform aisle._items_changed(array[new_id]);
    end if;
    return null;
exception when undefined_column then
    raise warning 'Aisle no longer finds the column % of %; its vectors lag behind.', tg_argv[0], tg_relid::regclass
        using hint = 'Detach the items and attach them again.';
    return null;
end
$trigger$;
