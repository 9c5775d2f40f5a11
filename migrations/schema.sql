CREATE SCHEMA aisle;

CREATE DOMAIN aisle._vector AS public.vector;

CREATE TABLE aisle._attachments (
    kind text NOT NULL,
    relation regclass NOT NULL,
    lines regclass,
    id_type text NOT NULL,
    columns jsonb NOT NULL,
    category_separator text DEFAULT ' > '::text NOT NULL,
    draft_rows integer DEFAULT 100 NOT NULL,
    time_type text,
    time_zone text,
    attached_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT _attachments_category_separator_check CHECK ((category_separator <> ''::text)),
    CONSTRAINT _attachments_draft_rows_check CHECK ((draft_rows >= 0)),
    CONSTRAINT _attachments_id_type_check CHECK ((id_type = ANY (ARRAY['smallint'::text, 'integer'::text, 'bigint'::text, 'uuid'::text, 'text'::text]))),
    CONSTRAINT _attachments_kind_check CHECK ((kind = ANY (ARRAY['items'::text, 'interactions'::text, 'orders'::text]))),
    CONSTRAINT _attachments_time_type_check CHECK ((time_type = ANY (ARRAY['timestamp with time zone'::text, 'timestamp without time zone'::text, 'date'::text, 'smallint'::text, 'integer'::text, 'bigint'::text])))
);

