create or replace function aisle.detach(kind text) returns text
language plpgsql volatile
as $function$
declare
    attachment aisle._attachments;
    trigger_name name;
begin
    select * into attachment from aisle._attachments a where a.kind = detach.kind;
    if not found then
        raise exception 'No % are attached.', detach.kind using errcode = 'AIS02';
    end if;
    for trigger_name in
        select t.tgname from pg_trigger t
        where t.tgrelid = attachment.relation and t.tgname like 'aisle\_500\_%' and not t.tgisinternal and t.tgparentid = 0
    loop
        execute format('drop trigger %I on %s', trigger_name, attachment.relation);
    end loop;
    execute format('drop view if exists aisle.%I', '_' || attachment.kind);
    if attachment.kind = 'items' then
        perform aisle._forget_all_items();
        delete from aisle._changes c where c.topic = 'items';
        delete from aisle._embedding_jobs j where j.task in ('category', 'recommender');
    end if;
    if attachment.kind = 'interactions' then
        delete from aisle._review_labels;
    end if;
    delete from aisle._attachments a where a.kind = detach.kind;
    return format('Detached %s.', attachment.relation);
end
$function$;

comment on function aisle.detach(text) is
    'Removes the triggers, the view, the queued jobs, the vectors and the labels of an attached table. The table itself is '
    'untouched, and so are the models.';
