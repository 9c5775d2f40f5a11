-- Creates the functions that write a category by a statement of the shop's administrator, and take it back by another: as declared (undo),
-- or, if the statement writes to the table of the items' categories, by deleting the row. Names in them are looked up here, once, as in all
-- that is declared. Returns the table that is written to.
create or replace function aisle._create_statement_writer(settings jsonb, attached aisle._attachments) returns regclass
language plpgsql volatile
as $function$
declare
    target constant regclass := aisle._target_of(settings ->> 'statement');
    undo text := settings ->> 'undo';
    tree record;
begin
    perform aisle._create_writer('_write_statement', settings ->> 'statement');
    if undo is null and attached.declaration #>> '{categories,of_item}' is not null then
        tree := aisle._category_settings(attached.declaration -> 'categories');
        if tree.via = target then
            undo := format('delete from %s where %I = $1 and %I = $2', tree.via, tree.via_item, tree.via_category);
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
            perform aisle._write_statement(item::%s, category::%s);
            is_written := true;
        end
        $write$;
        $definition$, variadic aisle._argument_types('_write_statement'));
    if undo is null then
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
