-- The watches of orders in tables of their own: whose orders a changed order, line or variant belongs to.
create or replace function aisle._watches_of_orders(
    orders regclass, lines regclass, order_id text, customer text, line_order text, item_id text, item_via text)
returns jsonb
language sql stable
begin atomic
    with via (parts) as (
        select aisle._item_way(item_via)
    )
    select coalesce(jsonb_object_agg(w.relation, w.query) filter (where w.relation is not null and orders is not null), '{}')
    from via v
    cross join lateral (
        values (orders::text, 'select r.' || quote_ident(customer)),
               (lines::text, 'select e.' || quote_ident(customer) || ' from ' || orders::text
                             || ' e where e.' || quote_ident(order_id) || ' = r.' || quote_ident(line_order)),
               (aisle._relation_named(v.parts[1])::text,
                'select e.' || quote_ident(customer) || ' from ' || orders::text || ' e' || coalesce(
                    ' join ' || lines::text || ' l on l.' || quote_ident(line_order) || ' = e.' || quote_ident(order_id)
                    || ' where l.' || quote_ident(item_id) || ' = r.' || quote_ident(v.parts[2]),
                    ' where e.' || quote_ident(item_id) || ' = r.' || quote_ident(v.parts[2])))) w (relation, query);
end;
