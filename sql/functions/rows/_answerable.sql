-- Returns those ids that an answer may name, in their order, until there are k (null: all): rows of the attached items that the caller can
-- see, that are eligible, and the first of their group. Leaves out groups that one of `excluded` is of. All of the ids if no items are
-- attached. The first few batches nearly always suffice. Each type of ids has a statement of its own, instead of one that is put
-- together, so that its plan is kept.
create or replace function aisle._answerable(ids text[], k integer, excluded text[] default '{}') returns text[]
language plpgsql stable parallel safe
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    groups constant boolean := attached.declaration ? 'group_column';
    at_most constant integer := 1000;  -- excluded items whose groups are looked up, the first ones
    answerable text[] := '{}';
    used text[] := '{}';  -- groups
    start bigint := 1;
    size bigint := coalesce(aisle._candidates_for(k), cardinality(ids));
    batch text[];
    uuids uuid[];
    numbers bigint[];
    found text[];
    their_groups text[];
begin
    if attached.kind is null then
        return ids;
    end if;
    perform aisle._check_source(attached);
    if groups and excluded <> '{}' then
        execute format('select array_agg(distinct i.group_id) from aisle._items i where i.id = any ($1::%s[]) and i.group_id is not null',
                       attached.id_type)
        into used using aisle._castable_ids(excluded[:at_most], attached.id_type);
        used := coalesce(used, '{}');
    end if;
    while start <= cardinality(ids) and (k is null or cardinality(answerable) < k) loop
        batch := ids[start : least(start + size - 1, cardinality(ids))];
        if attached.id_type = 'text' then
            select array_agg(i.item_id), case when groups then array_agg(i.group_id) end into found, their_groups
            from aisle._items i where i.id = any (batch) and i.is_eligible;
        elsif attached.id_type = 'uuid' then
            uuids := aisle._castable_ids(batch, attached.id_type);
            select array_agg(i.item_id), case when groups then array_agg(i.group_id) end into found, their_groups
            from aisle._items i where i.id = any (uuids) and i.is_eligible;
        else
            numbers := aisle._castable_ids(batch, attached.id_type);
            select array_agg(i.item_id), case when groups then array_agg(i.group_id) end into found, their_groups
            from aisle._items i where i.id = any (numbers) and i.is_eligible;
        end if;
        if not groups then
            answerable := answerable || array(
                select b.id from unnest(batch) with ordinality b (id, place) where b.id in (select unnest(found)) order by b.place);
        else
            with firsts as (
                select distinct on (coalesce(f.group_id, 'item ' || b.id)) b.id, b.place, f.group_id
                from unnest(batch) with ordinality b (id, place)
                join unnest(found, their_groups) f (id, group_id) on f.id = b.id
                where f.group_id is null or f.group_id <> all (used)
                order by coalesce(f.group_id, 'item ' || b.id), b.place
            )
            select answerable || coalesce(array_agg(f.id order by f.place), '{}'),
                   used || coalesce(array_agg(f.group_id order by f.place) filter (where f.group_id is not null), '{}')
            into answerable, used
            from firsts f;
        end if;
        start := start + size;
        size := 10 * size;
    end loop;
    return case when k is null then answerable else answerable[:k] end;
end
$function$;
