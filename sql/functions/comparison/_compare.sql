-- Compares the next rows of a task with their vectors, and queues what no trigger told of: a trigger was dropped or did not fire, rows
-- were restored, or we made a mistake. It goes through rows and vectors in the order of their ids, a step a call, from where the last
-- call of any worker ended. The next step is due when the rate allows it; a pass takes a minute at least. Returns how many rows it
-- found; null if no step is due, or if another worker is comparing.
create or replace function aisle._compare(task text, rate integer) returns bigint
language plpgsql volatile
set lock_timeout = '100ms'
as $function$
#variable_conflict use_variable
declare
    shortest_pass constant interval := '1 minute';
    step constant integer := least(greatest(5 * rate, 1), 2000);  -- rows
    comparison aisle._comparisons;
    followed constant aisle._tasks := (select t from aisle._tasks t where t.task = task);
    source aisle._attachments := (select a from aisle._attachments a where a.kind = followed.follows);
    base regclass;
    ids text;
    rows text[];
    vectors text[];
    found bigint := 0;
    gone bigint := 0;
    is_over boolean;
begin
    if source.kind is null or source.is_paused or not exists (select from aisle._models m where m.task = task and m.state = 'ready') then
        return null;
    end if;
    -- Only the first time: to find a conflict, an insert would wait for a worker that is comparing.
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
    -- Through a view, to the table that has the ids.
    select o.relation, o.column_name into base, ids
    from aisle._origin(source.relation, source.columns ->> case source.kind when 'orders' then 'user' else 'id' end) o;
    if base is null or not aisle._has_index(base, array[ids]) or (select c.relkind not in ('r', 'p') from pg_class c where c.oid = base) then
        -- Each step would read the whole relation: compare all of it once a pass. Without triggers, differences are expected and not counted.
        perform aisle._enqueue_stale_rows(source.kind);
        execute format('select count(*) from %s', source.relation) into found;
        update aisle._comparisons c
        set started_at = aisle._now(), finished_at = aisle._now(),
            due_at = aisle._now() + greatest(shortest_pass, found * interval '1 second' / rate)
        where c.task = task;
        return 0;
    end if;
    execute format(
        case source.kind
            when 'items' then
                'select array(select i.id from aisle._items i where $1 is null or i.id > $1::%s order by i.id limit $2)::text[]'
            else
                'select array(select distinct o.user_id from aisle._orders o where $1 is null or o.user_id > $1::%s order by 1 limit $2)::text[]'
        end, source.id_type)
    into rows using comparison.after_row, step;
    execute format('select array(select distinct v.%1$I from aisle.%2$I v where $1 is null or v.%1$I > $1 order by 1 limit $2)',
                   followed.key_column, followed.row_vectors)
    into vectors using comparison.after_vector, step;
    found := aisle._queue_unnoticed(task, rows);
    gone := aisle._forget_unnoticed(task, array(select unnest(vectors) except select r.id from aisle._read_rows(task, vectors) r));
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
