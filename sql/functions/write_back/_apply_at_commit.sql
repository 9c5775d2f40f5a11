-- Writes the category of a new item that has none, from the trigger at commit. A transaction of many rows gets those of the first; the others
-- wait for `aisle apply category`. An error of the shop's database is a warning.
create or replace function aisle._apply_at_commit(item text) returns void
language plpgsql volatile
set lock_timeout = '50ms'
as $function$
declare
    at_most constant integer := 100;  -- rows
    budget constant double precision := .5;  -- seconds
    began constant timestamptz := clock_timestamp();
    transaction constant text := pg_current_xact_id()::text;
    counter text[] := string_to_array(current_setting('aisle.written_back', true), '/');  -- transaction, rows, seconds
    applied record;
begin
    if counter[1] is distinct from transaction then
        counter := array[transaction, '0', '0'];
    end if;
    if counter[2]::integer >= at_most or counter[3]::double precision > budget then
        return;
    end if;
    perform aisle._guard();
    if exists (select from aisle._read_items(array[item]) i where i.category is null) then
        perform aisle._refuse_foreign_writes(w.target) from aisle._write_back w;
        applied := aisle._apply_category(item, aisle._live_model('category'), false);
        if applied.is_error then
            raise warning 'Aisle wrote no category to the new item %: %', item, applied.problem;
        end if;
        perform set_config('aisle.written_back', concat_ws(
            '/', transaction, counter[2]::integer + 1,
            counter[3]::double precision + extract(epoch from clock_timestamp() - began)), true);
    end if;
end
$function$;
