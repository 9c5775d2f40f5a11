-- Creates the functions that write a category to the shop's table and take it back, aisle._write_category and aisle._unwrite_category, and
-- the trigger that does so at commit, from the settings of aisle.set_write_back. Returns the table that is written to; null without settings.
create or replace function aisle._create_write_back() returns regclass
language plpgsql volatile
as $function$
declare
    settings constant jsonb := (select w.settings from aisle._write_back w);
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    items record := aisle._origin(attached.relation, attached.columns ->> 'id');
    written_to regclass;
    signature text;
begin
    if settings is null then
        return null;
    elsif items.relation is null and (settings ? 'column' or (settings ->> 'at_commit')::boolean) then
        raise exception 'No table has the ids of the items: name a statement that writes, and leave at_commit out.' using errcode = 'AIS05';
    end if;
    if settings ? 'column' then
        written_to := items.relation;
        perform aisle._create_column_writer(written_to, items.column_name, settings ->> 'column', attached);
    else
        written_to := aisle._create_statement_writer(settings, attached);
    end if;
    update aisle._write_back w set target = written_to where w.only_row;
    foreach signature in array array['_write_category', '_unwrite_category', '_write_statement', '_undo_statement'] loop
        if to_regproc('aisle.' || signature) is not null then
            perform aisle._copy_execute('aisle.apply_categories'::regproc, to_regproc('aisle.' || signature));
        end if;
    end loop;
    if (settings ->> 'at_commit')::boolean then
        perform aisle._create_trigger_function('tg_items__write_back', format($body$
            begin
                if num_nonnulls(new.%1$I) = 1 then
                    perform aisle._apply_at_commit(%2$s);
                end if;
                return null;
            exception when query_canceled or others then  -- nothing that happens here may stop the shop's commit
                raise warning 'Aisle wrote no category to a new row of %%: %%', tg_relid::regclass, sqlerrm;
                return null;
            end
            $body$, items.column_name, case when aisle._is_padded(items.relation, items.column_name)
                                            then format('rtrim(concat(new.%I), '' '')', items.column_name)
                                            else format('concat(new.%I)', items.column_name) end));
        -- A row that has a category costs nothing. Where a statement writes, another table may give it one until the commit.
        execute format('create constraint trigger aisle_500_write_back after insert on %s deferrable initially deferred
                        for each row %s execute function aisle.tg_items__write_back()', items.relation,
                       case when settings ? 'column' and coalesce(attached.declaration -> 'unlabelled', '[]') = '[]'
                            then format('when (concat(new.%I) = '''')', settings ->> 'column') end);
    end if;
    return written_to;
end
$function$;
