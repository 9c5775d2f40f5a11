-- Writes draft vectors of rows that were just written, for the first `draft_rows` rows of a client's statement, from the texts that the
-- trigger saw: it reads nothing of the shop's table. The worker gets the rest: a draft that fails or would have to wait for a lock, all
-- that follows it in the statement, and all that follows a quarter of a second of drafts. There are no drafts where the shop's statement
-- may last a moment only, nor in a transaction that is repeatable read or serializable: reading neighbours and writing vectors would make
-- it conflict with every other writer.
create or replace function aisle._draft_items(
    ids text[], names text[], manufacturers text[], categories text[], details text[], draft_rows integer) returns void
language plpgsql volatile
set lock_timeout = '50ms'
as $function$
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
    -- A row trigger calls this once a row: count the rows that the statement has changed so far, and the time of their drafts.
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
            perform aisle._draft_item_vectors(ids[first:last], names[first:last], manufacturers[first:last], details[first:last]);
            perform aisle._draft_item_factors(
                ids[first:last], names[first:last], manufacturers[first:last], categories[first:last], details[first:last]);
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
$function$;
