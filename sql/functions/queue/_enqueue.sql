-- Logs which rows changed, and wakes the workers. A trigger does nothing else for the queue in the shop's transaction: it appends a row,
-- whatever the number of ids, and takes no lock that anybody could wait for. A transaction that is prepared for two-phase commit must not
-- notify; it sets `aisle.notify` to off.
create or replace function aisle._enqueue(topic text, ids text[]) returns void
language plpgsql volatile
as $function$
begin
    insert into aisle._changes (topic, ids, changed_at) values (_enqueue.topic, _enqueue.ids, aisle._now());
    if current_setting('aisle.notify', true) is distinct from 'off' then
        perform pg_notify('aisle_embedding_jobs', _enqueue.topic);
    end if;
end
$function$;
