-- Triggers on the shop's table. INSERT and DELETE fire once a statement and see its rows in a transition table. UPDATE fires
-- for each row whose watched columns changed: with a transition table an update of prices would pay for copying every row.
-- There is no column list (`update of name`), because it would miss what a trigger of the shop's writes into a column that
-- the statement does not mention. A partitioned table has row triggers throughout, because only those follow into partitions
-- that are written to directly or added later; and rows that arrive by logical replication fire row triggers only.
-- Columns are compared as what models read of them, text: 1.0 is 1.00 to numeric, and json has no equality. Where equal values
-- have equal texts, the values are compared, which takes less.
create or replace function aisle._create_item_triggers(target regclass, is_partitioned boolean, id_column text, watched text[])
returns void
language plpgsql volatile
as $function$
declare
    is_padded boolean := (
        select 'bpchar'::regtype in (t.oid, t.typbasetype) from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = target and a.attname = id_column);
    arguments text := concat_ws(', ', quote_literal(id_column),
        (select quote_literal(a.draft_rows) from aisle._attachments a where a.kind = 'items'),
        case when is_padded then quote_literal('padded') end);
    changed text := (
        select format('(%s) is distinct from (%s)',
                      string_agg(format('old.%I', a.attname) || as_text, ', '),
                      string_agg(format('new.%I', a.attname) || as_text, ', '))
        from pg_attribute a
        left join pg_collation l on l.oid = a.attcollation
        cross join lateral (
            select case when a.atttypid = any ('{text,varchar,smallint,integer,bigint,uuid}'::regtype[])
                             and coalesce(l.collisdeterministic, true)
                then '' else '::text collate "C"' end) t (as_text)
        where a.attrelid = target and a.attname = any (id_column || watched) and a.attnum > 0 and not a.attisdropped);
begin
    execute format(
        'create trigger aisle_500_update after update on %s for each row when (%s)
         execute function aisle.tg_items__row(%s)', target, changed, arguments);
    execute format(
        'create trigger aisle_500_row after insert or delete on %s for each row
         execute function aisle.tg_items__row(%s)', target, arguments);
    execute format(
        'create trigger aisle_500_truncate after truncate on %s for each statement
         execute function aisle.tg_items__truncate()', target);
    execute format('alter table %s enable always trigger aisle_500_update', target);
    execute format('alter table %s enable always trigger aisle_500_truncate', target);
    if is_partitioned then
        execute format('alter table %s enable always trigger aisle_500_row', target);
        return;
    end if;
    execute format('alter table %s enable replica trigger aisle_500_row', target);
    execute format(
        'create trigger aisle_500_insert after insert on %s referencing new table as new_rows for each statement
         execute function aisle.tg_items__insert(%s)', target, arguments);
    execute format(
        'create trigger aisle_500_delete after delete on %s referencing old table as old_rows for each statement
         execute function aisle.tg_items__delete(%s)', target, arguments);
end
$function$;
