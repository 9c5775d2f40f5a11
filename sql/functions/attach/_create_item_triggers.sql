-- Creates triggers on the shop's table of items, and the functions that they call. INSERT and DELETE fire once a statement and see its
-- rows in a transition table. UPDATE fires for each row whose watched columns changed: with a transition table, an update of prices would
-- pay for a copy of every row. There is no column list (`update of name`): it would miss what a trigger of the shop's writes into a
-- column that the statement does not mention. Columns are compared as models read them, as text: to numeric, 1.0 is 1.00, and json has no
-- equality. Where equal values have equal texts, the values themselves are compared, which is faster. On a partitioned table all triggers
-- fire for each row: only such triggers follow into partitions that somebody writes to directly or adds later. Rows that arrive by
-- logical replication fire only such triggers, too.
--
-- The functions are made here because they name the attached columns. They touch no other columns and take no name from a table, and
-- their plans are kept. They run with our rights on values of the shop's. So they write each value by its type's output function, and
-- read nothing else of the shop's (docs/security.md). Microseconds count in them: every write of the shop's pays for them.
create or replace function aisle._create_item_triggers(target regclass, is_partitioned boolean, columns jsonb, draft_rows integer)
returns void
language plpgsql volatile
as $function$
declare
    id constant text := columns ->> 'id';
    watched constant text[] := array_remove(
        array[id, columns ->> 'name', columns ->> 'manufacturer', columns ->> 'category']
        || array(select jsonb_array_elements_text(columns -> 'text')), null);
    id_text constant text := case when aisle._is_padded(target, id) then 'rtrim(concat(%1$s.%2$I), '' '')' else 'concat(%1$s.%2$I)' end;
    seen text[];
    texts_of_rows text := 'null;';
    drafts_of_rows text := '';
    texts_of_row text := 'null;';
    drafts_of_row text := '';
    -- A column may be renamed or dropped: that must not stop the shop's writes.
    no_drafts constant text := $warning$
            exception when others then
                raise warning 'Aisle cannot read the texts of rows of %: %. It makes no drafts.', tg_relid::regclass, sqlerrm
                    using hint = 'In SQL: select aisle.resume(''items'')';$warning$;
    changed constant text := (
        select format('(%s) is distinct from (%s)', string_agg(w.old_value, ', '), string_agg(w.new_value, ', '))
        from (
            select case when is_comparable then format('old.%I', a.attname)
                        else aisle._text_of(target, a.attname, 'old') || ' collate "C"' end as old_value,
                   case when is_comparable then format('new.%I', a.attname)
                        else aisle._text_of(target, a.attname, 'new') || ' collate "C"' end as new_value
            from pg_attribute a
            cross join lateral aisle._is_comparable(target, a.attname) c (is_comparable)
            where a.attrelid = target and a.attname = any (watched) and a.attnum > 0 and not a.attisdropped) w);
begin
    if draft_rows > 0 and aisle._texts_seen(target, columns, 'r') is not null then
        seen := aisle._texts_seen(target, columns, 'r');
        texts_of_rows := format($texts$
                if cardinality(ids) <= %1$s then
                    select array_agg(%2$s), array_agg(%3$s), array_agg(%4$s), array_agg(%5$s), array_agg(%6$s)
                    into draft_ids, names, manufacturers, categories, details
                    from new_rows r where num_nonnulls(r.%7$I) = 1;
                end if;$texts$, draft_rows, format(id_text, 'r', id), seen[1], seen[2], seen[3], seen[4], id);
        drafts_of_rows := format($draft$
                if draft_ids is not null then
                    perform aisle._draft_items(draft_ids, names, manufacturers, categories, details, %s);
                end if;$draft$, draft_rows);
        seen := aisle._texts_seen(target, columns, 'new');
        texts_of_row := format($texts$
                if new_id is not null then
                    names := array[%1$s];
                    manufacturers := array[%2$s];
                    categories := array[%3$s];
                    details := array[%4$s];
                    if tg_op = 'UPDATE' then
                        is_moved := %5$s is distinct from categories[1];
                    end if;
                end if;$texts$, seen[1], seen[2], seen[3], seen[4], (aisle._texts_seen(target, columns, 'old'))[3]);
        drafts_of_row := format($draft$
            if names is not null then
                perform aisle._draft_items(array[new_id], names, manufacturers, categories, details, %s);
                if is_moved then
                    perform aisle._move_item(new_id, categories[1]);
                end if;
            end if;$draft$, draft_rows);
    end if;

    perform aisle._create_trigger_function('tg_items__insert', format($body$
        declare
            ids text[];
            draft_ids text[];
            names text[];
            manufacturers text[];
            categories text[];
            details text[];
        begin
            begin
                ids := array(select %1$s from new_rows r where num_nonnulls(r.%2$I) = 1 limit 100001);
            exception when others then
                raise warning 'Aisle cannot read the ids of new rows of %%: %%. Its vectors lag behind.', tg_relid::regclass, sqlerrm
                    using hint = 'Detach the items and attach them again.';
                return null;
            end;
            if cardinality(ids) > 100000 then
                -- The ids of millions of rows do not fit into one value: each entry of the log takes a part.
                for ids in
                    select array_agg(n.id)
                    from (select %1$s as id, row_number() over () as n from new_rows r where num_nonnulls(r.%2$I) = 1) n
                    group by n.n / 100000
                loop
                    perform aisle._enqueue('items', ids);
                end loop;
            elsif ids <> '{}' then
                -- As _enqueue does, without the cost of a call.
                insert into aisle._changes (topic, ids, changed_at) values ('items', ids, aisle._now());
                if current_setting('aisle.notify', true) is distinct from 'off' then
                    perform pg_notify('aisle_embedding_jobs', 'items');
                end if;
                begin
                    %4$s%5$s
                end;%3$s
            end if;
            return null;
        end
        $body$, format(id_text, 'r', id), id, drafts_of_rows, texts_of_rows, no_drafts));

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

    -- Fires for each row whose content or id changed; on partitioned tables, and for rows that arrive by logical replication, also for
    -- inserted and deleted rows.
    perform aisle._create_trigger_function('tg_items__row', format($body$
        declare
            old_id text;
            new_id text;
            ids text[];
            names text[];
            manufacturers text[];
            categories text[];
            details text[];
            is_moved boolean;
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
                -- As _enqueue does, without the cost of a call.
                insert into aisle._changes (topic, ids, changed_at) values ('items', ids, aisle._now());
                if current_setting('aisle.notify', true) is distinct from 'off' then
                    perform pg_notify('aisle_embedding_jobs', 'items');
                end if;
                begin
                    %5$s%6$s
                end;%4$s
            end if;
            return null;
        end
        $body$, format(id_text, 'old', id), format(id_text, 'new', id), id, drafts_of_row, texts_of_row, no_drafts));

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
$function$;
