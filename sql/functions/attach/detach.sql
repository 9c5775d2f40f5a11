-- Forgets what was derived from an attached table, and leaves the table as it was.
create or replace function aisle.detach(kind text) returns text
language plpgsql volatile
as $function$
declare
    attachment aisle._attachments;
    trigger_name name;
    target regclass;
    followed aisle._tasks;
begin
    select * into attachment from aisle._attachments a where a.kind = detach.kind;
    if not found then
        raise exception 'No % are attached.', detach.kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    for trigger_name, target in
        select t.tgname, t.tgrelid from pg_trigger t
        where t.tgrelid in (attachment.relation, attachment.lines) and starts_with(t.tgname, 'aisle_500_') and not t.tgisinternal
          and t.tgparentid = 0 and attachment.kind = case when starts_with(t.tgname, 'aisle_500_orders_') then 'orders' else 'items' end
    loop
        execute format('drop trigger %I on %s', trigger_name, target);
    end loop;
    if attachment.kind = 'items' then
        drop function if exists aisle.tg_items__insert(), aisle.tg_items__delete(), aisle.tg_items__row();
    elsif attachment.kind = 'orders' then
        drop function if exists aisle.tg_orders__changed(), aisle.tg_lines__changed();
        drop view if exists aisle._customers;
    end if;
    execute format('drop view if exists aisle.%I', '_' || attachment.kind);
    -- The shop's table is locked by now: a TRUNCATE is quick.
    for followed in select * from aisle._tasks t where t.follows = attachment.kind loop
        execute format(case when followed.keeps_learned then 'delete from aisle.%I v where v.origin <> ''events''' else 'truncate aisle.%I' end,
                       followed.row_vectors);
        delete from aisle._embedding_jobs j where j.task = followed.task;
        delete from aisle._comparisons c where c.task = followed.task;
    end loop;
    delete from aisle._changes c where c.topic = attachment.kind or attachment.kind = 'orders' and c.topic = 'lines';
    if attachment.kind = 'items' then
        truncate aisle._item_predictions;
    elsif attachment.kind = 'interactions' then
        delete from aisle._review_labels;
    end if;
    delete from aisle._attachments a where a.kind = detach.kind;
    return format('Detached %s.', attachment.relation);
end
$function$;

comment on function aisle.detach(text) is
    'Removes the triggers, the view, the queued jobs, the labels and the vectors of an attached table, but for what a model learned '
    'from events. Leaves the table itself and the models as they are.';
