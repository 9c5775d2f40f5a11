-- Queues every row that lacks a current vector in some generation that is kept in step, and removes what belongs to rows that are
-- gone. Fills a new generation, and finds what changed behind a view. Returns the number of queued rows. They wait behind whatever
-- the shop changes meanwhile.
create or replace function aisle._enqueue_stale() returns bigint
language plpgsql volatile
as $function$
declare
    attached constant text[] := array(select a.kind from aisle._attachments a);
    queued bigint := 0;
begin
    if not attached && array['items', 'orders'] then
        raise exception 'No items are attached.'
            using errcode = 'AIS02', hint = 'Attach the shop''s table first: aisle attach items SCHEMA.TABLE --id … --name …';
    end if;
    if 'items' = any (attached) then
        queued := queued + aisle._enqueue_stale_items();
    end if;
    if 'orders' = any (attached) then
        queued := queued + aisle._enqueue_stale_customers();
    end if;
    perform pg_notify('aisle_embedding_jobs', 'items');
    return queued;
end
$function$;
