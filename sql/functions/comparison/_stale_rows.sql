-- Returns every item, or every customer (kind 'orders'), that lacks a current vector in some generation of some task.
create or replace function aisle._stale_rows(kind text) returns table (task text, id text)
language plpgsql volatile
as $function$
begin
    perform aisle._guard();
    return query execute format($query$
        select stale.task, r.id
        from (%s) r
        cross join lateral (
            select distinct t.task
            from aisle._tasks t
            join aisle._models m on m.task = t.task and m.state in ('filling', 'ready')
            left join aisle._row_vectors v on v.id = r.id and v.model_id = m.model_id
            where t.follows = $1
              and (not v.is_draft
                   and v.content_hash = case when t.reads_category then aisle._factor_hash(r.content_hash, r.category)
                                             else r.content_hash end) is not true
        ) stale
        where octet_length(r.id) <= 2600  -- no index could hold a longer one
        $query$,
        case kind
            when 'items' then 'select i.item_id as id, i.category, aisle._content_hash(i.name, i.manufacturer, i.details) as content_hash
                               from aisle._items i offset 0'  -- hashes each row once
            else 'select c.user_id::text as id, null::text as category, c.content_hash from aisle._customers c' end)
    using kind;
end
$function$;
