create or replace function aisle.changed(kind text, ids text[]) returns bigint
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    part text[];
begin
    if not exists (select from aisle._tasks t where t.follows = kind) then
        raise exception 'There is no kind %.', coalesce(quote_literal(kind), 'null')
            using errcode = 'AIS06', hint = 'items: the ids are those of items; orders: the ids are those of customers';
    elsif not exists (select from aisle._attachments a where a.kind = kind) then
        raise exception 'No % are attached.', kind using errcode = 'AIS02', hint = 'See what is: aisle status';
    end if;
    ids := array(select distinct i.id from unnest(ids) i (id) where i.id is not null);
    for part in
        select array_agg(i.id) from unnest(ids) with ordinality i (id, n) group by i.n / 100000
    loop
        perform aisle._enqueue(kind, part);
    end loop;
    return coalesce(cardinality(ids), 0);
end
$function$;

comment on function aisle.changed(text, text[]) is
    'Tells that these items, or the orders of these customers (kind ''orders''), changed where no trigger sees it. Workers renew their '
    'vectors. Returns the number of ids.';
