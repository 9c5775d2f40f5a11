-- Queues every row whose vector is missing or out of date in a generation that the workers fill or keep current, and removes what was
-- derived from rows that are gone. It fills a new generation, and finds what changed behind a view, where no trigger tells. Returns the
-- number of queued rows. Changes that the shop makes meanwhile come first.
create or replace function aisle._enqueue_stale() returns bigint
language plpgsql volatile
as $function$
declare
    kinds constant text[] := array(
        select distinct a.kind from aisle._attachments a join aisle._tasks t on t.follows = a.kind where not a.is_paused order by a.kind);
    kind text;
    queued bigint := 0;
begin
    if kinds = '{}' then
        raise exception 'No items are attached.'
            using errcode = 'AIS02', hint = 'Attach the shop''s table first: aisle attach items SCHEMA.TABLE --id … --name …';
    end if;
    foreach kind in array kinds loop
        queued := queued + aisle._enqueue_stale_rows(kind);
    end loop;
    perform pg_notify('aisle_embedding_jobs', 'items');
    return queued;
end
$function$;
