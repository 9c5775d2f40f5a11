-- Creates the functions that write a category by a statement of the shop's administrator, and take it back by another: as declared (undo),
-- or, if the statement writes to the table of the items' categories, by deleting the row. Names in them are looked up here, once, as in all
-- that is declared. Returns the table that is written to.
create or replace function aisle._create_statement_writer(settings jsonb, attached aisle._attachments) returns regclass
language plpgsql volatile
as $function$
declare
    target constant regclass := aisle._target_of(settings ->> 'statement');
    undo constant text := settings ->> 'undo';
    removal text;
    -- Nothing is written over what the shop has given since the category was predicted, were it a category that does not count.
    look constant text := case when attached.columns ->> 'category' is null then '' else format(
        $look$select concat(r.%I) into previous from %s r where r.%I = item::%s%s;
            is_written := is_written and found and %s;$look$,
        attached.columns ->> 'category', attached.relation, attached.columns ->> 'id', attached.id_type,
        case when attached.relation = target then ' for update' end, aisle._means_none(attached)) end;
    tree record;
begin
    perform aisle._create_writer('_write_statement', settings ->> 'statement');
    if undo is null and attached.declaration #>> '{categories,of_item}' is not null then
        tree := aisle._category_settings(attached.declaration -> 'categories');
        if tree.via = target then
            removal := format('delete from %1$s j where j.%2$I = $1::%3$s and j.%4$I = $2::%5$s', tree.via, tree.via_item,
                              aisle._column_type(tree.via, tree.via_item), tree.via_category, aisle._column_type(tree.via, tree.via_category));
        end if;
    end if;
    if undo is not null and aisle._target_of(undo) <> target then
        raise exception 'undo must write to %, as the statement does.', target using errcode = 'AIS05';
    end if;
    execute format($definition$
        create function aisle._write_category(item text, category text, out is_written boolean, out previous text)
        language plpgsql volatile set search_path = pg_catalog, pg_temp
        as $write$
        begin
            is_written := exists (select from aisle._read_items(array[item]) i where i.category is null);
            %3$s
            if is_written then
                perform aisle._write_statement(item::%1$s, category::%2$s);
            end if;
        end
        $write$;
        $definition$, variadic aisle._argument_types('_write_statement') || look);
    if removal is not null then
        execute format($definition$
            create function aisle._unwrite_category(item text, category text, previous text) returns boolean
            language plpgsql volatile set search_path = pg_catalog, pg_temp
            as $write$
            begin
                %s;
                return found;
            end
            $write$;
            $definition$, removal);
    elsif undo is null then
        create function aisle._unwrite_category(item text, category text, previous text) returns boolean
        language plpgsql volatile set search_path = pg_catalog, pg_temp
        as $write$
        begin
            raise exception 'Nothing says how to take a category back.'
                using errcode = 'AIS05', hint = 'Add the statement as "undo" to the settings of aisle.set_write_back.';
        end
        $write$;
    else
        perform aisle._create_writer('_undo_statement', undo);
        execute format($definition$
            create function aisle._unwrite_category(item text, category text, previous text) returns boolean
            language plpgsql volatile set search_path = pg_catalog, pg_temp
            as $write$
            begin
                perform aisle._undo_statement(item::%s, category::%s);
                return true;
            end
            $write$;
            $definition$, variadic aisle._argument_types('_undo_statement'));
    end if;
    return target;
end
$function$;
