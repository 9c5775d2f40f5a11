-- Compares the next rows of a task with their vectors, and queues what nothing had told of: a trigger that was dropped or did not fire,
-- rows that were restored, a fault of ours. Then it is no time to do so again for as long as the rate says. Goes through rows and
-- vectors in the order of their ids, a step a call, from wherever the last call of any worker has ended. A pass takes a minute at
-- least. Returns how many rows it found; null if it is not due, or another worker is at it.
create or replace function aisle._compare(task text, rate integer) returns bigint
language plpgsql volatile
set lock_timeout = '100ms'
as $function$
#variable_conflict use_variable
declare
    shortest_pass constant interval := '1 minute';
    step constant integer := least(greatest(5 * rate, 1), 2000);  -- rows
    comparison aisle._comparisons;
    source aisle._attachments := (
        select a from aisle._attachments a where a.kind = case task when 'basket' then 'orders' else 'items' end);
    rows text[];
    vectors text[];
    found bigint := 0;
    gone bigint := 0;
    is_over boolean;
begin
    if source.kind is null or not exists (select from aisle._models m where m.task = task and m.state = 'ready') then
        return null;
    end if;
    -- Not always: to find a conflict it would wait for a worker that is at it.
    if not exists (select from aisle._comparisons c where c.task = task) then
        insert into aisle._comparisons (task, started_at, due_at) values (task, aisle._now(), aisle._now()) on conflict do nothing;
    end if;
    select c.* into comparison from aisle._comparisons c
    where c.task = task and c.due_at <= aisle._now()
    for update skip locked;
    if comparison.task is null then
        return null;
    end if;
    perform aisle._guard();
    if not aisle._has_index(source.relation, array[source.columns ->> case task when 'basket' then 'user' else 'id' end])
       or (select c.relkind not in ('r', 'p') from pg_class c where c.oid = source.relation) then
        -- Each step would read all of it: once a pass will do. Without triggers it is no wonder if there is something to find.
        if task = 'basket' then
            perform aisle._enqueue_stale_customers();
        else
            perform aisle._enqueue_stale_items();
        end if;
        execute format('select count(*) from %s', source.relation) into found;
        update aisle._comparisons c
        set started_at = aisle._now(), finished_at = aisle._now(),
            due_at = aisle._now() + greatest(shortest_pass, found * interval '1 second' / rate)
        where c.task = task;
        return 0;
    end if;
    if task = 'basket' then
        execute format(
            'select array(select distinct o.user_id from aisle._orders o where $1 is null or o.user_id > $1::%s order by 1 limit $2)::text[]',
            source.id_type) into rows using comparison.after_row, step;
        vectors := array(
            select distinct v.user_id from aisle.customer_vectors v
            where comparison.after_vector is null or v.user_id > comparison.after_vector order by 1 limit step);
        found := aisle._queue_unnoticed_customers(rows);
        gone := aisle._forget_unnoticed(task, array(
            select unnest(vectors) except select c.user_id from aisle._read_customers(vectors) c));
    else
        execute format(
            'select array(select i.id from aisle._items i where $1 is null or i.id > $1::%s order by i.id limit $2)::text[]',
            source.id_type) into rows using comparison.after_row, step;
        vectors := case task when 'category' then array(
            select distinct v.item_id from aisle.item_vectors v
            where comparison.after_vector is null or v.item_id > comparison.after_vector order by 1 limit step)
        else array(
            select distinct f.item_id from aisle.item_factors f
            where comparison.after_vector is null or f.item_id > comparison.after_vector order by 1 limit step) end;
        found := aisle._queue_unnoticed_items(task, rows);
        gone := aisle._forget_unnoticed(task, array(
            select unnest(vectors) except select i.item_id from aisle._read_items(vectors) i));
    end if;
    is_over := cardinality(rows) < step and cardinality(vectors) < step;
    update aisle._comparisons c
    set after_row = case when is_over then null when cardinality(rows) > 0 then rows[cardinality(rows)] else c.after_row end,
        after_vector = case when is_over then null when cardinality(vectors) > 0 then vectors[cardinality(vectors)] else c.after_vector end,
        finished_at = case when is_over then aisle._now() else c.finished_at end,
        started_at = case when is_over then greatest(aisle._now(), c.started_at + shortest_pass) else c.started_at end,
        due_at = greatest(aisle._now() + step * interval '1 second' / rate,
                          case when is_over then c.started_at + shortest_pass end),
        mended = c.mended + found + gone,
        last_mended_at = case when found + gone > 0 then aisle._now() else c.last_mended_at end
    where c.task = task;
    return found + gone;
end
$function$;
