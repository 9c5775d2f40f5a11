-- Once for each INSERT, COPY or MERGE: hands on the ids of the new rows. Argument: the id column.
create or replace function aisle.tg_items__insert() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    ids text[];
begin
    execute format('select array_agg(%1$I::text) from new_rows where %1$I is not null', tg_argv[0]) into ids;
    if ids is not null then
        perform aisle._items_changed(ids);
    end if;
    return null;
exception when undefined_column then
    raise warning 'Aisle no longer finds the column % of %; its vectors lag behind.', tg_argv[0], tg_relid::regclass
        using hint = 'Detach the items and attach them again.';
    return null;
end
$trigger$;
