-- Once for each DELETE: the vectors go with their rows. Argument: the id column.
create or replace function aisle.tg_items__delete() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    ids text[];
begin
    for ids in execute format(
        'select array_agg(id) from (select %1$I::text as id, row_number() over () as n from old_rows where %1$I is not null) r
         group by n / 100000', tg_argv[0])
    loop
        perform aisle._items_removed(ids);
    end loop;
    return null;
exception when undefined_column then
    raise warning 'Aisle no longer finds the column % of %; its vectors lag behind.', tg_argv[0], tg_relid::regclass
        using hint = 'Detach the items and attach them again.';
    return null;
end
$trigger$;
