create or replace function aisle.detach(kind text) returns text
language plpgsql volatile
as $function$
declare
    attachment aisle._attachments;
    trigger_name name;
    target regclass;
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
    end if;
    if attachment.kind = 'orders' then
        drop view if exists aisle._customers;
    end if;
    execute format('drop view if exists aisle.%I', '_' || attachment.kind);
    if attachment.kind = 'items' then
        truncate aisle.item_vectors, aisle._item_predictions;  -- the shop's table is locked: be quick
        -- What was learned from events no worker can make again: it stays with its model.
        delete from aisle.item_factors f where f.origin <> 'events';
        delete from aisle._changes c where c.topic = 'items';
        delete from aisle._embedding_jobs j where j.task in ('category', 'recommender');
    elsif attachment.kind = 'orders' then
        truncate aisle.customer_vectors;
        delete from aisle._changes c where c.topic in ('basket', 'lines');
        delete from aisle._embedding_jobs j where j.task = 'basket';
    end if;
    if attachment.kind = 'interactions' then
        delete from aisle._review_labels;
    end if;
    delete from aisle._comparisons c where (c.task = 'basket') = (attachment.kind = 'orders') and attachment.kind <> 'interactions';
    delete from aisle._attachments a where a.kind = detach.kind;
    return format('Detached %s.', attachment.relation);
end
$function$;

comment on function aisle.detach(text) is
    'Removes the triggers, the view, the queued jobs, the labels and the vectors of an attached table, but for what a model learned '
    'from events. The table itself is untouched, and so are the models.';
