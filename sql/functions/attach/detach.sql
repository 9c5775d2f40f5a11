-- Forgets what was derived from an attached table, and leaves the table as it was.
create or replace function aisle.detach(kind text) returns text
language plpgsql volatile
as $function$
declare
    attachment aisle._attachments;
    followed aisle._tasks;
begin
    select * into attachment from aisle._attachments a where a.kind = detach.kind;
    if not found then
        raise exception 'No % are attached.', detach.kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    perform aisle._unhook(kind);
    -- The shop's table is locked by now: a TRUNCATE is quick.
    for followed in select * from aisle._tasks t where t.follows = attachment.kind loop
        execute format(case when followed.keeps_learned then 'delete from aisle.%I v where v.origin <> ''events''' else 'truncate aisle.%I' end,
                       followed.row_vectors);
        delete from aisle._embedding_jobs j where j.task = followed.task;
        delete from aisle._comparisons c where c.task = followed.task;
    end loop;
    delete from aisle._changes c where c.topic = attachment.kind;
    if attachment.kind = 'items' then
        truncate aisle._item_predictions;
        delete from aisle._write_back;
    elsif attachment.kind = 'interactions' then
        delete from aisle._review_labels;
    end if;
    delete from aisle._attachments a where a.kind = detach.kind;
    return format('Detached %s.', coalesce(attachment.declaration ->> 'relation', kind));
end
$function$;

comment on function aisle.detach(text) is
    'Removes the triggers, the view, the queued jobs, the labels and the vectors of an attached table, but for what a model learned '
    'from events. Leaves the table itself and the models as they are.';
