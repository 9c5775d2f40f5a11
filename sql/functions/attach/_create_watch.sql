-- Watches a table whose rows decide what items, or orders of customers, are. Creates triggers that log what the query needs of each
-- changed row: INSERT and DELETE fire once a statement, UPDATE for each row in which a column changed that is read. Values are compared and
-- logged as their types write them, and nothing else of the shop's is evaluated here (docs/security.md). Returns the topic. Microseconds
-- count in the trigger: every write of the shop's pays for them.
create or replace function aisle._create_watch(kind text, target regclass, read text[], query text) returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    topic constant text := format('watch_%s_%s', kind, (select count(*) + 1 from aisle._watches w where w.kind = kind));
    keys constant text[] := array(
        select a.attname from pg_attribute a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
          and query ~* format('\mr\.("%1$s"|%1$s\M)', regexp_replace(a.attname, '(\W)', '\\\1', 'g'))
        order by a.attnum);
    written text[];  -- the key of a row `r`, `old`, `new`: of several columns, the text of an array
    body constant text := $body$
        declare
            ids text[];
        begin
            begin
                if tg_op = 'TRUNCATE' then
                    ids := '{}';
                elsif tg_level = 'STATEMENT' then
                    ids := array(select distinct %3$s from changed_rows r limit 100001);
                else
                    ids := array[%2$s];
                    if ids[1] is distinct from (%4$s) then
                        ids := ids || (%4$s);
                    end if;
                end if;
            exception when others then
                raise warning 'Aisle cannot tell what changed in %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                    using hint = format('In SQL: select aisle.resume(%%L)', %5$L);
                return null;
            end;
            if cardinality(ids) > 100000 then
                -- The keys of millions of rows do not fit into one value: each entry of the log takes a part.
                for ids in
                    select array_agg(k.id)
                    from (select d.id, row_number() over () as n from (select distinct %3$s as id from changed_rows r) d) k
                    group by k.n / 100000
                loop
                    perform aisle._enqueue(%1$L, ids);
                end loop;
            elsif ids <> '{}' or tg_op = 'TRUNCATE' then
                -- As _enqueue does, without the cost of a call.
                insert into aisle._changes (topic, ids, changed_at) values (%1$L, ids, aisle._now());
                if current_setting('aisle.notify', true) is distinct from 'off' then
                    perform pg_notify('aisle_embedding_jobs', %1$L);
                end if;
            end if;
            return null;
        end
        $body$;
    tables regclass[];
    changed text;
    signature text;
begin
    select array_agg(w.value order by w.place) into written
    from (select n.place, case when count(*) = 1 then min(k.value) else 'array[' || string_agg(k.value, ', ' order by k.place) || ']::text' end
          from unnest(array['r', 'old', 'new']) with ordinality n (name, place)
          cross join lateral (
              select u.place, case when aisle._is_padded(target, u.key) then format('rtrim(%s, '' '')', v.value) else v.value end
              from unnest(keys) with ordinality u (key, place)
              cross join lateral (select aisle._written(format('%s.%I', n.name, u.key))) v (value)) k (place, value)
          group by n.place) w (place, value);
    if keys = '{}' then
        raise exception 'The watch of % names no column of its row: %', target, query
            using errcode = 'AIS05', hint = 'The row is r. For example: select id from product where type_id = r.id';
    end if;
    perform aisle._id_type(target, k) from unnest(keys) k;
    begin
        perform aisle._execute_in_public(format(
            'create view aisle._probe as select w.id::text from %s r cross join lateral (%s) w (id)', target, query));
        perform aisle._refuse_foreign_code('aisle._probe');
        tables := array(select b.relation from aisle._base_tables('aisle._probe') b);
        drop view aisle._probe;
        -- A key that its column's type cannot hold, after a change of the type, names no row.
        perform aisle._execute_in_public(format(
            'create function aisle._touched_by_%s(key text) returns setof text language sql stable
             begin atomic
                 select w.id::text from (select %s offset 0) r cross join lateral (%s) w (id) where w.id is not null;
             end',
            topic,
            (select string_agg(format('(aisle._castable_ids(array[%s], %L))[1]::%s as %I',
                                      case when cardinality(keys) = 1 then 'key' else format('(key::text[])[%s]', c.place) end,
                                      aisle._column_type(target, c.name), aisle._column_type(target, c.name), c.name), ', ')
             from unnest(keys) with ordinality c (name, place)),
            query));
        perform aisle._copy_execute('aisle._resolve_watches'::regproc, format('aisle._touched_by_%s', topic)::regproc);
    exception when syntax_error_or_access_rule_violation then
        raise exception 'The watch of % cannot be read: %.', target, sqlerrm
            using errcode = 'AIS05', hint = 'The row is r. For example: select id from product where type_id = r.id';
    end;
    insert into aisle._watches (topic, kind, relation, columns, query, reads) values (topic, kind, target, keys, query, tables);
    select format('(%s) is distinct from (%s)',
                  string_agg(case when aisle._is_comparable(target, c) then format('old.%I', c)
                                  else aisle._written(format('old.%I', c)) || ' collate "C"' end, ', '),
                  string_agg(case when aisle._is_comparable(target, c) then format('new.%I', c)
                                  else aisle._written(format('new.%I', c)) || ' collate "C"' end, ', '))
    into changed
    from (select unnest(read) union select unnest(keys)) c (c)
    where exists (select from pg_attribute a where a.attrelid = target and a.attname = c and a.attgenerated <> 'v');
    signature := format('tg_%s__changed', topic);
    perform aisle._create_trigger_function(signature, format(body, topic, written[2], written[1], written[3], kind));
    execute format('create trigger aisle_500_%1$s_update after update on %2$s for each row when (%3$s) execute function aisle.%4$I();
                    create trigger aisle_500_%1$s_truncate after truncate on %2$s for each statement execute function aisle.%4$I()',
                   topic, target, changed, signature);
    execute format('create trigger aisle_500_%1$s_insert after insert on %2$s referencing new table as changed_rows
                    for each statement execute function aisle.%3$I();
                    create trigger aisle_500_%1$s_delete after delete on %2$s referencing old table as changed_rows
                    for each statement execute function aisle.%3$I()', topic, target, signature);
    return topic;
end
$function$;