CREATE FUNCTION aisle._before(source aisle._attachments, as_of timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (as_of IS NULL) THEN ''::text
             ELSE format('and e.at < %L::%s'::text,
             CASE
                 WHEN ((source).time_type = 'timestamp with time zone'::text) THEN to_char((as_of AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI:SS.US+00'::text)
                 WHEN ((source).time_type = ANY (ARRAY['timestamp without time zone'::text, 'date'::text])) THEN to_char((as_of AT TIME ZONE (source).time_zone), 'YYYY-MM-DD HH24:MI:SS.US'::text)
                 ELSE (ceil((EXTRACT(epoch FROM (as_of AT TIME ZONE (source).time_zone)) / (86400)::numeric)))::text
             END,
             CASE (source).time_type
                 WHEN 'date'::text THEN 'timestamp without time zone'::text
                 ELSE (source).time_type
             END)
         END AS format;

END;

CREATE FUNCTION aisle._castable_ids(ids text[], id_type text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    return case
        when id_type = 'text' then ids
        when id_type = 'uuid' then
            array(select id from unnest(ids) id where id ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$')
        else array(
            select id from unnest(ids) id
            where case when id ~ '^-?[0-9]{1,19}$' then case id_type
                when 'bigint' then id::numeric between -9223372036854775808 and 9223372036854775807
                when 'integer' then id::numeric between -2147483648 and 2147483647
                else id::numeric between -32768 and 32767 end end)
    end;
end
$_$;

CREATE FUNCTION aisle._categorise(model_id integer, query public.vector, k integer, level integer) RETURNS TABLE(rank integer, category text, confidence double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    model integer := _categorise.model_id;
    separator text;
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif level < 1 then
        raise exception 'level must be at least 1, not %.', level using errcode = 'AIS06';
    elsif level is null then
        return query
            with logits as materialized (
                select c.category, c.floor, c.bias - (c.embedding operator(public.<#>) query) as logit
                from aisle.category_vectors c
                where c.model_id = model
            ), weights as materialized (
                -- Where others round to 0, PostgreSQL's exp() and division raise an error: stay far above e^-745.
                select l.category, l.floor, l.logit,
                       exp(greatest(l.logit - (select max(h.logit) from logits h), -600)) as weight
                from logits l
            ), total as materialized (
                select sum(w.weight) as mass, 1 - sum(w.floor) as rest from weights w
            )
            select (row_number() over (order by best.logit desc, best.category))::integer, best.category,
                   t.rest * best.weight / t.mass + best.floor
            from (select w.* from weights w order by w.logit desc, w.category limit k) best, total t
            order by 1;
    else
        separator := (select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = model);
        return query
            with leaves as (
                select l.category, l.confidence from aisle._categorise(model, query, 1000000000, null) l
            ), nodes as (
                select c.path[:level] as path, sum(l.confidence) as confidence
                from leaves l
                join aisle.category_vectors c on c.model_id = model and c.category = l.category
                group by 1
            )
            select (row_number() over (order by n.confidence desc, n.path))::integer,
                   array_to_string(n.path, separator), n.confidence
            from nodes n
            order by n.confidence desc, n.path
            limit k;
    end if;
end
$$;

CREATE FUNCTION aisle._check_context(model_id integer, context jsonb) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    known text[];
    unknown text;
begin
    if context is null or context = '{}' then
        return;
    elsif jsonb_typeof(context) <> 'object' then
        raise exception 'context must be an object, not %.', jsonb_typeof(context)
            using errcode = 'AIS06', hint = 'For example: ''{"meal_time": "lunch"}''';
    end if;
    known := array['hour', 'weekday', 'meal_slot']
        || array(select jsonb_array_elements_text((aisle._event_source()).columns -> 'context'))
        || array(select distinct c.feature from aisle.context_vectors c where c.model_id = _check_context.model_id and c.feature <> '');
    select string_agg(quote_literal(name), ', ') into unknown from jsonb_object_keys(context) name where name <> all (known);
    if unknown is not null then
        raise exception 'There is no context %.', unknown
            using errcode = 'AIS06', hint = (select 'There are: ' || string_agg(distinct name, ', ') from unnest(known) name);
    end if;
end
$$;

CREATE FUNCTION aisle._check_task(task text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    tasks constant text[] := '{category,recommender,basket,preference}';
begin
    if task <> all (tasks) then
        raise exception 'There is no task %.', quote_literal(task)
            using errcode = 'AIS06', hint = 'There are: ' || array_to_string(tasks, ', ');
    end if;
end
$$;

CREATE FUNCTION aisle._collect_changes() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    collected bigint;
    truncated text[];  -- topics
begin
    with locked as (
        select change_id, ids from aisle._changes where topic <> 'lines' order by change_id limit 1000 for update skip locked
    ), oldest as (
        select change_id, sum(cardinality(ids)) over (order by change_id) - cardinality(ids) as before from locked
    ), taken as (
        delete from aisle._changes
        where change_id = any (array(select change_id from oldest where before < 20000))
        returning topic, ids, changed_at
    ), collected_jobs as (
        insert into aisle._embedding_jobs as job (task, id, version, enqueued_at, run_after)
        select task, id, count(*), min(changed_at), min(changed_at)
        from taken, unnest(ids) id, unnest(aisle._tasks_of(topic)) task
        where octet_length(id) <= 2600  -- no index could hold it
        group by task, id
        order by id, task
        on conflict on constraint _embedding_jobs_pkey do update
            set version = job.version + excluded.version, priority = 0, run_after = excluded.run_after, attempts = 0,
                enqueued_at = case when job.priority = 2 or job.is_dead then excluded.enqueued_at else job.enqueued_at end,
                is_dead = false, last_error = null, leased_until = null, lease_token = null
        returning 1
    )
    select (select count(*) from collected_jobs), array(select topic from taken where ids = '{}') into collected, truncated;
    if 'items' = any (truncated) then
        perform aisle._forget_gone_items();
    end if;
    if 'basket' = any (truncated) then
        perform aisle._forget_gone_customers();
    end if;
    return collected;
end
$$;

CREATE FUNCTION aisle._column_type(target regclass, column_name text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (t.typname = ANY (ARRAY['varchar'::name, 'bpchar'::name, 'name'::name])) THEN 'text'::text
             ELSE format_type(t.oid, NULL::integer)
         END AS format_type
    FROM ((pg_attribute a
      JOIN pg_type d ON ((d.oid = a.atttypid)))
      JOIN pg_type t ON ((t.oid =
         CASE
             WHEN (d.typtype = 'd'::"char") THEN d.typbasetype
             ELSE d.oid
         END)))
   WHERE ((a.attrelid = (_column_type.target)::oid) AND (a.attname = _column_type.column_name));

END;

CREATE FUNCTION aisle._compare(task text, rate integer) RETURNS bigint
    LANGUAGE plpgsql
    SET lock_timeout TO '100ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION aisle._complete_basket(model_id integer, item_ids text[], k integer, user_id text, gone_too boolean DEFAULT false) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE plpgsql STABLE ROWS 10 PARALLEL SAFE
    SET "hnsw.iterative_scan" TO 'strict_order'
    SET "hnsw.ef_search" TO '120'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
#variable_conflict use_variable
declare
    cart public.vector;
    known constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    end if;
    item_ids := array_remove(item_ids, null);
    select (public.sum(b.cart) operator(public.*) array_fill(1 / sqrt(count(*)), array[max(public.vector_dims(b.cart))])::public.vector)
           operator(public.||) '[1]'::public.vector
    into cart
    from aisle.basket_items b
    where b.model_id = model_id and b.item_id = any (item_ids)
    having count(*) > 0;
    if cart is null then
        return query
            select (row_number() over (order by n.rank))::integer, n.item_id, n.score
            from aisle._next_basket(model_id, user_id, least(k::bigint + coalesce(cardinality(item_ids), 0), 2147483647)::integer) n
            where n.item_id <> all (coalesce(item_ids, '{}'))
            order by n.rank
            limit k;
        return;
    end if;
    return query execute format(
        'with bought_with as materialized (
             select c.item_id, sum(c.cosine) as cosine
             from aisle.%1$I b, unnest(b.companions, b.cosines) c (item_id, cosine)
             where b.item_id = any ($2) and c.item_id <> all ($2)
             group by c.item_id
         ), near as materialized (
             select b.item_id from aisle.%1$I b
             where b.item_id <> all ($2)
             order by b.completion::public.halfvec(%2$s) operator(public.<#>) $1::public.halfvec(%2$s)
             limit $3
         ), likely as materialized (
             select n.item_id, n.probability
             from aisle._next_basket($4, $5, 100) n
             where $5 is not null and n.item_id <> all ($2)
         ), candidates as (
             (select w.item_id from bought_with w order by w.cosine desc, w.item_id limit $3)
             union select n.item_id from near n
             union select l.item_id from likely l
         ), scored as (
             select c.item_id, -(b.completion operator(public.<#>) $1) + $6 * ln(coalesce(w.cosine, 0) + .001)
                    + coalesce(ln(l.probability / (b.popularity + $7)), 0) as score
             from candidates c
             join aisle.%1$I b on b.item_id = c.item_id
             left join bought_with w on w.item_id = c.item_id
             left join likely l on l.item_id = c.item_id
         )
         select (row_number() over (order by s.score desc, s.item_id))::integer, s.item_id, s.score
         from scored s
         where not $9 or s.item_id = any ((
             select aisle._existing_items(array(select s.item_id from scored s order by s.score desc, s.item_id), $8))::text[])
         order by 1
         limit $8',
        'basket_items_' || model_id, public.vector_dims(cart))
    using cart, item_ids, k::bigint + 100, model_id, user_id, (known ->> 'companions')::double precision,
          (known ->> 'rarest')::double precision, k,
          not gone_too and exists (select from aisle._attachments a where a.kind = 'items') or aisle._hides_items();
end
$_$;

CREATE FUNCTION aisle._content_hash(name text, manufacturer text, details text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT substr(sha256(convert_to(concat_ws(''::text, COALESCE(name, ''::text), COALESCE(manufacturer, ''::text), COALESCE(details, ''::text)), 'UTF8'::name)), 1, 16) AS substr;

END;

CREATE FUNCTION aisle._copy_execute(source regprocedure, target regprocedure) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    grantee regrole;
begin
    execute format('revoke all on function %s from public', target);
    for grantee in
        select a.grantee from pg_proc p, aclexplode(p.proacl) a where p.oid = source and a.grantee not in (0, p.proowner)
    loop
        execute format('grant execute on function %s to %s', target, grantee);
    end loop;
end
$$;

CREATE FUNCTION aisle._copy_grants(source regclass, target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    granted record;
begin
    execute format('revoke all on %s from public', target);
    for granted in
        select a.grantee::regrole as role, string_agg(a.privilege_type, ', ') as privileges
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = source and a.grantee not in (0, c.relowner)
        group by a.grantee
    loop
        execute format('grant %s on %s to %s', granted.privileges, target, granted.role);
    end loop;
end
$$;

CREATE FUNCTION aisle._cosine(a public.vector, b public.vector) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((1)::double precision - (a OPERATOR(public.<=>) b));

END;

CREATE FUNCTION aisle._create_generation(model_id integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    model aisle._models := (select m from aisle._models m where m.model_id = _create_generation.model_id);
    parent text;
begin
    foreach parent in array aisle._vector_tables(model.task) loop
        execute format(
            'create table aisle.%1$I (like aisle.%2$I including all,
                                      check (model_id = %3$s), check (public.vector_dims(embedding) = %4$s))',
            parent || '_' || model_id, parent, model_id, model.dimensions);
        -- Attaching, unlike `create … partition of`, waits for no reader and lets none wait.
        execute format('alter table aisle.%I attach partition aisle.%I for values in (%s)',
                       parent, parent || '_' || model_id, model_id);
        perform aisle._copy_grants(format('aisle.%I', parent), format('aisle.%I', parent || '_' || model_id));
        execute format('alter table aisle.%I disable row level security', parent || '_' || model_id);  -- see aisle._secure
    end loop;
    if model.task = 'recommender' then
        perform aisle._create_search(model_id, model.dimensions);
    end if;
end
$_$;

CREATE FUNCTION aisle._create_item_triggers(target regclass, is_partitioned boolean, columns jsonb, draft_rows integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    id constant text := columns ->> 'id';
    watched constant text[] := array_remove(
        array[id, columns ->> 'name', columns ->> 'manufacturer', columns ->> 'category']
        || array(select jsonb_array_elements_text(columns -> 'text')), null);
    id_text constant text := case when aisle._is_padded(target, id) then 'rtrim(concat(%1$s.%2$I), '' '')' else 'concat(%1$s.%2$I)' end;
    seen text[];
    drafts_of_rows text := '';
    drafts_of_row text := '';
    changed constant text := (
        select format('(%s) is distinct from (%s)', string_agg(w.old_value, ', '), string_agg(w.new_value, ', '))
        from (
            select case when is_comparable then format('old.%I', a.attname)
                        else aisle._text_of(target, a.attname, 'old') || ' collate "C"' end as old_value,
                   case when is_comparable then format('new.%I', a.attname)
                        else aisle._text_of(target, a.attname, 'new') || ' collate "C"' end as new_value
            from pg_attribute a
            left join pg_collation l on l.oid = a.attcollation
            cross join lateral (
                select a.atttypid = any ('{text,varchar,smallint,integer,bigint,uuid}'::regtype[])
                       and coalesce(l.collisdeterministic, true)) c (is_comparable)
            where a.attrelid = target and a.attname = any (watched) and a.attnum > 0 and not a.attisdropped) w);
begin
    if draft_rows > 0 and aisle._texts_seen(target, columns, 'r') is not null then
        seen := aisle._texts_seen(target, columns, 'r');
        drafts_of_rows := format($draft$
            if cardinality(ids) <= %1$s then
                perform aisle._draft_items(d.ids, d.names, d.manufacturers, d.categories, d.details, %1$s)
                from (select array_agg(%2$s) as ids, array_agg(%3$s) as names, array_agg(%4$s) as manufacturers,
                             array_agg(%5$s) as categories, array_agg(%6$s) as details
                      from new_rows r where num_nonnulls(r.%7$I) = 1) d;
            end if;$draft$,
            draft_rows, format(id_text, 'r', id), seen[1], seen[2], seen[3], seen[4], id);
        seen := aisle._texts_seen(target, columns, 'new');
        drafts_of_row := format($draft$
            if new_id is not null then
                perform aisle._draft_items(array[new_id], array[%2$s], array[%3$s], array[%4$s], array[%5$s], %1$s);
                if tg_op = 'UPDATE' and %6$s is distinct from %4$s then
                    perform aisle._move_item(new_id, %4$s);
                end if;
            end if;$draft$,
            draft_rows, seen[1], seen[2], seen[3], seen[4], (aisle._texts_seen(target, columns, 'old'))[3]);
    end if;
    perform aisle._create_trigger_function('tg_items__insert', format($body$
        declare
            ids text[];
        begin
            begin
                ids := array(select %1$s from new_rows r where num_nonnulls(r.%2$I) = 1 limit 100001);
            exception when others then
                raise warning 'Aisle cannot read the ids of new rows of %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                    using hint = 'Detach the items and attach them again.';
                return null;
            end;
            if cardinality(ids) > 100000 then
                -- Ids of millions of rows are no one value: each entry of the log takes its share.
                for ids in
                    select array_agg(n.id)
                    from (select %1$s as id, row_number() over () as n from new_rows r where num_nonnulls(r.%2$I) = 1) n
                    group by n.n / 100000
                loop
                    perform aisle._enqueue('items', ids);
                end loop;
            elsif ids <> '{}' then
                -- As in _enqueue, without the price of a call.
                insert into aisle._changes (topic, ids, changed_at) values ('items', ids, aisle._now());
                if current_setting('aisle.notify', true) is distinct from 'off' then
                    perform pg_notify('aisle_embedding_jobs', 'items');
                end if;%3$s
            end if;
            return null;
        end
        $body$, format(id_text, 'r', id), id, drafts_of_rows));
    perform aisle._create_trigger_function('tg_items__delete', format($body$
        declare
            ids text[];
        begin
            for ids in
                select array_agg(o.id)
                from (select %1$s as id, row_number() over () as n from old_rows r where num_nonnulls(r.%2$I) = 1) o
                group by o.n / 100000
            loop
                perform aisle._items_removed(ids);
            end loop;
            return null;
        exception when others then
            raise warning 'Aisle cannot read the ids of removed rows of %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                using hint = 'Detach the items and attach them again.';
            return null;
        end
        $body$, format(id_text, 'r', id), id));
    -- For each row whose content or id changed; on partitioned tables and under logical replication for inserted and deleted rows too.
    perform aisle._create_trigger_function('tg_items__row', format($body$
        declare
            old_id text;
            new_id text;
            ids text[];
        begin
            begin
                if tg_op <> 'INSERT' and num_nonnulls(old.%3$I) = 1 then
                    old_id := %1$s;
                end if;
                if tg_op <> 'DELETE' and num_nonnulls(new.%3$I) = 1 then
                    new_id := %2$s;
                end if;
            exception when others then
                raise warning 'Aisle cannot read the id of a row of %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
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
                -- As in _enqueue, without the price of a call.
                insert into aisle._changes (topic, ids, changed_at) values ('items', ids, aisle._now());
                if current_setting('aisle.notify', true) is distinct from 'off' then
                    perform pg_notify('aisle_embedding_jobs', 'items');
                end if;%4$s
            end if;
            return null;
        end
        $body$, format(id_text, 'old', id), format(id_text, 'new', id), id, drafts_of_row));
    execute format(
        'create trigger aisle_500_update after update on %s for each row when (%s) execute function aisle.tg_items__row()', target, changed);
    execute format(
        'create trigger aisle_500_row after insert or delete on %s for each row execute function aisle.tg_items__row()', target);
    execute format(
        'create trigger aisle_500_truncate after truncate on %s for each statement execute function aisle.tg_items__truncate()', target);
    execute format('alter table %s enable always trigger aisle_500_update', target);
    execute format('alter table %s enable always trigger aisle_500_truncate', target);
    if is_partitioned then
        execute format('alter table %s enable always trigger aisle_500_row', target);
        return;
    end if;
    execute format('alter table %s enable replica trigger aisle_500_row', target);
    execute format(
        'create trigger aisle_500_insert after insert on %s referencing new table as new_rows for each statement
         execute function aisle.tg_items__insert()', target);
    execute format(
        'create trigger aisle_500_delete after delete on %s referencing old table as old_rows for each statement
         execute function aisle.tg_items__delete()', target);
end
$_$;

CREATE FUNCTION aisle._create_order_triggers(target regclass, lines regclass, columns jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    relation regclass;
    is_lines boolean;
    key text;
    read text[];
begin
    foreach relation in array array_remove(array[target, lines], null) loop
        is_lines := relation is not distinct from lines;
        continue when (select c.relkind not in ('r', 'p') from pg_class c where c.oid = relation);
        key := columns ->> case when is_lines then 'line_order' else 'user' end;
        -- What a model reads of this table, as texts: some types have no equality, and that of others could be their owner's.
        read := array(
            select distinct aisle._written(format('r.%I', columns ->> role)) || ' collate "C"'
            from unnest(case when is_lines then array['line_order', 'item', 'quantity']
                             when lines is not null then array['order', 'user', 'at']
                             else array['order', 'user', 'item', 'at', 'quantity'] end) role
            where columns ->> role is not null);
        perform aisle._create_trigger_function(case when is_lines then 'tg_lines__changed' else 'tg_orders__changed' end, format($body$
        declare
            ids text[];
        begin
            if tg_op = 'TRUNCATE' then
                perform aisle._enqueue('basket', '{}');
            elsif tg_op = 'INSERT' then
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct %1$s as id from new_rows r) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            elsif tg_op = 'DELETE' then
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct %1$s as id from old_rows r) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            else
                for ids in
                    select array_agg(k.id) from (select d.id, row_number() over () as n from (
                        select distinct c.id from (
                            (select %1$s as id, %2$s from new_rows r except all select %1$s, %2$s from old_rows r)
                            union all
                            (select %1$s, %2$s from old_rows r except all select %1$s, %2$s from new_rows r)) c) d where d.id is not null) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%3$L, ids);
                end loop;
            end if;
            return null;
        exception when others then
            raise warning 'Aisle cannot tell whose orders changed in %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                using hint = 'Detach the orders and attach them again.';
            return null;
        end
        $body$,
            format(case when aisle._is_padded(relation, key) then 'rtrim(%s, '' '') collate "C"' else '%s collate "C"' end, aisle._written(format('r.%I', key))),
            array_to_string(read, ', '), case when is_lines then 'lines' else 'basket' end), 'set extra_float_digits = 1');
        execute format(
            'create trigger aisle_500_orders_insert after insert on %1$s referencing new table as new_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_update after update on %1$s referencing old table as old_rows new table as new_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_delete after delete on %1$s referencing old table as old_rows
             for each statement execute function aisle.%2$I();
             create trigger aisle_500_orders_truncate after truncate on %1$s
             for each statement execute function aisle.%2$I()',
            relation, case when is_lines then 'tg_lines__changed' else 'tg_orders__changed' end);
    end loop;
end
$_$;

CREATE FUNCTION aisle._create_search(model_id integer, dimensions integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    perform '[1]'::public.vector;  -- loads the library: only then may a role that is no superuser set hnsw's settings
    execute format($definition$
        create function aisle._nearest_factors_%1$s(
            query public.vector, k integer, excluded text[], first_key text, last_key text, out item_ids text[], out scores double precision[])
        language plpgsql stable parallel safe
        set search_path from current
        set plan_cache_mode = force_generic_plan
        set enable_seqscan = off
        set jit = off
        set hnsw.iterative_scan = 'relaxed_order'
        set hnsw.ef_search = 40
        as $search$
        begin
            select array_agg(n.item_id), array_agg(n.score) into item_ids, scores
            from (select c.item_id, c.score
                  from (select f.item_id, -(f.embedding operator(public.<#>) query) as score
                        from aisle.item_factors_%1$s f
                        where f.item_id not in (select unnest(excluded))  -- hashed, whatever the plan
                          and (first_key is null or f.category_key >= first_key and f.category_key < last_key)
                        order by f.embedding::public.halfvec(%2$s) operator(public.<#>) query::public.halfvec(%2$s)
                        limit k::bigint + least(cardinality(excluded) / 10, 40) + case when first_key is null then (
                            select aisle._further(p.reltuples) from pg_class p where p.oid = 'aisle.item_factors_%1$s'::regclass)
                            else 0 end) c  -- in a category, each row more is found among many of other categories
                  order by c.score desc, c.item_id
                  limit k) n;
        end
        $search$
        $definition$, model_id, dimensions);
    perform aisle._copy_execute('aisle._nearest_factors'::regproc, ('aisle._nearest_factors_' || model_id)::regproc);
end
$_$;

CREATE FUNCTION aisle._create_trigger_function(name text, body text, settings text DEFAULT ''::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    execute format('create function aisle.%I() returns trigger language plpgsql volatile security definer
                    set search_path = pg_catalog, pg_temp %s as %L', name, settings, body);
    execute format('revoke all on function aisle.%I() from public', name);
end
$$;

CREATE FUNCTION aisle._customers_of(order_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
    order_type text;
    customers text[];
begin
    if source.kind is not null and aisle._guard() then
        order_type := aisle._column_type(source.relation, source.columns ->> 'order');
        execute format('select array(select distinct e.%1$I::%2$s::text from %3$s e where e.%4$I = any ($1::%5$s[]) and e.%1$I is not null)',
                       source.columns ->> 'user', source.id_type, source.relation, source.columns ->> 'order', order_type)
        into customers using aisle._castable_ids(order_ids, order_type);
    end if;
    return coalesce(customers, '{}');
end
$_$;

CREATE FUNCTION aisle._draft_items(ids text[], names text[], manufacturers text[], categories text[], details text[], draft_rows integer) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    budget constant double precision := .25;  -- seconds
    slice constant integer := 10;  -- rows
    shortest constant interval := '1 s';  -- statement_timeout
    statement constant text := extract(epoch from statement_timestamp())::text;
    counter constant text[] := string_to_array(current_setting('aisle.drafts', true), '/');  -- statement, rows, seconds
    began constant timestamptz := clock_timestamp();
    changed_rows integer := cardinality(ids);
    spent double precision := 0;
    first integer := 1;
    last integer;
begin
    if current_setting('transaction_isolation') <> 'read committed'
       or current_setting('aisle.waited', true) is not distinct from statement
       or current_setting('statement_timeout')::interval between interval '1 us' and shortest
    then
        return;
    end if;
    -- Row triggers come here once a row: count what the statement has changed so far, and what it took.
    if counter[1] = statement then
        changed_rows := changed_rows + counter[2]::integer;
        spent := counter[3]::double precision;
    end if;
    if changed_rows > draft_rows then
        return;
    end if;
    begin
        while first <= cardinality(ids) and spent + extract(epoch from clock_timestamp() - began) < budget loop
            last := first + slice - 1;
            insert into aisle.item_vectors as stored (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
            select m.model_id, i.item_id, aisle._embed(m.model_id, aisle._ngrams(i.name, i.manufacturer, i.details)),
                   aisle._content_hash(i.name, i.manufacturer, i.details), m.encoder is not null, aisle._now()
            from aisle._live_models live
            join aisle._models m using (model_id)
            cross join unnest(ids[first:last], names[first:last], manufacturers[first:last], details[first:last])
                as i (item_id, name, manufacturer, details)
            where live.task = 'category'
            on conflict (item_id, model_id) do update
                set embedding = excluded.embedding, content_hash = excluded.content_hash, is_draft = excluded.is_draft,
                    embedded_at = excluded.embedded_at
                where stored.content_hash <> excluded.content_hash;
            insert into aisle.item_factors
                (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
            select m.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), l.embedding, l.in_embedding,
                   aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'events', aisle._now()
            from unnest(ids[first:last], names[first:last], manufacturers[first:last], categories[first:last], details[first:last])
                as i (item_id, name, manufacturer, category, details)
            join aisle._learned_factors l on l.item_id = i.item_id
            join aisle._models m on m.model_id = l.model_id and m.state in ('filling', 'ready')
            on conflict (item_id, model_id) do nothing;
            insert into aisle.item_factors as stored
                (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
            select recommender.model_id, i.item_id, i.category || (m.parameters ->> 'category_separator'), near.embedding, near.in_embedding,
                   aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category), 'draft', aisle._now()
            from aisle._live_models live
            join aisle._live_models recommender on recommender.task = 'recommender'
            join aisle._models m on m.model_id = recommender.model_id
            cross join unnest(ids[first:last], names[first:last], manufacturers[first:last], categories[first:last], details[first:last])
                as i (item_id, name, manufacturer, category, details)
            join aisle.item_vectors v on v.model_id = live.model_id and v.item_id = i.item_id
            cross join aisle._text_neighbours(recommender.model_id, live.model_id, i.item_id, v.embedding) near
            where live.task = 'category' and near.embedding is not null
              and not exists (select from aisle.item_factors f
                              where f.model_id = recommender.model_id and f.item_id = i.item_id)
            on conflict (item_id, model_id) do nothing;
            first := last + 1;
        end loop;
    exception
        when lock_not_available then
            perform set_config('aisle.waited', statement, true);  -- the rest of the statement does not wait again
        when others then
            raise warning 'Aisle left the draft vectors of this statement to the worker: %', sqlerrm;
    end;
    perform set_config('aisle.drafts', concat_ws(
        '/', statement, changed_rows, spent + extract(epoch from clock_timestamp() - began)), true);
end
$$;

CREATE FUNCTION aisle._drop_model(model_id integer, patience text DEFAULT '40ms'::text) RETURNS bigint
    LANGUAGE plpgsql
    SET lock_timeout TO '40ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    model aisle._models;
    partitions regclass[];
    partition regclass;
    size bigint;
    freed bigint;
    is_first boolean := true;
begin
    perform aisle._lock_deployments();
    perform set_config('lock_timeout', patience, true);  -- until the function ends, whose own setting it is
    select * into model from aisle._models m where m.model_id = _drop_model.model_id;
    if exists (select from aisle._live_models l where l.model_id = _drop_model.model_id) then
        raise exception 'Model % is live.', model_id
            using errcode = 'AIS07', hint = 'Deploy another first: aisle deploy MODEL';
    end if;
    partitions := array(
        select p from unnest(aisle._vector_tables(model.task)) t, to_regclass(format('aisle.%I', t || '_' || model.model_id)) p
        where p is not null);
    delete from aisle._deployments d where d.model_id = _drop_model.model_id;
    delete from aisle._item_predictions p where p.model_id = _drop_model.model_id;
    -- A transaction that removed items meanwhile may leave some behind, for the next model that is dropped.
    delete from aisle._learned_factors l
    where l.model_id = _drop_model.model_id or not exists (select from aisle._models m where m.model_id = l.model_id);
    with gone as (delete from aisle._model_files f where f.model_id = _drop_model.model_id returning f.size)
    select coalesce(sum(g.size), 0) into freed from gone g;
    foreach partition in array partitions loop
        size := pg_total_relation_size(partition);
        begin
            execute format('drop table %s', partition);
        exception when lock_not_available then
            if is_first and freed = 0 then
                raise exception 'Model % cannot be removed while its tables are in use (%).', model_id, coalesce(
                        aisle._table_user(partitions || array(select to_regclass('aisle.' || t)
                                                              from unnest(aisle._vector_tables(model.task)) t)),
                        'the query has just ended')
                    using errcode = 'AIS08', hint = 'Try again when that transaction has ended.';
            end if;
            update aisle._models m set state = 'failed' where m.model_id = _drop_model.model_id;
            return freed;
        end;
        freed := freed + size;
        is_first := false;
        set local lock_timeout = '1ms';
    end loop;
    if model.task = 'recommender' then
        execute 'drop function aisle._nearest_factors_' || model.model_id;
    end if;
    delete from aisle._models m where m.model_id = _drop_model.model_id;
    return freed;
end
$$;

CREATE FUNCTION aisle._embed(model_id integer, ngrams text[]) RETURNS public.vector
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    total public.vector;
    known integer;
begin
    -- `= any (array)` makes the primary key's index answer; a join would hash the whole table for each text.
    select public.sum(v.embedding::public.vector), count(*) into total, known
    from aisle.ngram_vectors v
    where v.model_id = model_id and v.ngram = any (ngrams);
    if known = 0 then
        return (select array_fill(0, array[m.dimensions])::public.vector from aisle._models m where m.model_id = model_id);
    end if;
    return total operator(public.*) array_fill(1 / sqrt(known), array[public.vector_dims(total)])::public.vector;
end
$$;

CREATE FUNCTION aisle._enqueue(topic text, ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    insert into aisle._changes (topic, ids, changed_at) values (_enqueue.topic, _enqueue.ids, aisle._now());
    if current_setting('aisle.notify', true) is distinct from 'off' then
        perform pg_notify('aisle_embedding_jobs', _enqueue.topic);
    end if;
end
$$;

CREATE FUNCTION aisle._enqueue_stale() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    attached constant text[] := array(select a.kind from aisle._attachments a);
    queued bigint := 0;
begin
    if not attached && array['items', 'orders'] then
        raise exception 'No items are attached.'
            using errcode = 'AIS02', hint = 'Attach the shop''s table first: aisle attach items SCHEMA.TABLE --id … --name …';
    end if;
    if 'items' = any (attached) then
        queued := queued + aisle._enqueue_stale_items();
    end if;
    if 'orders' = any (attached) then
        queued := queued + aisle._enqueue_stale_customers();
    end if;
    perform pg_notify('aisle_embedding_jobs', 'items');
    return queued;
end
$$;

CREATE FUNCTION aisle._enqueue_stale_customers() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    queued bigint;
begin
    perform aisle._guard();
    perform aisle._forget_gone_customers();
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select 'basket', c.user_id::text, 2, aisle._now(), aisle._now()
    from aisle._customers c
    where octet_length(c.user_id::text) <= 2600 and exists (  -- no index could hold a longer one
        select from aisle._models m
        left join aisle.customer_vectors v on v.user_id = c.user_id::text and v.model_id = m.model_id
        where m.task = 'basket' and m.state in ('filling', 'ready')
          and (v.user_id is null or v.content_hash <> c.content_hash))
    order by 2
    on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
        where job.lease_token is null and job.attempts = 0 and not job.is_dead;
    get diagnostics queued = row_count;
    return queued;
end
$$;

CREATE FUNCTION aisle._enqueue_stale_items() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    queued bigint;
begin
    perform aisle._guard();
    perform aisle._forget_gone_items();
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select task, i.item_id, 2, aisle._now(), aisle._now()
    from aisle._items i
    cross join lateral aisle._content_hash(i.name, i.manufacturer, i.details) row_hash
    cross join lateral (
        select m.task
        from aisle._models m
        left join aisle.item_vectors v on v.item_id = i.item_id and v.model_id = m.model_id
        where m.task = 'category' and m.state in ('filling', 'ready')
          and (v.item_id is null or v.is_draft or v.content_hash <> row_hash)
        union
        select m.task
        from aisle._models m
        left join aisle.item_factors f on f.item_id = i.item_id and f.model_id = m.model_id
        where m.task = 'recommender' and m.state in ('filling', 'ready')
          and (f.item_id is null or f.origin = 'draft' or f.content_hash <> aisle._factor_hash(row_hash, i.category))
    ) stale
    where octet_length(i.item_id) <= 2600  -- no index could hold it
    order by i.item_id, task
    on conflict on constraint _embedding_jobs_pkey do update set run_after = excluded.run_after
        where job.lease_token is null and job.attempts = 0 and not job.is_dead;
    get diagnostics queued = row_count;
    return queued;
end
$$;

CREATE FUNCTION aisle._event_source() RETURNS aisle._attachments
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return (select a from aisle._attachments a where a.kind in ('interactions', 'orders') order by a.kind limit 1);
end
$$;

CREATE FUNCTION aisle._existing_items(ids text[], k integer) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    surplus constant integer := 5;
    id_type constant text := (select a.id_type from aisle._attachments a where a.kind = 'items');
    existing text[] := '{}';
    start bigint := 1;
    size bigint := coalesce(k::bigint + surplus, cardinality(ids));
    batch text[];
    uuids uuid[];
    numbers bigint[];
begin
    if id_type is null then
        return ids;
    end if;
    while start <= cardinality(ids) and (k is null or cardinality(existing) < k) loop
        batch := ids[start : least(start + size - 1, cardinality(ids))];
        if id_type = 'text' then
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (batch));
        elsif id_type = 'uuid' then
            uuids := aisle._castable_ids(batch, id_type);
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (uuids));
        else
            numbers := aisle._castable_ids(batch, id_type);
            existing := existing || array(select i.item_id from aisle._items i where i.id = any (numbers));
        end if;
        start := start + size;
        size := 10 * size;
    end loop;
    return existing;
end
$$;

CREATE FUNCTION aisle._factor_hash(content_hash bytea, category text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT substr(sha256((content_hash || convert_to(COALESCE(category, ''::text), 'UTF8'::name))), 1, 16) AS substr;

END;

CREATE FUNCTION aisle._foreign_code(target regclass) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return (
        with recursive relations (oid) as (
            select target::oid
            union
            select below.oid
            from relations r
            cross join lateral (
                select d.refobjid as oid
                from pg_rewrite w
                join pg_class c on c.oid = w.ev_class and c.relkind = 'v'
                join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
                where w.ev_class = r.oid
                union all
                select d.refobjid
                from pg_policy p
                join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
                where p.polrelid = r.oid
                union all
                select i.inhrelid from pg_inherits i where i.inhparent = r.oid
            ) below
        ), code (what, author, class, object) as (
            select format('the view %s', c.oid::regclass), c.relowner, 'pg_rewrite'::regclass, w.oid
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'v'
            join pg_rewrite w on w.ev_class = c.oid
            union all
            select format('the policy %I on %s', p.polname, c.oid::regclass), c.relowner, 'pg_policy'::regclass, p.oid
            from relations r
            join pg_class c on c.oid = r.oid and c.relrowsecurity
            join pg_policy p on p.polrelid = c.oid
            where c.oid <> target or row_security_active(c.oid)
            union all
            -- To plan a query is to simplify the expressions of its tables' indexes.
            select format('the index %s', i.indexrelid::regclass), null::oid, 'pg_class'::regclass, i.indexrelid
            from relations r
            join pg_index i on i.indrelid = r.oid and (i.indexprs is not null or i.indpred is not null)
            union all
            select format('the foreign table %s', c.oid::regclass), c.relowner, null, null
            from relations r
            join pg_class c on c.oid = r.oid and c.relkind = 'f'
        ), authors (what, author) as (
            select c.what, c.author from code c
            union all
            select format('the function %s in %s', f.oid::regprocedure, c.what), f.proowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.object and d.refclassid = 'pg_proc'::regclass
            join pg_proc f on f.oid = d.refobjid
            union all
            select format('the type %s in %s', t.oid::regtype, c.what), t.typowner
            from code c
            join pg_depend d on d.classid = c.class and d.objid = c.object and d.refclassid = 'pg_type'::regclass
            join pg_type t on t.oid = d.refobjid
            where c.author is null
        )
        select format('%s, of %s', a.what, a.author::regrole)
        from authors a
        where not pg_has_role(a.author, current_user, 'member')  -- null, and so no row, where there is no author
        order by 1
        limit 1);
end
$$;

CREATE FUNCTION aisle._forget_all_items() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    delete from aisle.item_vectors;
    with gone as (delete from aisle.item_factors f returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- it is the same: a generation learns once
    delete from aisle._item_predictions;
end
$$;

CREATE FUNCTION aisle._forget_gone_customers() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform aisle._guard();
    delete from aisle.customer_vectors v
    where not exists (select from aisle._orders o where o.user_id::text = v.user_id);
end
$$;

CREATE FUNCTION aisle._forget_gone_items() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform aisle._guard();
    perform aisle._forget_items(array(
        select v.item_id from (
            select item_id from aisle.item_vectors
            union select item_id from aisle.item_factors
            union select item_id from aisle._item_predictions) v
        where not exists (select from aisle._items i where i.item_id = v.item_id)));
end
$$;

CREATE FUNCTION aisle._forget_items(ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    delete from aisle.item_vectors v where v.item_id = any (ids);
    with gone as (delete from aisle.item_factors f where f.item_id = any (ids) returning *)
    insert into aisle._learned_factors (model_id, item_id, embedding, in_embedding)
    select g.model_id, g.item_id, g.embedding, g.in_embedding from gone g where g.origin = 'events'
    on conflict do nothing;  -- it is the same: a generation learns once
    delete from aisle._item_predictions p where p.item_id = any (ids);
end
$$;

CREATE FUNCTION aisle._forget_unnoticed(task text, ids text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    gone text[] := array(
        select g.id from unnest(ids) g (id)
        where not exists (select from aisle._embedding_jobs j where j.task = task and j.id = g.id)
          and not exists (
              select from aisle._changes c
              where c.topic = case task when 'basket' then 'basket' else 'items' end and (g.id = any (c.ids) or c.ids = '{}')
                    or task = 'basket' and c.topic = 'lines'));
    forgotten bigint;
begin
    if task = 'basket' then
        with removed as (delete from aisle.customer_vectors v where v.user_id = any (gone) returning v.user_id)
        select count(distinct r.user_id) into forgotten from removed r;
    else
        forgotten := case task
            when 'category' then (select count(distinct v.item_id) from aisle.item_vectors v where v.item_id = any (gone))
            else (select count(distinct f.item_id) from aisle.item_factors f where f.item_id = any (gone)) end;
        perform aisle._forget_items(gone);
    end if;
    return forgotten;
end
$$;

CREATE FUNCTION aisle._further(reltuples real) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (80 * (GREATEST(ceil(log(((GREATEST(reltuples, (1)::real))::double precision / (100000)::double precision))), (0)::double precision))::integer);

END;

CREATE FUNCTION aisle._guard() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform aisle._refuse_foreign_code(a.relation), aisle._refuse_foreign_code(a.lines) from aisle._attachments a;
    return true;
end
$$;

CREATE FUNCTION aisle._has_index(target regclass, columns text[]) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((c.relkind <> ALL (ARRAY['r'::"char", 'p'::"char", 'm'::"char"])) OR (( SELECT COALESCE(sum(pg_relation_size(p.relid)), (pg_relation_size(_has_index.target))::numeric) AS "coalesce"
            FROM pg_partition_tree(_has_index.target) p(relid, parentrelid, isleaf, level)) < (8000000)::numeric) OR (EXISTS ( SELECT
            FROM ((pg_index i
              JOIN pg_class ic ON ((ic.oid = i.indexrelid)))
              JOIN pg_am m ON (((m.oid = ic.relam) AND (m.amname = 'btree'::name))))
           WHERE ((i.indrelid = (_has_index.target)::oid) AND i.indisvalid AND (i.indpred IS NULL) AND (_has_index.columns = ARRAY( SELECT (a.attname)::text AS attname
                    FROM (unnest((i.indkey)::smallint[]) WITH ORDINALITY k(attnum, "position")
                      JOIN pg_attribute a ON (((a.attrelid = (_has_index.target)::oid) AND (a.attnum = k.attnum))))
                   WHERE (k."position" <= LEAST(cardinality(_has_index.columns), (i.indnkeyatts)::integer))
                   ORDER BY k."position"))))))
    FROM pg_class c
   WHERE (c.oid = (_has_index.target)::oid);

END;

CREATE FUNCTION aisle._hides_items() RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return exists (
        select from aisle._attachments a
        join pg_class c on c.oid = a.relation
        where a.kind = 'items' and (
            row_security_active(c.oid)
            or c.relkind = 'v' and exists (
                select from pg_options_to_table(c.reloptions) o
                where o.option_name = 'security_invoker' and o.option_value::boolean)));
end
$$;

CREATE FUNCTION aisle._id_type(target regclass, column_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    id_type text := aisle._column_type(target, column_name);
begin
    if id_type not in ('smallint', 'integer', 'bigint', 'uuid', 'text') then
        raise exception 'Column % of % is of type %; an id must be a whole number, a uuid or a text.',
            quote_ident(column_name), target, id_type using errcode = 'AIS04', hint = 'Change it, or attach a view that casts it.';
    end if;
    return id_type;
end
$$;

CREATE FUNCTION aisle._inner_product(a public.vector, b public.vector) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (- (a OPERATOR(public.<#>) b));

END;

CREATE FUNCTION aisle._is_liked(model_id integer, rating text, review text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
    return coalesce(
        aisle._is_liked_rating(rating, (
            select m.parameters -> 'liked' from aisle._models m where m.model_id = _is_liked.model_id)),
        (select l.is_liked from aisle._review_labels l
         where l.model_id = _is_liked.model_id and l.text_hash = aisle._content_hash(review, null, null)));
end
$$;

CREATE FUNCTION aisle._is_liked_rating(rating text, rule jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (rule ? 'values'::text) THEN ((rule -> 'values'::text) ? rating)
             WHEN (rating ~ '^[-+]?[0-9]{1,30}([.][0-9]{1,30})?$'::text) THEN ((rating)::numeric >= ((rule ->> 'from'::text))::numeric)
             ELSE NULL::boolean
         END AS "case";

END;

CREATE FUNCTION aisle._is_padded(target regclass, column_name text) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((('character'::regtype)::oid = t.oid) OR (('character'::regtype)::oid = t.typbasetype))
    FROM (pg_attribute a
      JOIN pg_type t ON ((t.oid = a.atttypid)))
   WHERE ((a.attrelid = (_is_padded.target)::oid) AND (a.attname = _is_padded.column_name));

END;

CREATE FUNCTION aisle._item_vector(model_id integer, item_id text) RETURNS public.vector
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    stored public.vector;
begin
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item_id])) then
        return null;
    end if;
    select v.embedding into stored
    from aisle.item_vectors v
    where v.item_id = item_id and v.model_id = model_id;
    if stored is null then
        select aisle._embed(model_id, aisle._ngrams(i.name, i.manufacturer, i.details)) into stored
        from aisle._read_items(array[item_id]) i;
    end if;
    return stored;
end
$$;

CREATE FUNCTION aisle._items_removed(ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    statement constant text := extract(epoch from statement_timestamp())::text;
begin
    perform aisle._enqueue('items', ids);
    if current_setting('transaction_isolation') = 'read committed'
       and current_setting('aisle.waited', true) is distinct from statement then
        perform aisle._forget_items(ids);
    end if;
exception
    when lock_not_available then
        perform aisle._enqueue('items', ids);
        perform set_config('aisle.waited', statement, true);
    when others then
        perform aisle._enqueue('items', ids);
end
$$;

CREATE FUNCTION aisle._let_use_pgvector(role regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    vectors constant regnamespace := (select e.extnamespace from pg_extension e where e.extname = 'vector');
begin
    if not has_schema_privilege(role, vectors, 'usage') then
        execute format('grant usage on schema %s to %s', vectors, role);
    end if;
exception when insufficient_privilege then
    null;
end
$$;

CREATE FUNCTION aisle._live_model(task text) RETURNS integer
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    live integer := (
        select d.model_id from aisle._deployments d
        where d.task = _live_model.task and d.rolled_back_at is null
        order by d.deployment_id desc
        limit 1);
begin
    if live is null then
        raise exception 'No % model is live.', task
            using errcode = 'AIS01', hint = format('Train one: aisle train %s', task);
    end if;
    return live;
end
$$;

CREATE FUNCTION aisle._lock_deployments() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    lock table aisle._deployments in share row exclusive mode;
exception when lock_not_available then
    raise exception 'Another deploy, rollback or prune is going on (%).',
        coalesce(aisle._table_user(array['aisle._deployments'::regclass], 'ShareRowExclusiveLock'), 'it has just ended')
        using errcode = 'AIS08', hint = 'Try again when its transaction has ended.';
end
$$;

CREATE FUNCTION aisle._move_item(id text, category text) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '50ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    statement constant text := extract(epoch from statement_timestamp())::text;
begin
    if current_setting('transaction_isolation') = 'read committed'
       and current_setting('aisle.waited', true) is distinct from statement
    then
        update aisle.item_factors f
        set category_key = _move_item.category || (m.parameters ->> 'category_separator')
        from aisle._models m
        where f.item_id = id and m.model_id = f.model_id;
    end if;
exception
    when lock_not_available then
        perform set_config('aisle.waited', statement, true);
    when others then
        raise warning 'Aisle left the category of a row to the worker: %', sqlerrm;
end
$$;

CREATE FUNCTION aisle._nearest_factors(model_id integer, query public.vector, k integer, category text, excluded text[]) RETURNS TABLE(item_id text, score double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    exact_below constant integer := 20000;  -- candidates, which take about 10 ms
    partition constant text := 'item_factors_' || model_id;
    hides constant boolean := aisle._hides_items();
    is_exact boolean := hides;
    first_key text;
    last_key text;
    of_category text := '';
    ids text[];
    scores double precision[];
begin
    if category is not null then
        first_key := category || (
            select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = _nearest_factors.model_id);
        last_key := first_key || chr(1114111);
        of_category := 'and f.category_key >= $4 and f.category_key < $5';
        execute format('select count(*) < %s from (select from aisle.%I f where true %s limit %1$s) c',
                       exact_below, partition, replace(replace(of_category, '$4', '$1'), '$5', '$2'))
        into is_exact using first_key, last_key;
        is_exact := is_exact or hides;
    end if;
    if not is_exact then
        execute 'select * from aisle._nearest_factors_' || model_id || '($1, $2, $3, $4, $5)'
        into ids, scores using query, k, excluded, first_key, last_key;
        is_exact := coalesce(cardinality(ids), 0) < k;  -- the index has no more: it is approximate, and there may be some
        if not is_exact then
            return query select * from unnest(ids, scores);
            return;
        end if;
    end if;
    return query execute format(
        'select n.item_id, -n.distance
         from (select f.item_id, f.embedding operator(public.<#>) $1 as distance
               from aisle.%I f
               where f.item_id <> all ($2) %s
               order by 2, 1
               %s) n
         %s
         order by n.distance, n.item_id
         limit $3',
        partition, of_category,
        case when hides then 'offset 0' else 'limit $3' end,  -- sorts before it looks up
        case when hides then 'where exists (select from aisle._read_items(array[n.item_id]))' end)
    using query, excluded, k, first_key, last_key;
end
$_$;

CREATE FUNCTION aisle._nearest_items(model_id integer, query public.vector, k integer, except_item text, vectors text DEFAULT 'item_vectors'::text, embedding text DEFAULT 'embedding'::text, hides boolean DEFAULT aisle._hides_items()) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET "hnsw.iterative_scan" TO 'relaxed_order'
    SET "hnsw.ef_search" TO '40'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    partition constant text := vectors || '_' || model_id::text;
    candidates text := 'select v.item_id, v.%3$I::public.halfvec(%1$s) operator(public.<=>) $1::public.halfvec(%1$s) as distance
               from aisle.%2$I v
               where $2 is null or v.item_id <> $2
               order by v.%3$I::public.halfvec(%1$s) operator(public.<=>) $1::public.halfvec(%1$s)
               limit $3::bigint + $4';
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif query is null or public.vector_norm(query) = 0 then
        return;
    end if;
    if hides then
        candidates := 'select v.item_id, v.distance
               from (select v.item_id, v.%3$I operator(public.<=>) $1 as distance
                     from aisle.%2$I v
                     where $2 is null or v.item_id <> $2
                     order by 2
                     offset 0) v  -- sorts before it looks up
               where exists (select from aisle._read_items(array[v.item_id]))
               order by v.distance
               limit $3';
    end if;
    return query execute format(
        'select (row_number() over (order by n.distance, n.item_id))::integer, n.item_id, 1 - n.distance
         from (' || candidates || ') n
         where n.distance <> ''NaN''
         order by 1
         limit $3',
        public.vector_dims(query), partition, embedding)
    using query, except_item, k,
        (select aisle._further(c.reltuples) from pg_class c where c.oid = to_regclass(format('aisle.%I', partition)));
end
$_$;

CREATE FUNCTION aisle._nearest_products(model_id integer, state public.vector, k integer) RETURNS text[]
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET "hnsw.iterative_scan" TO 'strict_order'
    SET "hnsw.ef_search" TO '100'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    found text[];
begin
    execute format(
        'select array(select b.item_id from aisle.%1$I b
                      order by b.embedding::public.halfvec(%2$s) operator(public.<#>) $1::public.halfvec(%2$s) limit $2)',
        'basket_items_' || model_id, public.vector_dims(state))
    into found using state, k;
    return found;
end
$_$;

CREATE FUNCTION aisle._neighbours_bought(model_id integer, user_id text, taste public.vector, neighbours integer, known_before double precision, heldout_of integer) RETURNS TABLE(item_id text, share double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET "hnsw.iterative_scan" TO 'strict_order'
    SET "hnsw.ef_search" TO '220'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    if taste is null then
        return;
    end if;
    return query execute format(
        'with about as materialized (
             select c.next_items, -(c.taste operator(public.<#>) $1) as cosine
             from aisle.%1$I c
             where c.taste is not null and c.user_id is distinct from $2 %3$s %4$s
             order by c.taste::public.halfvec(%2$s) operator(public.<#>) $1::public.halfvec(%2$s)
             limit $3 + 10  -- halves are no more than nearly right
         ), near as materialized (
             select a.next_items, greatest(a.cosine, 0) ^ 2 as weight from about a order by a.cosine desc limit $3)
         select i.item_id, sum(n.weight) / greatest((select sum(weight) from near), 1e-9)
         from near n, unnest(n.next_items) i (item_id)
         group by i.item_id',
        'customer_vectors_' || model_id, public.vector_dims(taste),
        case when known_before is not null then 'and c.known_at < $4' end,
        case when heldout_of is not null then
            'and not exists (select from aisle._heldout_users h where h.model_id = $5 and h.user_id = c.user_id)' end)
    using taste, user_id, neighbours, known_before, heldout_of;
end
$_$;

CREATE FUNCTION aisle._next_basket(model_id integer, user_id text, k integer, as_of timestamp with time zone DEFAULT NULL::timestamp with time zone, as_of_state public.vector DEFAULT NULL::public.vector, heldout_of integer DEFAULT NULL::integer) RETURNS TABLE(rank integer, item_id text, score double precision, probability double precision, bought_before boolean)
    LANGUAGE plpgsql STABLE ROWS 10 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
    again constant double precision[] := array(select jsonb_array_elements_text(parameters -> 'weights' -> 'bought_before'));
    first constant double precision[] := array(select jsonb_array_elements_text(parameters -> 'weights' -> 'new'));
    slow constant double precision := parameters -> 'decay' -> 0;
    fast constant double precision := parameters -> 'decay' -> 1;
    forgotten constant integer := 200;  -- orders; what is longer ago counts as this long ago: power() raises an error where it is nearly 0
    rarest constant double precision := parameters -> 'rarest';
    checks constant boolean := as_of is null and exists (select from aisle._attachments a where a.kind = 'items')
                               or aisle._hides_items();
    history record;
    orders integer;
    size double precision;
    state public.vector;
    near_state text[];
begin
    if k < 1 then
        raise exception 'k must be at least 1, not %.', k using errcode = 'AIS06';
    end if;
    history := aisle._read_orders(user_id, as_of);
    orders := (select max(a) + 1 from unnest(history.ago) a);
    if orders is null then
        return query
            select (row_number() over (order by p.popularity desc, p.item_id))::integer, p.item_id,
                   ln(p.popularity / (1 - p.popularity)), p.popularity, false
            from (select b.item_id, least(greatest(b.popularity, rarest / 2), .999999) as popularity
                  from aisle.basket_items b
                  where b.model_id = model_id and (not checks or aisle._existing_items(array[b.item_id], 1) <> '{}')
                  order by b.popularity desc, b.item_id
                  limit coalesce(k, round((parameters ->> 'size')::float8)::integer)) p;
        return;
    end if;
    size := cardinality(history.items) / orders::float8;
    state := case when as_of is null then
        (select c.embedding from aisle.customer_vectors c where c.model_id = model_id and c.user_id = user_id) else as_of_state end;
    near_state := aisle._nearest_products(model_id, state, (parameters ->> 'nearest')::integer);
    return query
        with own as materialized (
            select h.*, b.taste, b.gap, b.popularity, -(b.embedding operator(public.<#>) state) as logit
            from (select h.item_id, sum(power(slow, least(h.ago, forgotten))) as recency,
                         sum(power(fast, least(h.ago, forgotten))) as quick, min(h.ago) as ago, count(*) as times,
                         history.now - max(h.day) as since, max(h.day) - min(h.day) as span
                  from unnest(history.items, history.ago, history.days) h (item_id, ago, day)
                  group by h.item_id) h
            left join aisle.basket_items b on b.model_id = model_id and b.item_id = h.item_id
        ), taste as (
            select public.l2_normalize(public.sum(same.taste operator(public.*)
                       array_fill(ln(1 + same.recency), array[public.vector_dims(same.taste)])::public.vector)) as taste
            -- Scaling is dear, and many items were bought once in the same order: they are added up before.
            from (select o.recency, public.sum(o.taste) as taste from own o where o.taste is not null group by o.recency) same
        ), neighbours as materialized (
            select n.item_id, n.share
            from taste t, aisle._neighbours_bought(
                model_id, user_id, t.taste, (parameters ->> 'neighbours')::integer,
                case when parameters ->> 'time' = 'days' and as_of is not null then history.now end,
                case when parameters ->> 'time' = 'numbers' then heldout_of end) n
        ), new as (
            (select n.item_id from neighbours n order by n.share desc, n.item_id limit (parameters ->> 'nearest')::integer)
            union select unnest(near_state)
            except select o.item_id from own o
        ), candidates as (
            select o.item_id, true as bought_before, o.recency, o.quick, o.ago, o.times, o.since, o.span, o.gap, o.popularity, o.logit
            from own o
            union all
            select n.item_id, false, null, null, null, null, null, null, null, b.popularity, -(b.embedding operator(public.<#>) state)
            from new n
            left join aisle.basket_items b on b.model_id = model_id and b.item_id = n.item_id
        ), known as (
            select c.item_id, c.bought_before, c.recency, c.quick, c.ago,
                   ln(greatest(c.since, .04) / greatest((c.span + coalesce(c.gap, (parameters ->> 'gap')::float8)) / c.times, .04)) as late,
                   ln(coalesce(n.share, 0) + .001) as near,
                   ln(coalesce(c.popularity, 0) + rarest) as popular,
                   coalesce(c.logit, (parameters ->> 'logit')::float8) as logit
            from candidates c
            left join neighbours n on n.item_id = c.item_id
            -- Which of all there are is asked only where it is not known how many are wanted.
            where not checks or k is not null
                  or c.item_id = any ((select aisle._existing_items(array(select c.item_id from candidates c), null))::text[])
        ), scored as (
            select x.item_id, x.bought_before,
                   case when x.bought_before then
                       again[1] + again[2] * x.near + again[3] * x.popular + again[4] * x.logit + again[5] * ln(size)
                       + again[6] * ln(orders) + again[7] * ln(x.recency) + again[8] * ln(x.quick) + again[9] * (x.ago = 0)::integer
                       + again[10] * least(greatest(x.late, -4), 4) + again[11] * least(x.late ^ 2, 16)
                   else
                       first[1] + first[2] * x.near + first[3] * x.popular + first[4] * x.logit + first[5] * ln(size)
                       + first[6] * ln(orders)
                   end as score
            from known x
        ), ranked as (
            select row_number() over by_score as place, s.item_id, s.score, s.probability, s.bought_before,
                   sum(s.probability) over by_score as expected, sum(s.probability) over () as total
            -- exp(710) would be an error, and so would exp(-746).
            from (select s.*, 1 / (1 + exp(least(greatest(-s.score, -600), 600))) as probability from scored s) s
            window by_score as (order by s.score desc, s.item_id)
        )
        select (row_number() over (order by r.place))::integer, r.item_id, r.score, r.probability, r.bought_before
        from ranked r
        where case
            when k is null then r.place <= (
                select f.place from ranked f
                order by f.expected / (f.place + greatest(f.total, size)) desc, f.place
                limit 1)
            else not checks or r.item_id = any ((
                select aisle._existing_items(array(select r.item_id from ranked r order by r.place), k))::text[]) end
        order by r.place
        limit k;
end
$$;

CREATE FUNCTION aisle._ngrams(name text, manufacturer text, details text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    maker_words text[] := aisle._words(manufacturer);
    name_words text[] := aisle._words(name);
    maker text := '@' || array_to_string(maker_words, ' ');
    grams text[] := '{}';
    word text;
    previous text;
    padded text;
begin
    if maker <> '@' then
        grams[1] := maker;
        foreach word in array name_words loop
            grams[cardinality(grams) + 1] := maker || '*' || word;
        end loop;
    end if;
    foreach word in array maker_words || name_words || aisle._words(details) loop
        grams[cardinality(grams) + 1] := '=' || word;
        if previous is not null then
            grams[cardinality(grams) + 1] := previous || '+' || word;
        end if;
        previous := word;
        padded := ' ' || word || ' ';
        for size in case when word ~ $syllables$[\u1100-\U0010ffff]$syllables$ then 2 else 3 end .. 5 loop
            for start in 1..length(padded) - size + 1 loop
                grams[cardinality(grams) + 1] := substr(padded, start, size);
            end loop;
        end loop;
    end loop;
    return grams;
end
$_$;

CREATE FUNCTION aisle._now() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE((NULLIF(current_setting('aisle.now'::text, true), ''::text))::timestamp with time zone, clock_timestamp()) AS "coalesce";

END;

CREATE FUNCTION aisle._popular_items(model_id integer, k integer, category text, excluded text[], as_of timestamp with time zone) RETURNS TABLE(item_id text, score double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    source aisle._attachments := aisle._event_source();
    until constant timestamptz := coalesce(
        as_of, case when source.time_type not in ('smallint', 'integer', 'bigint') then aisle._now() end);
    first_key constant text := category || (
        select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = _popular_items.model_id);
    latest text[] := '{}';
    ids text[];
    shares double precision[];
begin
    if aisle._has_index(source.relation, array[source.columns ->> 'at']) then
        execute format(
            'select array_agg(e.item_id)
             from (select item_id, local_at, max(local_at) over () as last_at
                   from (select e.item_id, e.local_at from aisle.%I e where true %s order by e.at desc limit 10000) e) e
             where e.local_at > e.last_at - interval ''7 days''',
            '_' || source.kind,
            aisle._before(source, until))
        into latest;
    end if;
    if aisle._hides_items() then
        select array_agg(l.item_id) into latest
        from unnest(latest) l (item_id)
        join aisle._read_items(array(select distinct l.item_id from unnest(latest) l (item_id))) i on i.item_id = l.item_id;
    end if;
    select array_agg(p.item_id), array_agg(p.share) into ids, shares
    from (select l.item_id, count(*)::float8 / cardinality(latest) as share
          from unnest(latest) l (item_id)
          join aisle.item_factors f on f.model_id = _popular_items.model_id and f.item_id = l.item_id
          where l.item_id <> all (excluded)
            and (category is null or f.category_key >= first_key and f.category_key < first_key || chr(1114111))
          group by l.item_id
          order by 2 desc, 1
          limit k) p;
    return query select * from unnest(ids, shares);
    if coalesce(cardinality(ids), 0) < k then
        return query
            select n.item_id, 0::float8
            from aisle.context_vectors c,
                 aisle._nearest_factors(_popular_items.model_id, c.embedding, k - coalesce(cardinality(ids), 0), category, excluded || ids) n
            where c.model_id = _popular_items.model_id and c.feature = '';
    end if;
end
$$;

CREATE TABLE aisle._models (
    model_id integer NOT NULL,
    task text NOT NULL,
    state text DEFAULT 'loading'::text NOT NULL,
    dimensions integer NOT NULL,
    encoder text,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    metrics jsonb DEFAULT '{}'::jsonb NOT NULL,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    environment jsonb DEFAULT '{}'::jsonb NOT NULL,
    passed_gate boolean,
    verdict text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT _models_dimensions_check CHECK (((dimensions >= 1) AND (dimensions <= 2000))),
    CONSTRAINT _models_state_check CHECK ((state = ANY (ARRAY['loading'::text, 'filling'::text, 'ready'::text, 'failed'::text]))),
    CONSTRAINT _models_task_check CHECK ((task = ANY (ARRAY['category'::text, 'recommender'::text, 'basket'::text, 'preference'::text])))
);

CREATE FUNCTION aisle._prunable(task text, keep integer) RETURNS SETOF aisle._models
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
    return query
        with answered as (
            select d.model_id, row_number() over (partition by d.task order by max(d.deployment_id) desc) as place
            from aisle._deployments d where d.rolled_back_at is null
            group by d.task, d.model_id
        ), ready as (
            select m.model_id, row_number() over (partition by m.task order by m.model_id desc) as place
            from aisle._models m where m.state = 'ready'
        ), kept as (
            select a.model_id from answered a where a.place <= keep
            union
            select r.model_id from ready r where r.place <= keep
        )
        select m.*
        from aisle._models m
        where (_prunable.task is null or m.task = _prunable.task)
              and m.model_id not in (select k.model_id from kept k)
              and m.model_id not in (
                  select (r.parameters ->> 'text_model')::integer from aisle._models r join kept k using (model_id)
                  where r.parameters ->> 'text_model' is not null)
        order by m.model_id;
end
$$;

CREATE FUNCTION aisle._queue_unnoticed_customers(ids text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    queued bigint;
begin
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select 'basket', c.user_id, 2, aisle._now(), aisle._now()
    from aisle._read_customers(ids) c
    where octet_length(c.user_id) <= 2600  -- no index could hold it
      and exists (
          select from aisle._models m
          left join aisle.customer_vectors v on v.user_id = c.user_id and v.model_id = m.model_id
          where m.task = 'basket' and m.state = 'ready' and (v.content_hash = c.content_hash) is not true)
      and not exists (select from aisle._embedding_jobs j where j.task = 'basket' and j.id = c.user_id)
      and not exists (
          select from aisle._changes e where e.topic = 'basket' and (c.user_id = any (e.ids) or e.ids = '{}') or e.topic = 'lines')
    order by c.user_id
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$$;

CREATE FUNCTION aisle._queue_unnoticed_items(task text, ids text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    queued bigint;
begin
    insert into aisle._embedding_jobs as job (task, id, priority, enqueued_at, run_after)
    select task, i.item_id, 2, aisle._now(), aisle._now()
    from aisle._read_items(ids) i
    where octet_length(i.item_id) <= 2600  -- no index could hold it
      and exists (
          select from aisle._models m
          left join aisle.item_vectors v on task = 'category' and v.item_id = i.item_id and v.model_id = m.model_id
          left join aisle.item_factors f on task = 'recommender' and f.item_id = i.item_id and f.model_id = m.model_id
          where m.task = task and m.state = 'ready' and case task
              when 'category' then (not v.is_draft and v.content_hash = i.content_hash) is not true
              else (f.origin <> 'draft' and f.content_hash = aisle._factor_hash(i.content_hash, i.category)) is not true end)
      and not exists (select from aisle._embedding_jobs j where j.task = task and j.id = i.item_id)
      and not exists (select from aisle._changes c where c.topic = 'items' and (i.item_id = any (c.ids) or c.ids = '{}'))
    order by i.item_id
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$$;

CREATE FUNCTION aisle._read_customers(ids text[]) RETURNS TABLE(user_id text, content_hash bytea)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
begin
    if source.kind is not null then
        return query execute format(
            'select c.user_id::text, c.content_hash from aisle._customers c where c.user_id = any ($1::%s[])', source.id_type)
        using aisle._castable_ids(ids, source.id_type);
    end if;
end
$_$;

CREATE FUNCTION aisle._read_history(source aisle._attachments, user_id text, as_of timestamp with time zone, at_most integer, with_contexts boolean, OUT items text[], OUT contexts jsonb[]) RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    if user_id is null or source.kind is null or aisle._castable_ids(array[user_id], source.id_type) = '{}' then
        return;
    end if;
    execute format(
        'select array_agg(h.item_id), %s
         from (select e.item_id, e.context, e.local_at
               from aisle.%I e
               where e.user_id = $1::%s %s
               order by e.at desc, e.item_id collate "C" desc
               limit $2) h',
        case when with_contexts then 'array_agg(h.context || aisle._time_context(h.local_at))' else 'null::jsonb[]' end,
        '_' || source.kind, source.id_type,
        aisle._before(source, as_of))
    into items, contexts
    using user_id, at_most;
end
$_$;

CREATE FUNCTION aisle._read_items(ids text[]) RETURNS TABLE(item_id text, name text, manufacturer text, category text, details text, content_hash bytea)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    attachment aisle._attachments;
begin
    select * into attachment from aisle._attachments where kind = 'items';
    if not found then
        return;
    end if;
    return query execute format(
        'select i.item_id, i.name, i.manufacturer, i.category, i.details,
                aisle._content_hash(i.name, i.manufacturer, i.details)
         from aisle._items i
         where i.id = any ($1::%s[])',
        attachment.id_type)
    using aisle._castable_ids(ids, attachment.id_type);
end
$_$;

CREATE FUNCTION aisle._read_orders(user_id text, as_of timestamp with time zone, OUT items text[], OUT ago integer[], OUT days double precision[], OUT now double precision) RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    at_most constant integer := 10000;  -- lines
    source aisle._attachments := (select a from aisle._attachments a where a.kind = 'orders');
    castable text[] := aisle._castable_ids(array[user_id], source.id_type);
begin
    if castable = '{}' or user_id is null or source.kind is null then
        return;
    end if;
    execute format(
        'select array_agg(l.item_id), array_agg(o.ago), array_agg(o.day)
         from (select array_agg(distinct r.item_id) as items, extract(epoch from max(r.local_at)) / 86400 as day,
                      row_number() over (order by max(r.at) desc, r.order_id desc)::integer - 1 as ago
               from (select e.order_id, e.item_id, e.at, e.local_at
                     from aisle._orders e
                     where e.user_id = $1::%s %s
                     order by e.at desc, e.order_id desc
                     limit $2) r
               group by r.order_id) o, unnest(o.items) l (item_id)',
        source.id_type, aisle._before(source, as_of))
    into items, ago, days
    using user_id, at_most;
    if as_of is null and source.time_type in ('smallint', 'integer', 'bigint') then
        now := (select max(d) + 1 from unnest(days) d);
    else
        now := extract(epoch from coalesce(as_of, aisle._now()) at time zone source.time_zone) / 86400;
    end if;
end
$_$;

CREATE FUNCTION aisle._recommend(model_id integer, user_id text, k integer, category text, context jsonb, exclude_seen boolean, as_of timestamp with time zone) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE plpgsql STABLE ROWS 10 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    source aisle._attachments := aisle._event_source();
    now constant timestamp := coalesce(as_of, aisle._now()) at time zone coalesce(source.time_zone, current_setting('TimeZone'));
    events record;
    query public.vector;
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    end if;
    perform aisle._check_context(model_id, context);
    events := aisle._read_history(source, user_id, as_of, case when exclude_seen then 10000 else 1000 end, not exclude_seen);
    query := aisle._user_vector(model_id, user_id, events.items, context, now);
    if query is null then
        return query
            select (row_number() over ())::integer, p.item_id, p.score
            from aisle._popular_items(model_id, k, category, case when exclude_seen then coalesce(events.items, '{}') else '{}' end, as_of) p;
    elsif exclude_seen then
        return query
            select (row_number() over ())::integer, n.item_id, n.score
            from aisle._nearest_factors(model_id, query, k, category, coalesce(events.items, '{}')) n;
    else
        return query
            select (row_number() over (order by a.score desc, a.item_id))::integer, a.item_id, a.score
            from (select n.item_id, n.score
                  from aisle._nearest_factors(model_id, query, k, category, coalesce(events.items, '{}')) n
                  union all
                  select r.item_id, r.score
                  from aisle._score_repeats(model_id, query, category, events.items, events.contexts, context, now) r
                  where not (select aisle._hides_items()) or r.item_id in (select i.item_id from aisle._read_items(events.items) i)) a
            order by 1
            limit k;
    end if;
end
$$;

CREATE FUNCTION aisle._refuse_foreign_code(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    code text;
begin
    -- Nearly always it is a plain table of somebody who is trusted, who may do to it what they like.
    if target is null or (
        select c.relkind in ('r', 'm') and not c.relrowsecurity and not c.relhassubclass and pg_has_role(c.relowner, current_user, 'member')
        from pg_class c where c.oid = target) is not false
    then
        return;
    end if;
    execute format('prepare aisle_guard as select from %s', target);
    deallocate aisle_guard;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'What code reading % runs is seen as of an older moment in a transaction that is %.',
            target, current_setting('transaction_isolation') using errcode = 'AIS09';
    end if;
    code := aisle._foreign_code(target);
    if code is not null then
        raise exception 'To read % would run code of others with the rights of %: %.', target, current_user, code
            using errcode = 'AIS09', hint = 'Let its author own the schema aisle, or trust it: docs/security.md, "Code of others".';
    end if;
end
$$;

CREATE FUNCTION aisle._relation_to_attach(relation text, columns text[], triggers boolean DEFAULT true) RETURNS regclass
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    target regclass;
    missing text;
    children text;
begin
    begin
        target := to_regclass(case when cardinality(parse_ident(relation)) = 1 then 'public.' else '' end || relation);
    exception when invalid_parameter_value then  -- it cannot be a name
    end;
    if target is null then
        raise exception 'There is no relation %.', relation
            using errcode = 'AIS04', hint = 'Name it as SCHEMA.TABLE; names with capitals or signs go in double quotes.';
    elsif (select c.relkind not in ('r', 'p', 'v', 'm', 'f') from pg_class c where c.oid = target) then
        raise exception '% is not a table or view.', target using errcode = 'AIS04';
    end if;
    select string_agg(quote_ident(c), ', ') into missing
    from unnest(columns) c
    where c is not null and not exists (
        select from pg_attribute a where a.attrelid = target and a.attname = c and a.attnum > 0 and not a.attisdropped);
    if missing is not null then
        raise exception '% has no column %.', target, missing
            using errcode = 'AIS05', hint = (
                select 'Its columns: ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped);
    end if;
    select string_agg(i.inhrelid::regclass::text, ', ' order by i.inhseqno, i.inhrelid::regclass::text) into children
    from pg_inherits i
    join pg_class c on c.oid = i.inhparent and c.relkind = 'r'
    where triggers and i.inhparent = target;
    if children is not null then
        raise exception '% has children by inheritance: %. Triggers do not see their rows, and ids are not unique among them.',
            target, children
            using errcode = 'AIS04', hint = format('Attach a view of all rows, or of the table''s own: create view … as select * from only %s;',
                                                   target);
    end if;
    return target;
end
$$;

CREATE FUNCTION aisle._resolve_lines() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    orders text[];
    since timestamptz;
begin
    with locked as (
        select change_id, ids from aisle._changes where topic = 'lines' order by change_id limit 1000 for update skip locked
    ), oldest as (
        select change_id, sum(cardinality(ids)) over (order by change_id) - cardinality(ids) as before from locked
    ), taken as (
        delete from aisle._changes
        where change_id = any (array(select change_id from oldest where before < 20000))
        returning ids, changed_at
    )
    select array(select distinct id from taken, unnest(ids) id), (select min(changed_at) from taken) into orders, since;
    if since is null then
        return false;
    end if;
    insert into aisle._changes (topic, ids, changed_at)
    select 'basket', array_agg(c.id), since
    from unnest(aisle._customers_of(orders)) with ordinality c (id, n)
    group by c.n / 100000;
    return true;
end
$$;

CREATE FUNCTION aisle._revoke_triggers(role regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    trigger_function regprocedure;
begin
    for trigger_function in
        select p.oid from pg_proc p where p.pronamespace = 'aisle'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('revoke execute on function %s from %s', trigger_function, role);
    end loop;
end
$$;

CREATE FUNCTION aisle._score_repeats(model_id integer, query public.vector, category text, items text[], contexts jsonb[], given jsonb, local_at timestamp without time zone) RETURNS TABLE(item_id text, score double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    model constant integer := _score_repeats.model_id;
    repeats constant jsonb := (select m.parameters -> 'repeats' from aisle._models m where m.model_id = _score_repeats.model_id);
    asked constant jsonb := aisle._time_context(local_at) || coalesce(given, '{}');
    first_key constant text := category || (
        select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = _score_repeats.model_id);
begin
    return query
        with events as (
            select e.item_id, e.context, row_number() over (order by e.place) as place
            from unnest(items, contexts) with ordinality e (item_id, context, place)
            where (e.item_id in (select f.item_id from aisle.item_factors f where f.model_id = model and f.item_id = any (items)))
                  is true  -- keeps it from becoming a join: hashed, whatever the plan
        ), own as (  -- one sum of both, as a join might compare each item with each
            select a.item_id, sum(a.score) as score
            from (select e.item_id,
                         (repeats ->> 'seen')::float8 + (repeats ->> 'count')::float8 * ln(1 + count(*))
                         + (repeats ->> 'recency')::float8
                           * ln(1 + sum(exp(least(greatest(-(repeats ->> 'decay')::float8 * (e.place - 1), -600), 600)))) as score
                  from events e
                  group by e.item_id
                  union all
                  select e.item_id, w.value::float8 * ln(1 + count(*))
                  from events e, jsonb_each_text(repeats -> 'context') w (feature, value)
                  where e.context ->> w.feature = asked ->> w.feature
                  group by e.item_id, w.feature, w.value) a
            group by a.item_id
        )
        select f.item_id, -(f.embedding operator(public.<#>) query) + o.score
        from own o
        join aisle.item_factors f on f.model_id = model and f.item_id = o.item_id
        where category is null or f.category_key >= first_key and f.category_key < first_key || chr(1114111);
end
$$;

CREATE FUNCTION aisle._secure() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    signature regprocedure;
    secured regclass;
begin
    revoke all on all functions in schema aisle from public;
    -- PostgreSQL gives PUBLIC nothing of these; the database's default privileges may.
    revoke all on schema aisle from public;
    revoke all on all tables in schema aisle from public;
    revoke all on all sequences in schema aisle from public;
    for signature in
        select p.oid from pg_catalog.pg_proc p
        join pg_catalog.pg_language l on l.oid = p.prolang
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and l.lanname = 'plpgsql'
    loop
        execute pg_catalog.format('alter function %s set search_path = pg_catalog, pg_temp', signature);
    end loop;
    for secured in
        select c.oid from pg_catalog.pg_class c where c.relnamespace = 'aisle'::pg_catalog.regnamespace and c.relrowsecurity
    loop
        execute pg_catalog.format('alter table %s disable row level security', secured);
    end loop;
end
$$;

CREATE FUNCTION aisle._similar_items(item text, k integer, space text) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    model integer;
    asked integer;
    ids text[];
    scores double precision[];
    existing text[];
begin
    if space is distinct from 'category' and space is distinct from 'basket' then
        raise exception 'There is no space %.', coalesce(space, 'null') using errcode = 'AIS06', hint = 'There are: category, basket';
    end if;
    model := aisle._live_model(space);
    if aisle._hides_items() and not exists (select from aisle._read_items(array[item])) then
        return;
    end if;
    if space = 'category' then
        return query select n.rank, n.item_id, n.score
                     from aisle._nearest_items(model, aisle._item_vector(model, item), k, item) n;
        return;
    end if;
    asked := k;
    loop
        select array_agg(n.item_id order by n.rank), array_agg(n.score order by n.rank) into ids, scores
        from aisle._nearest_items(
            model, (select b.co_purchase from aisle.basket_items b where b.model_id = model and b.item_id = item),
            asked, item, 'basket_items', 'co_purchase') n;
        existing := aisle._existing_items(ids, k);
        exit when coalesce(cardinality(existing), 0) >= k or coalesce(cardinality(ids), 0) < asked;
        asked := least(10 * asked::bigint, 2147483647);
    end loop;
    return query select (row_number() over (order by n.place))::integer, n.item_id, n.score
                 from unnest(ids, scores) with ordinality n (item_id, score, place)
                 where n.item_id = any (existing)
                 order by n.place
                 limit k;
end
$$;

CREATE FUNCTION aisle._table_user(tables regclass[], lock_mode text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return (
        select format('server process %s%s%s', a.pid, ', ' || nullif(a.application_name, ''),
                      ', since ' || to_char(a.xact_start, 'HH24:MI'))
        from pg_locks l
        join pg_stat_activity a using (pid)
        where l.granted and l.pid <> pg_backend_pid() and l.relation = any (tables::oid[])
              and l.mode = coalesce(lock_mode, l.mode)
              and l.database = (select d.oid from pg_database d where d.datname = current_database())
        order by a.xact_start
        limit 1);
end
$$;

CREATE FUNCTION aisle._tasks_of(topic text) RETURNS text[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return case when topic <> 'items' then array[topic] else array['category'] || array(
        select distinct m.task from aisle._models m where m.task = 'recommender' and m.state in ('filling', 'ready')) end;
end
$$;

CREATE FUNCTION aisle._text_neighbours(recommender integer, category_model integer, item_id text, text_vector public.vector, OUT embedding public.vector, OUT in_embedding public.vector) RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
begin
    select public.avg(f.embedding), public.avg(f.in_embedding) into embedding, in_embedding
    from aisle._nearest_items(category_model, text_vector, 10, item_id, hides => false) n
    join aisle.item_factors f on f.model_id = recommender and f.item_id = n.item_id and f.origin <> 'draft';
end
$$;

CREATE FUNCTION aisle._text_of(target regclass, column_name text, row_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    operand constant text := format('%s.', row_name) || quote_ident(column_name);
    base oid;
    kind "char";
    builtin boolean;
    element oid;
    name text;
    expression text;
begin
    if column_name is null then
        return 'null::text';
    end if;
    with recursive types as (
        select a.atttypid as oid from pg_attribute a where a.attrelid = target and a.attname = column_name
        union all
        select t.typbasetype from types join pg_type t on t.oid = types.oid where t.typtype = 'd'
    )
    select t.oid, t.typtype, t.typnamespace = 'pg_catalog'::regnamespace, t.typelem, format_type(t.oid, null)
    into base, kind, builtin, element, name
    from types join pg_type t on t.oid = types.oid where t.typtype <> 'd';
    expression := case
        when base = any ('{text,varchar,bpchar,name,smallint,integer,bigint,numeric,uuid,boolean,json,jsonb,xml,inet,cidr,'
                         'macaddr,time,timetz,tsvector}'::regtype[]::oid[]) then operand || '::text'
        when base = any ('{real,double precision,money}'::regtype[]::oid[]) then operand || '::numeric::text'
        when base = 'date'::regtype then format('to_char(%s, ''YYYY-MM-DD'')', operand)
        when base = 'timestamp'::regtype then format('to_char(%s, ''YYYY-MM-DD HH24:MI:SS.US'')', operand)
        when base = 'timestamptz'::regtype then format('to_char(%s at time zone ''UTC'', ''YYYY-MM-DD HH24:MI:SS.US+00'')', operand)
        when base = 'interval'::regtype then format('extract(epoch from %s)::text', operand)
        when element <> 0 and (
            element = any ('{text,varchar,bpchar,name,smallint,integer,bigint,numeric,uuid}'::regtype[]::oid[])
            or (select e.typtype = 'e' from pg_type e where e.oid = element)) then format('array_to_string(%s, '' '')', operand)
        when kind = 'e' or kind = 'b' and not builtin and element = 0 then
            aisle._written(operand)
    end;
    if expression is null then
        raise exception 'Column % of % is of type %; a text, a number, a date or the like is wanted.',
            quote_ident(column_name), target, name using errcode = 'AIS04', hint = 'Attach another column, or a view that makes a text of it.';
    end if;
    return expression;
end
$$;

CREATE FUNCTION aisle._texts_seen(target regclass, columns jsonb, row_name text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    details constant text[] := array(select jsonb_array_elements_text(columns -> 'text'));
    attached constant text[] := array_remove(array[columns ->> 'name', columns ->> 'manufacturer', columns ->> 'category'] || details, null);
    texts jsonb := '{}';  -- of each column
    name text;
    operand text;
begin
    foreach name in array attached loop
        operand := format('%s.%I', row_name, name);
        if exists (select from pg_attribute a where a.attrelid = target and a.attname = name and a.attgenerated = 'v')
           or aisle._column_type(target, name) = 'boolean'
           or aisle._text_of(target, name, row_name) not in (operand || '::text', aisle._written(operand)) then
            return null;
        end if;
        texts := texts || jsonb_build_object(name, case when aisle._is_padded(target, name)
            then format('rtrim(concat(%s), '' '')', operand) else format('concat(%s)', operand) end);
    end loop;
    return array[
        texts ->> (columns ->> 'name'),
        coalesce(texts ->> (columns ->> 'manufacturer'), 'null::text'),
        coalesce('nullif(' || (texts ->> (columns ->> 'category')) || ', '''')', 'null::text'),
        coalesce('concat_ws('' '', ' || (
            select string_agg(format('case when num_nonnulls(%s.%I) = 1 then %s end', row_name, d.name, texts ->> d.name), ', ' order by d.place)
            from unnest(details) with ordinality d (name, place)) || ')', 'null::text')];
end
$$;

CREATE FUNCTION aisle._time_context(local_at timestamp without time zone) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT jsonb_build_object('hour', ((EXTRACT(hour FROM local_at))::integer)::text, 'weekday', ((EXTRACT(isodow FROM local_at))::integer)::text, 'meal_slot',
         CASE
             WHEN (EXTRACT(hour FROM local_at) < (5)::numeric) THEN 'late_night'::text
             WHEN (EXTRACT(hour FROM local_at) < (11)::numeric) THEN 'breakfast'::text
             WHEN (EXTRACT(hour FROM local_at) < (16)::numeric) THEN 'lunch'::text
             WHEN (EXTRACT(hour FROM local_at) < (22)::numeric) THEN 'dinner'::text
             ELSE 'late_night'::text
         END) AS jsonb_build_object;

END;

CREATE FUNCTION aisle._user_vector(model_id integer, user_id text, items text[], given jsonb, local_at timestamp without time zone) RETURNS public.vector
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    context jsonb := aisle._time_context(local_at) || coalesce(given, '{}');
    own public.vector;
    past public.vector;
    known_items integer;
    situation public.vector;
    is_given boolean;
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
begin
    if (parameters ->> 'distinct')::boolean then
        items := array(
            select e.item_id from unnest(items[:1000]) with ordinality e (item_id, place) group by e.item_id order by min(e.place));
    end if;
    select v.embedding into own from aisle.user_vectors v where v.model_id = model_id and v.user_id = user_id;
    select public.sum(h.in_embedding operator(public.*) w.weights), count(*) into past, known_items
    from (select f.in_embedding, row_number() over (order by e.place) as place
          from unnest(items[:1000]) with ordinality e (item_id, place)
          join aisle.item_factors f on f.model_id = model_id and f.item_id = e.item_id
          order by e.place
          limit (parameters ->> 'history')::integer) h
    join aisle._recency_weights w on w.model_id = model_id and w.place = h.place;
    select public.sum(c.embedding), bool_or(given ? c.feature) into situation, is_given
    from aisle.context_vectors c
    where c.model_id = model_id and (c.feature = '' or c.value = context ->> c.feature);
    if own is null and known_items = 0 and is_given is not true then
        return null;
    end if;
    if own is not null then
        situation := situation operator(public.+) own;
    end if;
    if known_items > 0 then
        situation := situation operator(public.+) (past operator(public.*)
            array_fill(known_items ^ -(parameters ->> 'exponent')::float8, array[public.vector_dims(past)])::public.vector);
    end if;
    return situation;
end
$$;

CREATE FUNCTION aisle._vector_tables(task text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE task
             WHEN 'category'::text THEN ARRAY['item_vectors'::text, 'category_vectors'::text, 'ngram_vectors'::text]
             WHEN 'preference'::text THEN ARRAY['category_vectors'::text, 'ngram_vectors'::text]
             WHEN 'recommender'::text THEN ARRAY['item_factors'::text, 'user_vectors'::text, 'context_vectors'::text]
             WHEN 'basket'::text THEN ARRAY['basket_items'::text, 'customer_vectors'::text]
             ELSE '{}'::text[]
         END AS "case";

END;

CREATE FUNCTION aisle._words(text text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT array_remove(regexp_split_to_array(translate(lower(("left"(NORMALIZE("left"(COALESCE(text, ''::text), 1000), NFKC), 1000) COLLATE "C")), 'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĴĶĹĻĽŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƠƢƤƦƧƩƬƮƯƱƲƳƵƷƸƼǍǏǑǓǕǗǙǛǞǠǢǤǦǨǪǬǮǴǶǷǸǺǼǾȀȂȄȆȈȊȌȎȐȒȔȖȘȚȜȞȠȢȤȦȨȪȬȮȰȲȺȻȽȾɁɃɄɅɆɈɊɌɎͰͲͶͿΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫϏϘϚϜϞϠϢϤϦϨϪϬϮϷϺϽϾϿЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯѠѢѤѦѨѪѬѮѰѲѴѶѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰҲҴҶҸҺҼҾӀӁӃӅӇӉӋӍӐӒӔӖӘӚӜӞӠӢӤӦӨӪӬӮӰӲӴӶӸӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖḀḂḄḆḈḊḌḎḐḒḔḖḘḚḜḞḠḢḤḦḨḪḬḮḰḲḴḶḸḺḼḾṀṂṄṆṈṊṌṎṐṒṔṖṘṚṜṞṠṢṤṦṨṪṬṮṰṲṴṶṸṺṼṾẀẂẄẆẈẊẌẎẐẒẔẞẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸỺỼỾἈἉἊἋἌἍἎἏἘἙἚἛἜἝἨἩἪἫἬἭἮἯἸἹἺἻἼἽἾἿὈὉὊὋὌὍὙὛὝὟὨὩὪὫὬὭὮὯᾈᾉᾊᾋᾌᾍᾎᾏᾘᾙᾚᾛᾜᾝᾞᾟᾨᾩᾪᾫᾬᾭᾮᾯᾸᾹᾺᾼῈῊῌῘῙῚῨῩῪῬῸῺῼ'::text, 'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĵķĺļľłńņňŋōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷÿźżžɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵơƣƥʀƨʃƭʈưʊʋƴƶʒƹƽǎǐǒǔǖǘǚǜǟǡǣǥǧǩǫǭǯǵƕƿǹǻǽǿȁȃȅȇȉȋȍȏȑȓȕȗșțȝȟƞȣȥȧȩȫȭȯȱȳⱥȼƚⱦɂƀʉʌɇɉɋɍɏͱͳͷϳάέήίόύώαβγδεζηθικλμνξοπρστυφχψωϊϋϗϙϛϝϟϡϣϥϧϩϫϭϯϸϻͻͼͽѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрстуфхцчшщъыьэюяѡѣѥѧѩѫѭѯѱѳѵѷѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿӏӂӄӆӈӊӌӎӑӓӕӗәӛӝӟӡӣӥӧөӫӭӯӱӳӵӷӹӻӽӿԁԃԅԇԉԋԍԏԑԓԕԗԙԛԝԟԡԣԥԧԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆḁḃḅḇḉḋḍḏḑḓḕḗḙḛḝḟḡḣḥḧḩḫḭḯḱḳḵḷḹḻḽḿṁṃṅṇṉṋṍṏṑṓṕṗṙṛṝṟṡṣṥṧṩṫṭṯṱṳṵṷṹṻṽṿẁẃẅẇẉẋẍẏẑẓẕßạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹỻỽỿἀἁἂἃἄἅἆἇἐἑἒἓἔἕἠἡἢἣἤἥἦἧἰἱἲἳἴἵἶἷὀὁὂὃὄὅὑὓὕὗὠὡὢὣὤὥὦὧᾀᾁᾂᾃᾄᾅᾆᾇᾐᾑᾒᾓᾔᾕᾖᾗᾠᾡᾢᾣᾤᾥᾦᾧᾰᾱὰᾳὲὴῃῐῑὶῠῡὺῥὸὼῳ'::text), '[\u0001-/:-@\[-`{-\u00bf×÷\u02b0-\u02ff\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30fb\ue000-\uf8ff\ufe00-\ufe6f\ufff0-\uffff\U0001f000-\U0001faff\U000e0000-\U000e0fff]+'::text), ''::text) AS array_remove;

END;

CREATE FUNCTION aisle._written(operand text) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT format('case when num_nonnulls(%1$s) = 1 then concat(%1$s) end'::text, operand) AS format;

END;

CREATE FUNCTION aisle.attach_interactions(relation text, user_id text, item_id text, at text, weight text DEFAULT NULL::text, context_columns text[] DEFAULT '{}'::text[], review text DEFAULT NULL::text, time_zone text DEFAULT current_setting('TimeZone'::text), rating text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    target regclass;
    user_type text;
    time_type text;
    weight_type text;
    -- The view leaves out an event whose time is infinite or in another year. A weight that is NaN, infinite or huge counts as 1, as a
    -- null does. So no cast fails, whatever the columns hold; trainers/odd_values.py counts such rows.
    years constant text := 'e.%1$I between %2$s ''0001-01-01 00:00:00+00'' and %2$s ''9999-12-31 23:59:59.999999+00''';
    missing_indexes text;
begin
    context_columns := coalesce(context_columns, '{}');
    if exists (select from aisle._attachments a where a.kind = 'interactions') then
        raise exception 'Interactions are attached already, to %.',
            (select a.relation from aisle._attachments a where a.kind = 'interactions')
            using errcode = 'AIS03', hint = 'Detach them first: aisle detach interactions';
    elsif user_id is null or item_id is null or at is null then
        raise exception 'The columns of user, item and time must be named.' using errcode = 'AIS05';
    elsif not exists (select from pg_timezone_names z where z.name = time_zone) then
        raise exception 'There is no time zone %.', time_zone using errcode = 'AIS06', hint = 'For example: Asia/Seoul';
    elsif context_columns && array['hour', 'weekday', 'meal_slot'] then
        raise exception 'hour, weekday and meal_slot are taken from the time; a context column needs another name.'
            using errcode = 'AIS06';
    end if;
    target := aisle._relation_to_attach(attach_interactions.relation, array[user_id, item_id, at, weight, review, rating] || context_columns,
                                         triggers => false);
    user_type := aisle._id_type(target, user_id);
    perform aisle._id_type(target, item_id);
    time_type := aisle._column_type(target, at);
    if time_type not in ('timestamp with time zone', 'timestamp without time zone', 'date') then
        raise exception 'Column % of % is of type %; the time of an event is a timestamp or a date.',
            quote_ident(at), target, time_type using errcode = 'AIS04';
    end if;
    weight_type := aisle._column_type(target, weight);
    if weight_type not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision') then
        raise exception 'Column % of % is of type %; the weight of an event is a number.',
            quote_ident(weight), target, weight_type using errcode = 'AIS04', hint = 'A review or a rating is named as that.';
    end if;
    perform aisle._refuse_foreign_code(target);
    insert into aisle._attachments (kind, relation, id_type, columns, time_type, time_zone)
    values ('interactions', target, user_type,
            jsonb_build_object('user', user_id, 'item', item_id, 'at', at, 'weight', weight, 'context', context_columns,
                               'review', review, 'rating', rating),
            time_type, attach_interactions.time_zone);
    execute format(
        'create view aisle._interactions with (security_invoker = true) as
         select e.%1$I::%2$s as user_id, e.%3$I::text as item_id, e.%4$I as at, %5$s as local_at, %6$s as weight,
                %7$s as context, %8$s as review, %9$s as rating
         from %10$s e
         where e.%1$I is not null and e.%3$I is not null and e.%4$I is not null and nullif(%11$s, false) is not null',
        user_id, user_type, item_id, at,
        format('case when %s then %s end', format(years, at, time_type),
               format(case time_type when 'timestamp with time zone' then 'e.%I at time zone %L' else 'e.%I::timestamp' end,
                      at, attach_interactions.time_zone)),
        case when weight is null then '1::real'
             when weight_type in ('smallint', 'integer', 'bigint') then
                 format('case when e.%1$I between -1000000000 and 1000000000 then e.%1$I else 1 end::real', weight)
             else format('case when e.%1$I between -1e-30 and 1e-30 then 0 when e.%1$I between -1e9 and 1e9 then e.%1$I else 1 end::real',
                         weight) end,
        case when context_columns = '{}' then '''{}''::jsonb' else (
            select format('jsonb_strip_nulls(jsonb_build_object(%s))', string_agg(format('%L, %s', c, aisle._text_of(target, c, 'e')), ', '))
            from unnest(context_columns) c) end,
        format('nullif(%s, '''')', aisle._text_of(target, review, 'e')),
        format('nullif(%s, '''')', aisle._text_of(target, rating, 'e')),
        target, format(years, at, time_type));
    perform aisle._copy_grants('aisle._attachments', 'aisle._interactions');
    if not aisle._has_index(target, array[user_id, at]) then
        missing_indexes := format(e'\nFor fast answers, also: create index concurrently on %s (%I, %I);', target, user_id, at);
    end if;
    if not aisle._has_index(target, array[at]) then
        missing_indexes := concat(missing_indexes, format(e'\nFor users without a history: create index concurrently on %s (%I);', target, at));
    end if;
    return concat(format('Attached %s.', target),
                  case when time_type = 'timestamp without time zone' then
                      format(e'\nIts times are read as those of %s; if they are another zone''s, detach it, and attach it with that.',
                             attach_interactions.time_zone) end,
                  missing_indexes);
end
$_$;

COMMENT ON FUNCTION aisle.attach_interactions(relation text, user_id text, item_id text, at text, weight text, context_columns text[], review text, time_zone text, rating text) IS 'Points Aisle at the shop''s table of views, ratings, visits or purchases. context_columns are what was known of the situation, such as the meal; time_zone is that of hours and weekdays. review is the text in which users say what they thought, rating what they gave: a number, a yes or no, or a word.';

CREATE FUNCTION aisle.attach_items(relation text, id text, name text, manufacturer text DEFAULT NULL::text, category text DEFAULT NULL::text, text_columns text[] DEFAULT '{}'::text[], category_separator text DEFAULT ' > '::text, draft_rows integer DEFAULT 100, latitude text DEFAULT NULL::text, longitude text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    target regclass;
    kind "char";
    has_triggers boolean;
    id_column text := attach_items.id;
    id_type text;
    details text;
    places text;
    -- NaN, infinities and huge numbers are null: no cast fails, whatever the columns hold.
    degrees constant text := 'case when $ between -1e-30 and 1e-30 then 0 when $ between -1e9 and 1e9 then $ end';
    watched text[];
    n integer;
begin
    text_columns := coalesce(text_columns, '{}');
    if exists (select from aisle._attachments a where a.kind = 'items') then
        raise exception 'Items are attached already, to %.', (select a.relation from aisle._attachments a where a.kind = 'items')
            using errcode = 'AIS03', hint = 'Detach them first: aisle detach items';
    end if;
    if id_column is null or attach_items.name is null then
        raise exception 'Columns for id and name: both must be named.' using errcode = 'AIS05';
    elsif coalesce(category_separator, '') = '' then
        raise exception 'What stands between the steps of a category path must not be empty.'
            using errcode = 'AIS06', hint = 'Where categories are no paths, leave it as it is.';
    elsif draft_rows is null or draft_rows < 0 then
        raise exception 'draft_rows must be at least 0, not %.', coalesce(draft_rows::text, 'null') using errcode = 'AIS06';
    elsif (latitude is null) <> (longitude is null) then
        raise exception 'Columns for latitude and longitude: both must be named, or none.' using errcode = 'AIS05';
    end if;
    watched := array_remove(array[attach_items.name, manufacturer, category] || text_columns, null);
    target := aisle._relation_to_attach(attach_items.relation, id_column || watched || array[latitude, longitude]);
    select c.relkind into kind from pg_class c where c.oid = target;
    has_triggers := kind in ('r', 'p');
    id_type := aisle._id_type(target, id_column);
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[attach_items.name, manufacturer, category]) c
    where aisle._column_type(target, c) ~ $lists$json|\[\]$|^tsvector|^xml$lists$;
    if places is not null then
        raise exception 'A name, a manufacturer or a category is one text; % has %.', target, places
            using errcode = 'AIS04', hint = 'Such a column may be one of the text_columns; or attach a view that picks one of its texts.';
    end if;
    select string_agg(format('%I of type %s', c, aisle._column_type(target, c)), ', ') into places
    from unnest(array[latitude, longitude]) c
    where aisle._column_type(target, c) not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision');
    if places is not null then
        raise exception 'Latitude and longitude are numbers, in degrees; % has %.', target, places using errcode = 'AIS04';
    end if;
    perform aisle._refuse_foreign_code(target);
    if has_triggers and not exists (
        select from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = target and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
          and a.attname = id_column)
    then
        raise exception 'Column % of % has no unique index of its own.', quote_ident(id_column), target
            using errcode = 'AIS04', hint = case
                when exists (select from pg_index i where i.indrelid = target and i.indisprimary and i.indnkeyatts > 1)
                then 'The table has a composite key. Give it a single-column unique id, or attach a view that makes one.'
                else format('create unique index concurrently on %s (%I);', target, id_column) end;
    elsif not has_triggers then
        execute format('select count(*) from (select from %s group by %I having count(*) > 1 or %2$I is null limit 1) d',
                       target, id_column) into n;
        if n > 0 then
            raise exception 'Column % of % has values that are null or occur twice.', quote_ident(id_column), target
                using errcode = 'AIS04', hint = 'Every row needs an id of its own.';
        end if;
    end if;
    insert into aisle._attachments (kind, relation, id_type, columns, category_separator, draft_rows)
    values ('items', target, id_type,
            jsonb_build_object('id', id_column, 'name', attach_items.name, 'manufacturer', manufacturer,
                               'category', category, 'text', text_columns, 'latitude', latitude, 'longitude', longitude),
            attach_items.category_separator, attach_items.draft_rows);
    select string_agg(aisle._text_of(target, c, 'i'), ', ') into details from unnest(text_columns) c;
    execute format(
        'create view aisle._items with (security_invoker = true) as
         select i.%1$I::%2$s as id, i.%1$I::text as item_id, %3$s as name, %4$s as manufacturer, %5$s as category,
                %6$s as details, (%8$s)::float8 as latitude, (%9$s)::float8 as longitude
         from %7$s i
         where i.%1$I is not null',
        id_column, id_type, aisle._text_of(target, attach_items.name, 'i'),
        aisle._text_of(target, manufacturer, 'i'),
        format('nullif(%s, %L)', aisle._text_of(target, category, 'i'), ''),
        case when details is null then 'null::text' else format('nullif(concat_ws(%L, %s), %L)', ' ', details, '') end,
        target,
        coalesce(replace(degrees, '$', 'i.' || quote_ident(latitude)), 'null'),
        coalesce(replace(degrees, '$', 'i.' || quote_ident(longitude)), 'null'));
    perform aisle._copy_grants('aisle._attachments', 'aisle._items');
    if not has_triggers then
        return format('Attached %s. It is a view or foreign table, so no triggers: a worker finds what changed by comparing, `aisle embed` at once.', target);
    end if;
    perform aisle._create_item_triggers(
        target, kind = 'p', (select a.columns from aisle._attachments a where a.kind = 'items'), draft_rows);
    return format('Attached %s.', target);
end
$_$;

COMMENT ON FUNCTION aisle.attach_items(relation text, id text, name text, manufacturer text, category text, text_columns text[], category_separator text, draft_rows integer, latitude text, longitude text) IS 'Points Aisle at the shop''s table of products. text_columns are further texts that models read, such as specifications; statements of up to draft_rows rows get draft vectors in their own transaction; latitude and longitude, in degrees, say where the recommender finds them.';

CREATE FUNCTION aisle.attach_orders(relation text, order_id text, item_id text, user_id text DEFAULT NULL::text, at text DEFAULT NULL::text, order_number text DEFAULT NULL::text, quantity text DEFAULT NULL::text, lines text DEFAULT NULL::text, line_order_id text DEFAULT NULL::text, time_zone text DEFAULT current_setting('TimeZone'::text)) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    customer constant text := coalesce(user_id, order_id);  -- without customers, each order is one's only one
    moment constant text := coalesce(at, order_number);
    line_order constant text := coalesce(line_order_id, order_id);
    line constant text := case when lines is null then 'e' else 'l' end;
    target regclass;
    line_target regclass;  -- null where the lines are in the table itself
    customer_type text;
    time_type text;
    latest constant integer := 100000000;  -- number: it stands for so many days after 1970, and a timestamp does not hold many more
    id_types text[];
    quantity_type text;
    -- The view leaves out an order whose time is infinite or in another year, or whose number is another. A quantity that is NaN,
    -- infinite or huge counts as 1, as a null does. So no cast fails, whatever the columns hold; trainers/odd_values.py counts such rows.
    years constant text := 'e.%1$I between %2$s ''0001-01-01 00:00:00+00'' and %2$s ''9999-12-31 23:59:59.999999+00''';
    numbers constant text := 'e.%1$I between -700000 and %2$s';
    is_known text;
    amount text;
    number bigint;
    missing_indexes text;
begin
    if exists (select from aisle._attachments a where a.kind = 'orders') then
        raise exception 'Orders are attached already, to %.', (select a.relation from aisle._attachments a where a.kind = 'orders')
            using errcode = 'AIS03', hint = 'Detach them first: aisle detach orders';
    elsif order_id is null or item_id is null then
        raise exception 'The columns of order and item must be named.' using errcode = 'AIS05';
    elsif at is not null and order_number is not null then
        raise exception 'Name the column of the time or that of the number, not both.' using errcode = 'AIS05';
    elsif user_id is not null and moment is null then
        raise exception 'A customer''s orders need a time or a number, or nothing says which was the last.'
            using errcode = 'AIS05', hint = 'Name the column: at, or order_number';
    elsif lines is null and line_order_id is not null then
        raise exception 'line_order_id is a column of the table of lines, which is not named.' using errcode = 'AIS05';
    elsif not exists (select from pg_timezone_names z where z.name = time_zone) then
        raise exception 'There is no time zone %.', time_zone using errcode = 'AIS06', hint = 'For example: Asia/Seoul';
    end if;
    if lines is null then
        target := aisle._relation_to_attach(attach_orders.relation, array[order_id, item_id, user_id, moment, quantity]);
    else
        target := aisle._relation_to_attach(attach_orders.relation, array[order_id, user_id, moment]);
        line_target := aisle._relation_to_attach(lines, array[line_order, item_id, quantity]);
        id_types := array[aisle._id_type(target, order_id), aisle._id_type(line_target, line_order)];
        if id_types[1] <> id_types[2] and not id_types <@ array['smallint', 'integer', 'bigint'] then
            raise exception 'Column % of % is of type %, but % of % is of type %.',
                quote_ident(line_order), line_target, id_types[2], quote_ident(order_id), target, id_types[1]
                using errcode = 'AIS04', hint = 'Change one of them, or attach a view that casts it.';
        end if;
    end if;
    if exists (select from pg_attribute a
               where a.attrelid in (target, line_target) and a.attgenerated = 'v'
                 and a.attname in (order_id, item_id, user_id, moment, quantity, line_order)) then
        raise exception 'A column is computed when it is read, and triggers do not see it.'
            using errcode = 'AIS04', hint = 'Make it a stored one: generated always as (…) stored';
    end if;
    perform aisle._id_type(coalesce(line_target, target), item_id);
    perform aisle._id_type(target, order_id);
    quantity_type := aisle._column_type(coalesce(line_target, target), quantity);
    if quantity_type not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision') then
        raise exception 'Column % of % is of type %; a quantity is a number.',
            quote_ident(quantity), coalesce(line_target, target), quantity_type using errcode = 'AIS04';
    end if;
    customer_type := aisle._id_type(target, customer);
    perform aisle._refuse_foreign_code(target);
    perform aisle._refuse_foreign_code(line_target);
    time_type := coalesce(aisle._column_type(target, moment), 'integer');
    if at is not null and time_type not in ('timestamp with time zone', 'timestamp without time zone', 'date') then
        raise exception 'Column % of % is of type %; the time of an order is a timestamp or a date.',
            quote_ident(at), target, time_type using errcode = 'AIS04', hint = 'A number is named as order_number.';
    elsif at is null and time_type not in ('smallint', 'integer', 'bigint') then
        raise exception 'Column % of % is of type %; the number of an order is a whole number.',
            quote_ident(order_number), target, time_type using errcode = 'AIS04', hint = 'A time is named as at.';
    elsif order_number is not null then
        execute format('select e.%1$I from %2$s e where e.%1$I > %3$s limit 1', order_number, target, latest) into number;
        if number is not null then
            raise exception 'Column % of % has the number %; an order''s number is at most %.',
                quote_ident(order_number), target, number, latest using errcode = 'AIS06',
                hint = 'Attach a view that ranks each customer''s orders, or name the column of a time: at';
        end if;
    end if;
    insert into aisle._attachments (kind, relation, lines, id_type, columns, time_type, time_zone)
    values ('orders', target, line_target, customer_type,
            jsonb_build_object('order', order_id, 'user', customer, 'item', item_id, 'at', moment, 'quantity', quantity,
                               'line_order', case when lines is not null then line_order end, 'context', array[]::text[]),
            time_type, attach_orders.time_zone);
    is_known := case when at is not null then format(years, at, time_type) when moment is not null then format(numbers, moment, latest) end;
    amount := case when quantity is not null then format(
        case when quantity_type in ('smallint', 'integer', 'bigint') then
                 'case when %1$s.%2$I between -1000000000 and 1000000000 then %1$s.%2$I else 1 end'
             else 'case when %1$s.%2$I between -1e-30 and 1e-30 then 0 when %1$s.%2$I between -1e9 and 1e9 then %1$s.%2$I else 1 end' end,
        line, quantity) end;
    execute format(
        'create view aisle._orders with (security_invoker = true) as
         select e.%1$I::%2$s as user_id, %3$s.%4$I::text as item_id, %5$s as at, %6$s as local_at, 1::real as weight,
                ''{}''::jsonb as context, null::text as review, e.%7$I as order_id, %8$s as quantity
         from %9$s e %10$s
         where e.%1$I is not null and %3$s.%4$I is not null and e.%7$I is not null %11$s %12$s',
        customer, customer_type, line, item_id,
        case when moment is null then '1' else format('e.%I', moment) end,
        case when moment is null then 'timestamp ''1970-01-02'''
             else format('case when %s then %s end', is_known, format(
                 case when time_type = 'timestamp with time zone' then 'e.%I at time zone %L'
                      when at is not null then 'e.%I::timestamp'
                      else 'timestamp ''1970-01-01'' + e.%I * interval ''1 day''' end, moment, attach_orders.time_zone)) end,
        order_id,
        case when quantity is null then '1::real' else format('(%s)::real', amount) end,
        target,
        case when lines is not null then format('join %s l on l.%I = e.%I', line_target, line_order, order_id) end,
        case when moment is not null then format('and e.%I is not null and nullif(%s, false) is not null', moment, is_known) end,
        case when quantity is not null then format('and %s > 0', amount) end);
    -- The hash is of all that a model reads of a customer, in whatever order the rows come.
    create view aisle._customers with (security_invoker = true) as
        select o.user_id, decode(md5(concat(count(*), ' ', sum(hashtextextended(
                   concat_ws(' ', o.order_id, o.item_id, o.quantity, extract(epoch from o.local_at)), 0)::numeric))), 'hex') as content_hash
        from aisle._orders o
        group by o.user_id;
    perform aisle._copy_grants('aisle._attachments', 'aisle._orders');
    perform aisle._copy_grants('aisle._embedding_jobs', 'aisle._customers');  -- only workers read it
    perform aisle._create_order_triggers(
        target, line_target, (select a.columns from aisle._attachments a where a.kind = 'orders'));
    if not aisle._has_index(target, array[customer]) then
        missing_indexes := format(e'\nFor fast answers, also: create index concurrently on %s (%s);', target,
                                  concat_ws(', ', quote_ident(customer), quote_ident(moment)));
    end if;
    if lines is not null and not aisle._has_index(line_target, array[line_order]) then
        missing_indexes := concat(missing_indexes, format(e'\nFor fast answers, also: create index concurrently on %s (%I);',
                                                          line_target, line_order));
    end if;
    return concat(format('Attached %s.', concat_ws(' and ', target::text, line_target::text)),
                  case when time_type = 'timestamp without time zone' then
                      format(e'\nIts times are read as those of %s; if they are another zone''s, detach it, and attach it with that.',
                             attach_orders.time_zone) end,
                  missing_indexes);
end
$_$;

COMMENT ON FUNCTION aisle.attach_orders(relation text, order_id text, item_id text, user_id text, at text, order_number text, quantity text, lines text, line_order_id text, time_zone text) IS 'Points Aisle at the shop''s orders: one table of lines, or, with lines, a table of orders and one of lines. Orders have a time (at) or a number that grows with time (order_number). Lines with a quantity of 0 or less count as returned.';

CREATE FUNCTION aisle.complete_basket(item_ids text[], k integer DEFAULT 10, user_id text DEFAULT NULL::text) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT b.rank,
     b.item_id,
     b.score
    FROM aisle._complete_basket(aisle._live_model('basket'::text), complete_basket.item_ids, complete_basket.k, complete_basket.user_id) b(rank, item_id, score);

END;

COMMENT ON FUNCTION aisle.complete_basket(item_ids text[], k integer, user_id text) IS 'What goes best with the products in an open cart, and, with user_id, with what that customer is likely to order. An empty cart is completed with the customer''s next order, or with what is popular.';

CREATE FUNCTION aisle.deploy(model_id integer, force boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    model aisle._models;
begin
    perform aisle._lock_deployments();
    select * into model from aisle._models m where m.model_id = deploy.model_id for share;
    if not found then
        raise exception 'There is no model %.', deploy.model_id using errcode = 'AIS07', hint = 'See: aisle models';
    elsif model.state <> 'ready' then
        raise exception 'Model % is %, not ready.', deploy.model_id, model.state
            using errcode = 'AIS07', hint = 'See: aisle models';
    elsif exists (select from aisle._live_models l where l.model_id = model.model_id) then
        return format('Model %s answers for %s already.', model.model_id, model.task);
    elsif not model.passed_gate and force is not true then
        raise exception 'Model % lost: %.', deploy.model_id, model.verdict
            using errcode = 'AIS07', hint = format('To deploy it all the same: aisle deploy %s --force', deploy.model_id);
    end if;
    insert into aisle._deployments (task, model_id, deployed_at) values (model.task, model.model_id, aisle._now());
    return format('Model %s now answers for %s.', model.model_id, model.task);
end
$$;

COMMENT ON FUNCTION aisle.deploy(model_id integer, force boolean) IS 'Lets a ready model answer from the next statement on. One that was worse than the live model or a baseline needs force => true. aisle.rollback undoes it.';

CREATE FUNCTION aisle.detach(kind text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    attachment aisle._attachments;
    trigger_name name;
    target regclass;
begin
    select * into attachment from aisle._attachments a where a.kind = detach.kind;
    if not found then
        raise exception 'No % are attached.', detach.kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    for trigger_name, target in
        select t.tgname, t.tgrelid from pg_trigger t
        where t.tgrelid in (attachment.relation, attachment.lines) and starts_with(t.tgname, 'aisle_500_') and not t.tgisinternal
          and t.tgparentid = 0 and attachment.kind = case when starts_with(t.tgname, 'aisle_500_orders_') then 'orders' else 'items' end
    loop
        execute format('drop trigger %I on %s', trigger_name, target);
    end loop;
    if attachment.kind = 'items' then
        drop function if exists aisle.tg_items__insert(), aisle.tg_items__delete(), aisle.tg_items__row();
    elsif attachment.kind = 'orders' then
        drop function if exists aisle.tg_orders__changed(), aisle.tg_lines__changed();
    end if;
    if attachment.kind = 'orders' then
        drop view if exists aisle._customers;
    end if;
    execute format('drop view if exists aisle.%I', '_' || attachment.kind);
    if attachment.kind = 'items' then
        truncate aisle.item_vectors, aisle._item_predictions;  -- the shop's table is locked: be quick
        -- What was learned from events no worker can make again: it stays with its model.
        delete from aisle.item_factors f where f.origin <> 'events';
        delete from aisle._changes c where c.topic = 'items';
        delete from aisle._embedding_jobs j where j.task in ('category', 'recommender');
    elsif attachment.kind = 'orders' then
        truncate aisle.customer_vectors;
        delete from aisle._changes c where c.topic in ('basket', 'lines');
        delete from aisle._embedding_jobs j where j.task = 'basket';
    end if;
    if attachment.kind = 'interactions' then
        delete from aisle._review_labels;
    end if;
    delete from aisle._comparisons c where (c.task = 'basket') = (attachment.kind = 'orders') and attachment.kind <> 'interactions';
    delete from aisle._attachments a where a.kind = detach.kind;
    return format('Detached %s.', attachment.relation);
end
$$;

COMMENT ON FUNCTION aisle.detach(kind text) IS 'Removes the triggers, the view, the queued jobs, the labels and the vectors of an attached table, but for what a model learned from events. The table itself is untouched, and so are the models.';

CREATE FUNCTION aisle.embed_text(text text) RETURNS public.vector
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return aisle._embed(aisle._live_model('category'), aisle._ngrams(text, null, null));
end
$$;

COMMENT ON FUNCTION aisle.embed_text(text text) IS 'The vector of any text in the live category model''s space, computed from n-gram vectors inside the database. A text without a known n-gram has the zero vector.';

CREATE FUNCTION aisle.item_category(item_id text, k integer DEFAULT 3, level integer DEFAULT NULL::integer) RETURNS TABLE(rank integer, category text, confidence double precision)
    LANGUAGE plpgsql STABLE ROWS 3 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    model integer := aisle._live_model('category');
    query public.vector := aisle._item_vector(model, item_category.item_id);
begin
    if query is not null then
        return query
            select c.rank, c.category, c.confidence
            from aisle._categorise(model, query, item_category.k, item_category.level) c;
    end if;
end
$$;

COMMENT ON FUNCTION aisle.item_category(item_id text, k integer, level integer) IS 'The k most likely categories of an attached item, from its stored vector; an unknown item has none.';

CREATE FUNCTION aisle.item_category(item_id bigint, k integer DEFAULT 3, level integer DEFAULT NULL::integer) RETURNS TABLE(rank integer, category text, confidence double precision)
    LANGUAGE sql STABLE ROWS 3 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT c.rank,
     c.category,
     c.confidence
    FROM aisle.item_category((item_category.item_id)::text, item_category.k, item_category.level) c(rank, category, confidence);

END;

COMMENT ON FUNCTION aisle.item_category(item_id bigint, k integer, level integer) IS 'The k most likely categories of an attached item, from its stored vector; an unknown item has none.';

CREATE FUNCTION aisle.next_basket(user_id text, k integer DEFAULT 10) RETURNS TABLE(rank integer, item_id text, score double precision, probability double precision, bought_before boolean)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT b.rank,
     b.item_id,
     b.score,
     b.probability,
     b.bought_before
    FROM aisle._next_basket(aisle._live_model('basket'::text), next_basket.user_id, next_basket.k) b(rank, item_id, score, probability, bought_before);

END;

COMMENT ON FUNCTION aisle.next_basket(user_id text, k integer) IS 'What a customer is most likely to order next, with the probability of each item. With k => null: as many items as make the expected F1 of the answer largest.';

CREATE FUNCTION aisle.next_basket(user_id bigint, k integer DEFAULT 10) RETURNS TABLE(rank integer, item_id text, score double precision, probability double precision, bought_before boolean)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT b.rank,
     b.item_id,
     b.score,
     b.probability,
     b.bought_before
    FROM aisle.next_basket((next_basket.user_id)::text, next_basket.k) b(rank, item_id, score, probability, bought_before);

END;

COMMENT ON FUNCTION aisle.next_basket(user_id bigint, k integer) IS 'What a customer is most likely to order next, with the probability of each item. With k => null: as many items as make the expected F1 of the answer largest.';

CREATE FUNCTION aisle.predict_category(name text, manufacturer text DEFAULT NULL::text, k integer DEFAULT 3, level integer DEFAULT NULL::integer) RETURNS TABLE(rank integer, category text, confidence double precision)
    LANGUAGE plpgsql STABLE ROWS 3 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    model integer := aisle._live_model('category');
begin
    return query
        select c.rank, c.category, c.confidence
        from aisle._categorise(
            model, aisle._embed(model, aisle._ngrams(predict_category.name, predict_category.manufacturer, null)),
            predict_category.k, predict_category.level) c;
end
$$;

COMMENT ON FUNCTION aisle.predict_category(name text, manufacturer text, k integer, level integer) IS 'The k most likely categories of a product that need not be a row yet, with calibrated confidences that sum to 1 over all categories. level => n adds the confidences below each path of n steps.';

CREATE FUNCTION aisle.prune(task text DEFAULT NULL::text, keep integer DEFAULT 2) RETURNS SETOF text
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    is_training boolean := false;
    model aisle._models;
    freed bigint;
    is_any boolean := false;
    is_gone boolean;
begin
    if keep is null or keep < 1 then
        raise exception 'keep must be at least 1, not %.', coalesce(keep::text, 'null') using errcode = 'AIS06';
    end if;
    perform aisle._check_task(task);
    begin
        lock table aisle._training_lock in exclusive mode nowait;
    exception when lock_not_available then
        is_training := true;
    end;
    perform aisle._lock_deployments();
    for model in select * from aisle._prunable(task, keep) loop
        continue when is_training and model.state in ('loading', 'filling');
        begin
            freed := aisle._drop_model(model.model_id, case when is_any then '1ms' else '40ms' end);
        exception when sqlstate 'AIS08' then
            exit when is_any;
            raise;
        end;
        is_any := true;
        is_gone := not exists (select from aisle._models m where m.model_id = model.model_id);
        return next format('Model %s (%s, %s) is %s: %s freed.', model.model_id, model.task, model.state,
                           case when is_gone then 'removed' else 'in use, and removed in part' end, pg_size_pretty(freed));
        exit when not is_gone;
    end loop;
end
$$;

COMMENT ON FUNCTION aisle.prune(task text, keep integer) IS 'Removes the models of a task, or of all, that nobody needs: failed ones, and what is neither live, nor among the newest `keep` that are ready, nor among the `keep` that rollbacks lead through. Says what each has freed. While queries are in its way it stops after what it could remove; the rest goes with the next call.';

CREATE FUNCTION aisle.recommend(user_id text, k integer DEFAULT 10, category text DEFAULT NULL::text, context jsonb DEFAULT NULL::jsonb, exclude_seen boolean DEFAULT true) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT r.rank,
     r.item_id,
     r.score
    FROM aisle._recommend(aisle._live_model('recommender'::text), recommend.user_id, recommend.k, recommend.category, recommend.context, recommend.exclude_seen, NULL::timestamp with time zone) r(rank, item_id, score);

END;

COMMENT ON FUNCTION aisle.recommend(user_id text, k integer, category text, context jsonb, exclude_seen boolean) IS 'The k items that suit a user now: history, context and category are taken as they are at this moment. With exclude_seen => false, items come again that the user comes back to. Of a user of whom nothing is known: what is popular.';

CREATE FUNCTION aisle.recommend(user_id bigint, k integer DEFAULT 10, category text DEFAULT NULL::text, context jsonb DEFAULT NULL::jsonb, exclude_seen boolean DEFAULT true) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT r.rank,
     r.item_id,
     r.score
    FROM aisle.recommend((recommend.user_id)::text, recommend.k, recommend.category, recommend.context, recommend.exclude_seen) r(rank, item_id, score);

END;

COMMENT ON FUNCTION aisle.recommend(user_id bigint, k integer, category text, context jsonb, exclude_seen boolean) IS 'The k items that suit a user now: history, context and category are taken as they are at this moment. With exclude_seen => false, items come again that the user comes back to. Of a user of whom nothing is known: what is popular.';

CREATE FUNCTION aisle.requeue_failures(task text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    requeued bigint;
begin
    perform aisle._check_task(task);
    update aisle._embedding_jobs j
    set is_dead = false, attempts = 0, priority = 1, run_after = aisle._now()
    where j.is_dead and j.task = coalesce(requeue_failures.task, j.task);
    get diagnostics requeued = row_count;
    perform pg_notify('aisle_embedding_jobs', coalesce(requeue_failures.task, ''));
    return requeued;
end
$$;

COMMENT ON FUNCTION aisle.requeue_failures(task text) IS 'Gives the rows that were given up another round of attempts; returns how many.';

CREATE FUNCTION aisle.rollback(task text) RETURNS text
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    live aisle._deployments;
    previous aisle._deployments;
begin
    perform aisle._check_task(rollback.task);
    perform aisle._lock_deployments();
    select * into live from aisle._deployments d
    where d.task = rollback.task and d.rolled_back_at is null
    order by d.deployment_id desc limit 1 for update;
    select * into previous from aisle._deployments d
    where d.task = rollback.task and d.rolled_back_at is null and d.deployment_id < live.deployment_id
          and d.model_id <> live.model_id  -- as when the one between them was removed
    order by d.deployment_id desc limit 1;
    if not found then
        raise exception 'There is no earlier deployment of a % model.', rollback.task
            using errcode = 'AIS07', hint = 'See: aisle models';
    end if;
    update aisle._deployments set rolled_back_at = aisle._now()
    where task = rollback.task and rolled_back_at is null and deployment_id > previous.deployment_id;
    return format('Model %s answers for %s again.', previous.model_id, rollback.task);
end
$$;

COMMENT ON FUNCTION aisle.rollback(task text) IS 'Takes the newest deployment of a task back, so that the one before it answers. Again: the one before that.';

CREATE FUNCTION aisle.search_items(query text, k integer DEFAULT 10) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE plpgsql STABLE ROWS 10 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    model integer := aisle._live_model('category');
begin
    return query
        select n.rank, n.item_id, n.score
        from aisle._nearest_items(
            model, aisle._embed(model, aisle._ngrams(search_items.query, null, null)), search_items.k, null) n;
end
$$;

COMMENT ON FUNCTION aisle.search_items(query text, k integer) IS 'The k attached items nearest to any text in the category model''s space; score is the cosine. A text without a known n-gram finds nothing.';

CREATE FUNCTION aisle.similar_items(item_id bigint, k integer DEFAULT 10, space text DEFAULT 'category'::text) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT s.rank,
     s.item_id,
     s.score
    FROM aisle._similar_items((similar_items.item_id)::text, similar_items.k, similar_items.space) s(rank, item_id, score);

END;

COMMENT ON FUNCTION aisle.similar_items(item_id bigint, k integer, space text) IS 'The k items most like an attached item; score is the cosine. In the space ''category'' by their texts, as the category model sees them; in the space ''basket'' by what they are bought with, as the basket model does. An unknown item has none.';

CREATE FUNCTION aisle.similar_items(item_id text, k integer DEFAULT 10, space text DEFAULT 'category'::text) RETURNS TABLE(rank integer, item_id text, score double precision)
    LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT s.rank,
     s.item_id,
     s.score
    FROM aisle._similar_items(similar_items.item_id, similar_items.k, similar_items.space) s(rank, item_id, score);

END;

COMMENT ON FUNCTION aisle.similar_items(item_id text, k integer, space text) IS 'The k items most like an attached item; score is the cosine. In the space ''category'' by their texts, as the category model sees them; in the space ''basket'' by what they are bought with, as the basket model does. An unknown item has none.';

CREATE FUNCTION aisle.tg_items__truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET lock_timeout TO '50ms'
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform aisle._enqueue('items', '{}');
    if current_setting('transaction_isolation') = 'read committed' then
        begin
            perform aisle._forget_all_items();
        exception when others then
            null;  -- the worker will
        end;
    end if;
    return null;
end
$$;

CREATE TABLE aisle._changes (
    change_id bigint NOT NULL,
    topic text NOT NULL,
    ids text[] NOT NULL,
    changed_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY aisle._changes ALTER COLUMN ids SET STORAGE EXTERNAL;

ALTER TABLE aisle._changes ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aisle._changes_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aisle._comparisons (
    task text NOT NULL,
    after_row text,
    after_vector text,
    started_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    mended bigint DEFAULT 0 NOT NULL,
    last_mended_at timestamp with time zone
);

CREATE TABLE aisle._deployments (
    deployment_id bigint NOT NULL,
    task text NOT NULL,
    model_id integer NOT NULL,
    deployed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deployed_by text DEFAULT SESSION_USER NOT NULL,
    rolled_back_at timestamp with time zone
);

ALTER TABLE aisle._deployments ALTER COLUMN deployment_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aisle._deployments_deployment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aisle._embedding_batches (
    task text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    rows integer NOT NULL,
    waits real[] NOT NULL
);

CREATE TABLE aisle._embedding_jobs (
    task text NOT NULL,
    id text NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    enqueued_at timestamp with time zone NOT NULL,
    run_after timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    lease_token bigint,
    is_dead boolean DEFAULT false NOT NULL,
    last_error text
)
WITH (fillfactor='70');

CREATE TABLE aisle._experiments (
    experiment_id bigint NOT NULL,
    key text,
    task text NOT NULL,
    measure text NOT NULL,
    users integer NOT NULL,
    arms jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE aisle._experiments ALTER COLUMN experiment_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aisle._experiments_experiment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aisle._heldout_predictions (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    category text NOT NULL,
    predicted text NOT NULL,
    confidence real NOT NULL,
    given_confidence real NOT NULL,
    student_predicted text NOT NULL
);

CREATE TABLE aisle._heldout_users (
    model_id integer NOT NULL,
    user_id text NOT NULL,
    as_of timestamp with time zone NOT NULL,
    context jsonb NOT NULL,
    relevant text[] NOT NULL
);

CREATE TABLE aisle._item_predictions (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    category text NOT NULL,
    confidence real NOT NULL,
    student_category text NOT NULL,
    student_confidence real NOT NULL,
    content_hash bytea NOT NULL
);

CREATE TABLE aisle._learned_factors (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    embedding public.vector NOT NULL,
    in_embedding public.vector NOT NULL
);

CREATE SEQUENCE aisle._lease_tokens
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE VIEW aisle._live_models AS
 SELECT DISTINCT ON (task) task,
    model_id,
    deployed_at
   FROM aisle._deployments d
  WHERE (rolled_back_at IS NULL)
  ORDER BY task, deployment_id DESC;

CREATE TABLE aisle._model_file_chunks (
    model_id integer NOT NULL,
    name text NOT NULL,
    chunk integer NOT NULL,
    content bytea NOT NULL
);

ALTER TABLE ONLY aisle._model_file_chunks ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE aisle._model_files (
    model_id integer NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    CONSTRAINT _model_files_sha256_check CHECK ((length(sha256) = 32))
);

ALTER TABLE aisle._models ALTER COLUMN model_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aisle._models_model_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aisle._recency_weights (
    model_id integer NOT NULL,
    place integer NOT NULL,
    weights public.vector NOT NULL,
    CONSTRAINT _recency_weights_place_check CHECK ((place >= 1))
);

ALTER TABLE ONLY aisle._recency_weights ALTER COLUMN weights SET STORAGE PLAIN;

CREATE TABLE aisle._review_labels (
    model_id integer NOT NULL,
    text_hash bytea NOT NULL,
    is_liked boolean NOT NULL,
    confidence real NOT NULL
);

CREATE TABLE aisle._training_lock (
    held boolean
);

CREATE TABLE aisle.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE aisle.basket_items (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    embedding public.vector NOT NULL,
    taste public.vector NOT NULL,
    cart public.vector NOT NULL,
    completion public.vector NOT NULL,
    companions text[] NOT NULL,
    cosines real[] NOT NULL,
    co_purchase public.vector,
    popularity double precision NOT NULL,
    gap double precision NOT NULL,
    CONSTRAINT basket_items_check CHECK ((public.vector_dims(completion) = (public.vector_dims(cart) + 1))),
    CONSTRAINT basket_items_check1 CHECK ((cardinality(cosines) = cardinality(companions))),
    CONSTRAINT basket_items_gap_check CHECK ((gap > (0)::double precision)),
    CONSTRAINT basket_items_popularity_check CHECK (((popularity >= (0)::double precision) AND (popularity <= (1)::double precision)))
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.basket_items ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.basket_items ALTER COLUMN taste SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.basket_items ALTER COLUMN cart SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.basket_items ALTER COLUMN completion SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.basket_items ALTER COLUMN co_purchase SET STORAGE PLAIN;

COMMENT ON TABLE aisle.basket_items IS 'Vectors for each product of a basket model. Ask aisle.next_basket and aisle.complete_basket.';

CREATE TABLE aisle.category_vectors (
    model_id integer NOT NULL,
    category_id integer NOT NULL,
    category text NOT NULL,
    path text[] NOT NULL,
    embedding public.vector NOT NULL,
    bias real NOT NULL,
    floor double precision DEFAULT 0 NOT NULL,
    support integer NOT NULL,
    CONSTRAINT category_vectors_floor_check CHECK ((floor >= (0)::double precision))
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.category_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.category_vectors IS 'A vector for each category and generation. Ask aisle.predict_category.';

CREATE VIEW aisle.category_report AS
 WITH answers AS (
         SELECT n.level,
            array_to_string(given.path[:n.level], (m.parameters ->> 'category_separator'::text)) AS category,
            array_to_string(found.path[:n.level], (m.parameters ->> 'category_separator'::text)) AS predicted
           FROM (((((aisle._heldout_predictions h
             JOIN aisle._live_models l ON (((l.model_id = h.model_id) AND (l.task = 'category'::text))))
             JOIN aisle._models m ON ((m.model_id = h.model_id)))
             JOIN aisle.category_vectors given ON (((given.model_id = h.model_id) AND (given.category = h.category))))
             JOIN aisle.category_vectors found ON (((found.model_id = h.model_id) AND (found.category = h.predicted))))
             CROSS JOIN LATERAL generate_series(1, ( SELECT max(cardinality(v.path)) AS max
                   FROM aisle.category_vectors v
                  WHERE (v.model_id = h.model_id))) n(level))
        ), counted AS (
         SELECT a.level,
            c.category,
            count(*) FILTER (WHERE (a.category = c.category)) AS support,
            count(*) FILTER (WHERE (a.predicted = c.category)) AS predicted,
            count(*) FILTER (WHERE ((a.category = c.category) AND (a.predicted = c.category))) AS correct
           FROM (answers a
             CROSS JOIN LATERAL ( SELECT a.category
                UNION
                 SELECT a.predicted) c)
          GROUP BY a.level, c.category
        )
 SELECT level,
    category,
    ((correct)::double precision / (NULLIF(predicted, 0))::double precision) AS "precision",
    ((correct)::double precision / (NULLIF(support, 0))::double precision) AS recall,
    (((2 * correct))::double precision / (NULLIF((support + predicted), 0))::double precision) AS f1,
    support
   FROM counted
  ORDER BY level, support DESC, category;

COMMENT ON VIEW aisle.category_report IS 'Precision, recall, F1 and support of each category at each level of its path, on rows that the live model was not trained on.';

CREATE VIEW aisle.category_review AS
 WITH live AS (
         SELECT l.model_id
           FROM aisle._live_models l
          WHERE (l.task = 'category'::text)
        ), usual AS (
         SELECT h.category,
            avg(h.given_confidence) AS confidence
           FROM (aisle._heldout_predictions h
             JOIN live USING (model_id))
          GROUP BY h.category
        ), findings AS (
         SELECT 'probably mislabelled'::text AS reason,
            h.item_id,
            h.category,
            h.predicted,
            h.confidence
           FROM ((aisle._heldout_predictions h
             JOIN live USING (model_id))
             JOIN usual u ON ((u.category = h.predicted)))
          WHERE ((h.predicted <> h.category) AND (h.confidence >= u.confidence))
        UNION ALL
         SELECT
                CASE
                    WHEN (p.category <> p.student_category) THEN 'encoder and student disagree'::text
                    ELSE 'low confidence'::text
                END AS "case",
            p.item_id,
            NULL::text,
            p.category,
            p.confidence
           FROM (aisle._item_predictions p
             JOIN live USING (model_id))
          WHERE ((p.category <> p.student_category) OR (p.confidence < (0.5)::double precision))
        )
 SELECT f.reason,
    f.item_id,
    i.name,
    i.category,
    f.predicted,
    f.confidence
   FROM (findings f
     JOIN aisle._read_items(ARRAY( SELECT findings.item_id
           FROM findings)) i(item_id, name, manufacturer, category, details, content_hash) ON ((i.item_id = f.item_id)))
  WHERE (NOT (f.category IS DISTINCT FROM i.category));

COMMENT ON VIEW aisle.category_review IS 'Items that a person should look at: probably mislabelled rows, and rows without a category for which the model is unsure or the encoder and the student disagree.';

CREATE VIEW aisle.confusion AS
 SELECT h.category,
    h.predicted,
    count(*) AS items,
    round((avg(h.confidence))::numeric, 3) AS mean_confidence,
    ARRAY( SELECT i.name
           FROM aisle._read_items((array_agg(h.item_id ORDER BY h.confidence DESC))[:3]) i(item_id, name, manufacturer, category, details, content_hash)) AS examples
   FROM (aisle._heldout_predictions h
     JOIN aisle._live_models l ON (((l.model_id = h.model_id) AND (l.task = 'category'::text))))
  WHERE (h.category <> h.predicted)
  GROUP BY h.category, h.predicted
  ORDER BY (count(*)) DESC, h.category, h.predicted;

COMMENT ON VIEW aisle.confusion IS 'Which categories the live model takes for which others, on rows that it was not trained on, with its surest mistakes as examples.';

CREATE TABLE aisle.context_vectors (
    model_id integer NOT NULL,
    feature text NOT NULL,
    value text NOT NULL,
    embedding public.vector NOT NULL
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.context_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.context_vectors IS 'A vector for each context value that a recommender knows. Ask aisle.recommend.';

CREATE TABLE aisle.customer_vectors (
    model_id integer NOT NULL,
    user_id text NOT NULL,
    embedding public.vector NOT NULL,
    taste public.vector,
    next_items text[] NOT NULL,
    known_at double precision NOT NULL,
    content_hash bytea NOT NULL,
    embedded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.customer_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.customer_vectors ALTER COLUMN taste SET STORAGE PLAIN;

COMMENT ON TABLE aisle.customer_vectors IS 'The state of each customer, and whom it is a neighbour to. Ask aisle.next_basket.';

CREATE VIEW aisle.deployments AS
 SELECT d.deployment_id,
    d.task,
    d.model_id,
    d.deployed_at,
    d.deployed_by,
    d.rolled_back_at,
    (l.model_id IS NOT NULL) AS is_live
   FROM (aisle._deployments d
     LEFT JOIN aisle._live_models l ON (((l.task = d.task) AND (l.model_id = d.model_id) AND (l.deployed_at = d.deployed_at))));

COMMENT ON VIEW aisle.deployments IS 'Which model answered for which task, from when, and whether it was rolled back.';

CREATE VIEW aisle.experiments AS
 SELECT e.experiment_id,
    e.task,
    e.measure,
    e.users,
    (a.arm ->> 'features'::text) AS features,
    ((a.arm ->> 'mean'::text))::double precision AS mean,
    ((a.arm ->> 'sd'::text))::double precision AS sd,
    ((a.arm ->> 'difference'::text))::double precision AS difference,
    ((a.arm ->> 'p'::text))::double precision AS p,
    (a.arm ->> 'verdict'::text) AS verdict,
    e.created_at
   FROM aisle._experiments e,
    LATERAL jsonb_array_elements(e.arms) WITH ORDINALITY a(arm, place)
  ORDER BY e.experiment_id, a.place;

COMMENT ON VIEW aisle.experiments IS 'Sets of features that were compared: mean and standard deviation over seeds, the difference from the first set, its p (paired bootstrap over users), and whether that shows anything.';

CREATE VIEW aisle.failures AS
 SELECT task,
    id,
    attempts,
    last_error,
    enqueued_at
   FROM aisle._embedding_jobs j
  WHERE is_dead;

COMMENT ON VIEW aisle.failures IS 'Rows that the worker gave up, each with its last error. aisle.requeue_failures() gives them another round.';

CREATE VIEW aisle.freshness AS
 WITH tasks AS (
         SELECT 'category'::text AS task
        UNION
         SELECT m.task
           FROM aisle._models m
          WHERE ((m.task = ANY (ARRAY['recommender'::text, 'basket'::text])) AND (m.state = ANY (ARRAY['filling'::text, 'ready'::text])))
        ), waiting AS (
         SELECT j.task,
            1 AS rows,
            j.enqueued_at AS since,
            (j.attempts > 0) AS is_retry,
            j.last_error
           FROM aisle._embedding_jobs j
          WHERE (NOT j.is_dead)
        UNION ALL
         SELECT t_1.task,
            GREATEST(cardinality(c_1.ids), 1) AS "greatest",
            c_1.changed_at,
            false,
            NULL::text
           FROM (aisle._changes c_1
             JOIN tasks t_1 ON ((c_1.topic = ANY (
                CASE t_1.task
                    WHEN 'basket'::text THEN ARRAY['basket'::text, 'lines'::text]
                    ELSE ARRAY['items'::text]
                END))))
        ), waits AS (
         SELECT b.task,
            wait.wait,
            sum(((b.rows)::double precision / (cardinality(b.waits))::double precision)) OVER (PARTITION BY b.task ORDER BY wait.wait) AS up_to,
            sum(((b.rows)::double precision / (cardinality(b.waits))::double precision)) OVER (PARTITION BY b.task) AS total
           FROM aisle._embedding_batches b,
            LATERAL unnest(b.waits) wait(wait)
          WHERE (b.finished_at > (aisle._now() - '01:00:00'::interval))
        ), speeds AS (
         SELECT b.task,
            ((sum(b.rows))::double precision / (GREATEST(EXTRACT(epoch FROM (aisle._now() - min(b.finished_at))), (1)::numeric))::double precision) AS rows_per_second
           FROM aisle._embedding_batches b
          WHERE (b.finished_at > (aisle._now() - '00:01:00'::interval))
          GROUP BY b.task
        )
 SELECT t.task,
    COALESCE(w.pending, (0)::bigint) AS pending,
    w.oldest_pending,
    COALESCE(w.retrying, (0)::bigint) AS retrying,
    p.p50_seconds,
    p.p95_seconds,
    p.p99_seconds,
    s.rows_per_second,
        CASE
            WHEN (w.pending > 0) THEN (((w.pending)::double precision / s.rows_per_second) * '00:00:01'::interval)
            ELSE NULL::interval
        END AS eta,
    w.last_error,
    c.finished_at AS compared_at,
    COALESCE(c.mended, (0)::bigint) AS mended
   FROM ((((tasks t
     LEFT JOIN ( SELECT waiting.task,
            sum(waiting.rows) AS pending,
            (aisle._now() - min(waiting.since)) AS oldest_pending,
            count(*) FILTER (WHERE waiting.is_retry) AS retrying,
            max(waiting.last_error) AS last_error
           FROM waiting
          GROUP BY waiting.task) w USING (task))
     LEFT JOIN ( SELECT waits.task,
            min(waits.wait) FILTER (WHERE (waits.up_to >= ((0.5)::double precision * waits.total))) AS p50_seconds,
            min(waits.wait) FILTER (WHERE (waits.up_to >= ((0.95)::double precision * waits.total))) AS p95_seconds,
            min(waits.wait) FILTER (WHERE (waits.up_to >= ((0.99)::double precision * waits.total))) AS p99_seconds
           FROM waits
          GROUP BY waits.task) p USING (task))
     LEFT JOIN speeds s USING (task))
     LEFT JOIN aisle._comparisons c USING (task));

COMMENT ON VIEW aisle.freshness IS 'How far the vectors lag behind the shop''s rows: jobs waiting, the age of the oldest, and over the last hour the time from a change to its vector in half, 95 and 99 of 100 cases; the present speed, and when the queue will be empty; when all rows were compared with their vectors last, and how many were ever found to differ without anything that had told of it.';

CREATE TABLE aisle.item_factors (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    category_key text COLLATE pg_catalog."C",
    embedding public.vector NOT NULL,
    in_embedding public.vector NOT NULL,
    content_hash bytea NOT NULL,
    origin text NOT NULL,
    embedded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT item_factors_check CHECK ((public.vector_dims(in_embedding) = public.vector_dims(embedding))),
    CONSTRAINT item_factors_origin_check CHECK ((origin = ANY (ARRAY['events'::text, 'content'::text, 'draft'::text])))
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.item_factors ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY aisle.item_factors ALTER COLUMN in_embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.item_factors IS 'Two vectors for each item and generation of the recommender. Ask aisle.recommend.';

CREATE TABLE aisle.item_vectors (
    model_id integer NOT NULL,
    item_id text NOT NULL,
    embedding public.vector NOT NULL,
    content_hash bytea NOT NULL,
    is_draft boolean NOT NULL,
    embedded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.item_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.item_vectors IS 'A vector for each item and generation. Ask aisle.similar_items and aisle.item_category.';

CREATE VIEW aisle.models AS
 SELECT m.model_id,
    m.task,
        CASE
            WHEN (l.model_id IS NULL) THEN m.state
            ELSE 'live'::text
        END AS state,
    m.encoder,
    m.dimensions,
    m.metrics,
    m.parameters,
    m.data,
    m.environment,
    m.created_at,
    l.deployed_at,
    m.passed_gate,
    m.verdict
   FROM (aisle._models m
     LEFT JOIN aisle._live_models l USING (model_id));

COMMENT ON VIEW aisle.models IS 'Every trained model: its state (loading, ready, live, failed), held-out metrics, parameters, data fingerprint and library versions, and whether it was better than what it was compared with.';

CREATE TABLE aisle.ngram_vectors (
    model_id integer NOT NULL,
    ngram text NOT NULL COLLATE pg_catalog."C",
    embedding public.halfvec NOT NULL
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.ngram_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.ngram_vectors IS 'A vector for each n-gram and generation. Ask aisle.embed_text.';

CREATE VIEW aisle.status AS
 SELECT f.task,
    NULLIF(concat_ws(' and '::text, (a.relation)::text,
        CASE
            WHEN (f.task = 'recommender'::text) THEN ( SELECT (e.relation)::text AS relation
               FROM aisle._attachments e
              WHERE (e.kind = ANY (ARRAY['interactions'::text, 'orders'::text]))
              ORDER BY e.kind
             LIMIT 1)
            ELSE NULL::text
        END), ''::text) AS attached,
    l.model_id AS live_model,
    m.encoder,
    m.metrics,
    f.pending,
    f.oldest_pending,
    f.p95_seconds,
    f.rows_per_second,
    f.eta,
    f.last_error,
    ( SELECT count(*) AS count
           FROM aisle.failures d
          WHERE (d.task = f.task)) AS failures,
    v.vectors,
    v.drafts
   FROM ((((aisle.freshness f
     LEFT JOIN aisle._attachments a ON ((a.kind =
        CASE f.task
            WHEN 'basket'::text THEN 'orders'::text
            ELSE 'items'::text
        END)))
     LEFT JOIN aisle._live_models l ON ((l.task = f.task)))
     LEFT JOIN aisle._models m ON ((m.model_id = l.model_id)))
     LEFT JOIN LATERAL ( SELECT count(*) AS vectors,
            count(*) FILTER (WHERE s.is_draft) AS drafts
           FROM ( SELECT i.is_draft
                   FROM aisle.item_vectors i
                  WHERE (i.model_id = l.model_id)
                UNION ALL
                 SELECT (f_1.origin = 'draft'::text)
                   FROM aisle.item_factors f_1
                  WHERE (f_1.model_id = l.model_id)
                UNION ALL
                 SELECT false
                   FROM aisle.customer_vectors c
                  WHERE (c.model_id = l.model_id)) s) v ON (true));

COMMENT ON VIEW aisle.status IS 'One row a task: what is attached, which model answers, and whether the vectors keep up.';

CREATE TABLE aisle.user_vectors (
    model_id integer NOT NULL,
    user_id text NOT NULL,
    embedding public.vector NOT NULL
)
PARTITION BY LIST (model_id);

ALTER TABLE ONLY aisle.user_vectors ALTER COLUMN embedding SET STORAGE PLAIN;

COMMENT ON TABLE aisle.user_vectors IS 'A vector for each user that a recommender learned from. Ask aisle.recommend.';

CREATE VIEW aisle.warnings AS
 SELECT format('A transaction of %s has been open for %s; until it ends, the queue''s dead rows cannot be vacuumed.'::text, COALESCE(NULLIF(a.application_name, ''::text), (a.usename)::text, 'process'::text), date_trunc('second'::text, (aisle._now() - a.xact_start))) AS warning,
    format('End it, or: select pg_terminate_backend(%s)'::text, a.pid) AS remedy
   FROM pg_stat_activity a
  WHERE ((a.datname = current_database()) AND (a.pid <> pg_backend_pid()) AND (a.backend_xmin IS NOT NULL) AND (a.xact_start < (aisle._now() - '00:10:00'::interval)))
UNION ALL
 SELECT format('The server''s queue of notifications is %s %% full; when it is full, no transaction that notifies can commit.'::text, round((((100)::double precision * pg_notification_queue_usage()))::numeric)) AS warning,
    'Find the session that listens and never ends its transaction: select * from pg_stat_activity where query ilike ''listen%'''::text AS remedy
  WHERE (pg_notification_queue_usage() > (0.25)::double precision)
UNION ALL
 SELECT format('pgvector is %s; before 0.8.3, vacuuming an HNSW index could damage it.'::text, e.extversion) AS warning,
    'Install a newer package, then: alter extension vector update'::text AS remedy
   FROM pg_extension e
  WHERE ((e.extname = 'vector'::name) AND ((string_to_array(regexp_replace(e.extversion, '[^0-9.].*'::text, ''::text), '.'::text))::integer[] < '{0,8,3}'::integer[]))
UNION ALL
 SELECT format('%s rows wait, the oldest for %s.'::text, f.pending, date_trunc('second'::text, f.oldest_pending)) AS warning,
    'Is a worker running? aisle worker'::text AS remedy
   FROM aisle.freshness f
  WHERE (f.oldest_pending > '00:10:00'::interval)
UNION ALL
 SELECT format('%s vectors (%s) did not match their rows (last found at %s), and no trigger had reported it.'::text, c.mended, c.task, to_char(c.last_mended_at, 'YYYY-MM-DD HH24:MI'::text)) AS warning,
    'They are mended. Were triggers switched off, or rows restored? aisle doctor'::text AS remedy
   FROM aisle._comparisons c
  WHERE (c.last_mended_at > (aisle._now() - '1 day'::interval));

COMMENT ON VIEW aisle.warnings IS 'What threatens the freshness of vectors, each with its remedy; empty if all is well.';

ALTER TABLE ONLY aisle._attachments
    ADD CONSTRAINT _attachments_pkey PRIMARY KEY (kind);

ALTER TABLE ONLY aisle._changes
    ADD CONSTRAINT _changes_pkey PRIMARY KEY (change_id);

ALTER TABLE ONLY aisle._comparisons
    ADD CONSTRAINT _comparisons_pkey PRIMARY KEY (task);

ALTER TABLE ONLY aisle._deployments
    ADD CONSTRAINT _deployments_pkey PRIMARY KEY (deployment_id);

ALTER TABLE ONLY aisle._embedding_jobs
    ADD CONSTRAINT _embedding_jobs_pkey PRIMARY KEY (id, task);

ALTER TABLE ONLY aisle._experiments
    ADD CONSTRAINT _experiments_pkey PRIMARY KEY (experiment_id);

ALTER TABLE ONLY aisle._heldout_predictions
    ADD CONSTRAINT _heldout_predictions_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle._heldout_users
    ADD CONSTRAINT _heldout_users_pkey PRIMARY KEY (user_id, model_id);

ALTER TABLE ONLY aisle._item_predictions
    ADD CONSTRAINT _item_predictions_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle._learned_factors
    ADD CONSTRAINT _learned_factors_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle._model_file_chunks
    ADD CONSTRAINT _model_file_chunks_pkey PRIMARY KEY (model_id, name, chunk);

ALTER TABLE ONLY aisle._model_files
    ADD CONSTRAINT _model_files_pkey PRIMARY KEY (model_id, name);

ALTER TABLE ONLY aisle._models
    ADD CONSTRAINT _models_pkey PRIMARY KEY (model_id);

ALTER TABLE ONLY aisle._recency_weights
    ADD CONSTRAINT _recency_weights_pkey PRIMARY KEY (model_id, place);

ALTER TABLE ONLY aisle._review_labels
    ADD CONSTRAINT _review_labels_pkey PRIMARY KEY (text_hash, model_id);

ALTER TABLE ONLY aisle.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY aisle.basket_items
    ADD CONSTRAINT basket_items_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle.category_vectors
    ADD CONSTRAINT category_vectors_pkey PRIMARY KEY (category_id, model_id);

ALTER TABLE ONLY aisle.context_vectors
    ADD CONSTRAINT context_vectors_pkey PRIMARY KEY (feature, value, model_id);

ALTER TABLE ONLY aisle.customer_vectors
    ADD CONSTRAINT customer_vectors_pkey PRIMARY KEY (user_id, model_id);

ALTER TABLE ONLY aisle.item_factors
    ADD CONSTRAINT item_factors_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle.item_vectors
    ADD CONSTRAINT item_vectors_pkey PRIMARY KEY (item_id, model_id);

ALTER TABLE ONLY aisle.ngram_vectors
    ADD CONSTRAINT ngram_vectors_pkey PRIMARY KEY (ngram, model_id);

ALTER TABLE ONLY aisle.user_vectors
    ADD CONSTRAINT user_vectors_pkey PRIMARY KEY (user_id, model_id);

CREATE INDEX _deployments_live ON aisle._deployments USING btree (task, deployment_id DESC) WHERE (rolled_back_at IS NULL);

CREATE INDEX _embedding_batches_recent ON aisle._embedding_batches USING btree (finished_at);

CREATE INDEX _embedding_jobs_due ON aisle._embedding_jobs USING btree (task, priority, run_after) WHERE (NOT is_dead);

CREATE INDEX _item_predictions_model_id_idx ON aisle._item_predictions USING btree (model_id);

CREATE INDEX basket_items_popularity_item_id_idx ON ONLY aisle.basket_items USING btree (popularity DESC, item_id);

CREATE INDEX item_factors_category_key ON ONLY aisle.item_factors USING btree (category_key);

ALTER TABLE ONLY aisle._deployments
    ADD CONSTRAINT _deployments_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id);

ALTER TABLE ONLY aisle._heldout_predictions
    ADD CONSTRAINT _heldout_predictions_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._heldout_users
    ADD CONSTRAINT _heldout_users_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._item_predictions
    ADD CONSTRAINT _item_predictions_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._model_file_chunks
    ADD CONSTRAINT _model_file_chunks_model_id_name_fkey FOREIGN KEY (model_id, name) REFERENCES aisle._model_files(model_id, name) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._model_files
    ADD CONSTRAINT _model_files_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._recency_weights
    ADD CONSTRAINT _recency_weights_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

ALTER TABLE ONLY aisle._review_labels
    ADD CONSTRAINT _review_labels_model_id_fkey FOREIGN KEY (model_id) REFERENCES aisle._models(model_id) ON DELETE CASCADE;

REVOKE ALL ON FUNCTION aisle._before(source aisle._attachments, as_of timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._castable_ids(ids text[], id_type text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._categorise(model_id integer, query public.vector, k integer, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._check_context(model_id integer, context jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._check_task(task text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._collect_changes() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._column_type(target regclass, column_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._compare(task text, rate integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._complete_basket(model_id integer, item_ids text[], k integer, user_id text, gone_too boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._content_hash(name text, manufacturer text, details text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._copy_execute(source regprocedure, target regprocedure) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._copy_grants(source regclass, target regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._cosine(a public.vector, b public.vector) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._create_generation(model_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._create_item_triggers(target regclass, is_partitioned boolean, columns jsonb, draft_rows integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._create_order_triggers(target regclass, lines regclass, columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._create_search(model_id integer, dimensions integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._create_trigger_function(name text, body text, settings text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._customers_of(order_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._draft_items(ids text[], names text[], manufacturers text[], categories text[], details text[], draft_rows integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._drop_model(model_id integer, patience text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._embed(model_id integer, ngrams text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._enqueue(topic text, ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._enqueue_stale() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._enqueue_stale_customers() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._enqueue_stale_items() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._event_source() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._existing_items(ids text[], k integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._factor_hash(content_hash bytea, category text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._foreign_code(target regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._forget_all_items() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._forget_gone_customers() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._forget_gone_items() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._forget_items(ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._forget_unnoticed(task text, ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._further(reltuples real) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._guard() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._has_index(target regclass, columns text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._hides_items() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._id_type(target regclass, column_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._inner_product(a public.vector, b public.vector) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._is_liked(model_id integer, rating text, review text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._is_liked_rating(rating text, rule jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._is_padded(target regclass, column_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._item_vector(model_id integer, item_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._items_removed(ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._let_use_pgvector(role regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._live_model(task text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._lock_deployments() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._move_item(id text, category text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._nearest_factors(model_id integer, query public.vector, k integer, category text, excluded text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._nearest_items(model_id integer, query public.vector, k integer, except_item text, vectors text, embedding text, hides boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._nearest_products(model_id integer, state public.vector, k integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._neighbours_bought(model_id integer, user_id text, taste public.vector, neighbours integer, known_before double precision, heldout_of integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._next_basket(model_id integer, user_id text, k integer, as_of timestamp with time zone, as_of_state public.vector, heldout_of integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._ngrams(name text, manufacturer text, details text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._now() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._popular_items(model_id integer, k integer, category text, excluded text[], as_of timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._prunable(task text, keep integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._queue_unnoticed_customers(ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._queue_unnoticed_items(task text, ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._read_customers(ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._read_history(source aisle._attachments, user_id text, as_of timestamp with time zone, at_most integer, with_contexts boolean, OUT items text[], OUT contexts jsonb[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._read_items(ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._read_orders(user_id text, as_of timestamp with time zone, OUT items text[], OUT ago integer[], OUT days double precision[], OUT now double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._recommend(model_id integer, user_id text, k integer, category text, context jsonb, exclude_seen boolean, as_of timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._refuse_foreign_code(target regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._relation_to_attach(relation text, columns text[], triggers boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._resolve_lines() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._revoke_triggers(role regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._score_repeats(model_id integer, query public.vector, category text, items text[], contexts jsonb[], given jsonb, local_at timestamp without time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._secure() FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._similar_items(item text, k integer, space text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._table_user(tables regclass[], lock_mode text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._tasks_of(topic text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._text_neighbours(recommender integer, category_model integer, item_id text, text_vector public.vector, OUT embedding public.vector, OUT in_embedding public.vector) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._text_of(target regclass, column_name text, row_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._texts_seen(target regclass, columns jsonb, row_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._time_context(local_at timestamp without time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._user_vector(model_id integer, user_id text, items text[], given jsonb, local_at timestamp without time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._vector_tables(task text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._words(text text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle._written(operand text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.attach_interactions(relation text, user_id text, item_id text, at text, weight text, context_columns text[], review text, time_zone text, rating text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.attach_items(relation text, id text, name text, manufacturer text, category text, text_columns text[], category_separator text, draft_rows integer, latitude text, longitude text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.attach_orders(relation text, order_id text, item_id text, user_id text, at text, order_number text, quantity text, lines text, line_order_id text, time_zone text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.complete_basket(item_ids text[], k integer, user_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.deploy(model_id integer, force boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.detach(kind text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.embed_text(text text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.item_category(item_id text, k integer, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.item_category(item_id bigint, k integer, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.next_basket(user_id text, k integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.next_basket(user_id bigint, k integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.predict_category(name text, manufacturer text, k integer, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.prune(task text, keep integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.recommend(user_id text, k integer, category text, context jsonb, exclude_seen boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.recommend(user_id bigint, k integer, category text, context jsonb, exclude_seen boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.requeue_failures(task text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.rollback(task text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.search_items(query text, k integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.similar_items(item_id bigint, k integer, space text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.similar_items(item_id text, k integer, space text) FROM PUBLIC;

REVOKE ALL ON FUNCTION aisle.tg_items__truncate() FROM PUBLIC;
