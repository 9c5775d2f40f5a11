-- Takes away what aisle._create_write_back made. Keeps the settings.
create or replace function aisle._drop_write_back() returns void
language plpgsql volatile
set client_min_messages = warning  -- not "does not exist, skipping"
as $function$
declare
    target regclass;
begin
    for target in select t.tgrelid from pg_trigger t where t.tgname = 'aisle_500_write_back' and t.tgparentid = 0 loop
        execute format('drop trigger aisle_500_write_back on %s', target);
    end loop;
    drop function if exists aisle._write_category(text, text), aisle._unwrite_category(text, text, text), aisle.tg_items__write_back();
    drop function if exists aisle._write_statement, aisle._undo_statement;
end
$function$;
