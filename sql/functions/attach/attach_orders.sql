-- Points Aisle at the shop's orders: one table of lines, a table of orders and a table of their lines, or a query for lines. Stores what
-- was declared, and creates the view aisle._orders and the triggers that keep the customers' vectors current. The view has the columns of
-- aisle._interactions, so that recommend() can read orders, too.
create or replace function aisle.attach_orders(
    relation text default null, order_id text default 'order_id', item_id text default 'item_id', user_id text default null,
    at text default null, order_number text default null, quantity text default null, lines text default null,
    line_order_id text default null, time_zone text default current_setting('TimeZone'), accept_item_ids boolean default false,
    query text default null, watch jsonb default '{}', counts text default null, item_via text default null)
returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration jsonb;
    named constant text[] := case when relation is null and query is not null then aisle._columns_of_query(query, 'orders') else '{}' end;
    customer text;
    moment text;
    line_order text := coalesce(line_order_id, order_id);
    line text;
    table_of_orders regclass;
    table_of_lines regclass;  -- null if the first table itself holds the lines
    roles jsonb;
    line_roles jsonb := '{}';
    known_watches jsonb;
    target regclass;
    line_target regclass;
    customer_type text;
    time_type text;
    latest constant integer := 100000000;  -- the largest number of an order: it stands for so many days after 1970, and a timestamp holds few more
    id_types text[];
    quantity_type text;
    -- The view leaves out an order whose time or number is outside these limits. A quantity that is NaN, infinite, huge or null counts
    -- as 1. So no cast fails, whatever the columns hold; trainers/odd_values.py counts such rows.
    years constant text := 'e.%1$I between %2$s ''0001-01-01 00:00:00+00'' and %2$s ''9999-12-31 23:59:59.999999+00''';
    numbers constant text := 'e.%1$I between -700000 and %2$s';
    is_known text;
    amount text;
    number bigint;
    item_share text;
    watched text;
begin
    -- A query's columns have these names because they are meant.
    user_id := coalesce(user_id, case when 'user_id' = any (named) then 'user_id' end);
    at := coalesce(at, case when order_number is null and 'at' = any (named) then 'at' end);
    order_number := coalesce(order_number, case when at is null and 'order_number' = any (named) then 'order_number' end);
    quantity := coalesce(quantity, case when 'quantity' = any (named) then 'quantity' end);
    customer := coalesce(user_id, order_id);  -- without customers, each order has a customer of its own
    moment := coalesce(at, order_number);
    declaration := aisle._declaration(jsonb_build_object(
        'relation', relation, 'order_id', order_id, 'item_id', item_id, 'user_id', user_id, 'at', at, 'order_number', order_number,
        'quantity', quantity, 'lines', lines, 'line_order_id', line_order_id, 'time_zone', time_zone,
        'accept_item_ids', nullif(accept_item_ids, false), 'query', query, 'watch', watch, 'counts', counts, 'item_via', item_via));
    perform aisle._check_attachable('orders', declaration, true);
    if order_id is null or item_id is null then
        raise exception 'Name the columns of the order and of the item.' using errcode = 'AIS05';
    elsif at is not null and order_number is not null then
        raise exception 'Name the column of the time or the column of the number, not both.' using errcode = 'AIS05';
    elsif user_id is not null and moment is null then
        raise exception 'Orders of customers need a time or a number: nothing else tells which order was the last.'
            using errcode = 'AIS05', hint = 'Name the column: at, or order_number';
    elsif lines is null and line_order_id is not null then
        raise exception 'line_order_id is a column of the table of lines: name that table, too (lines).' using errcode = 'AIS05';
    elsif lines is not null and query is not null then
        raise exception 'A query returns the lines: leave out the table of lines.' using errcode = 'AIS05';
    elsif not exists (select from pg_timezone_names z where z.name = time_zone) then
        raise exception 'There is no time zone %.', time_zone using errcode = 'AIS06', hint = 'For example: Asia/Seoul';
    end if;
    roles := jsonb_strip_nulls(jsonb_build_object('order', order_id, 'at', moment, 'user', customer));
    line_roles := jsonb_strip_nulls(jsonb_build_object('item', item_id, 'quantity', quantity));
    if query is null and lines is null then
        table_of_orders := aisle._relation_to_attach(relation, '{}');
        perform aisle._relation_to_attach(relation, aisle._plain_columns(table_of_orders, roles || line_roles));
    elsif query is null then
        table_of_orders := aisle._relation_to_attach(relation, array[order_id, customer, moment]);
        table_of_lines := aisle._relation_to_attach(lines, array[line_order]);
        perform aisle._relation_to_attach(lines, aisle._plain_columns(table_of_lines, line_roles));
        id_types := array[aisle._id_type(table_of_orders, order_id), aisle._id_type(table_of_lines, line_order)];
        if id_types[1] <> id_types[2] and not id_types <@ array['smallint', 'integer', 'bigint'] then
            raise exception 'Column % of % is of type %, but % of % is of type %.',
                quote_ident(line_order), table_of_lines, id_types[2], quote_ident(order_id), table_of_orders, id_types[1]
                using errcode = 'AIS04', hint = 'Change one of them, or write a query that casts it.';
        end if;
    end if;
    if table_of_lines is not null then
        perform aisle._check_unique(table_of_orders, order_id,
                                    'A line must lead to one order. Write a query that joins lines with the order that counts (query).');
    end if;
    known_watches := aisle._watches_of_orders(table_of_orders, table_of_lines, order_id, customer, line_order, item_id, item_via);
    target := table_of_orders;
    line_target := table_of_lines;
    if query is not null or counts is not null or item_via is not null
       or aisle._plain_columns(coalesce(line_target, target), line_roles) <> array(select r.value from jsonb_each_text(line_roles) r) then
        query := case when line_target is null
            then aisle._compose_events(target, query, roles || line_roles, counts, item_via)
            else aisle._compose_events(target, query, roles, counts, item_via, line_target,
                                       line_roles || jsonb_build_object('order', line_order)) end;
        target := aisle._create_source(
            'orders', null, query, (select jsonb_object_agg(r, r) from jsonb_object_keys(roles || line_roles) r), 'user');
        line_target := null;
        -- From here on, the names are those of the view.
        order_id := 'order';
        item_id := 'item';
        customer := 'user';
        moment := case when moment is not null then 'at' end;
        at := case when at is not null then 'at' end;
        order_number := case when order_number is not null then 'at' end;
        quantity := case when quantity is not null then 'quantity' end;
    end if;
    line := case when line_target is null then 'e' else 'l' end;
    if exists (select from pg_attribute a
               where a.attrelid in (target, line_target) and a.attgenerated = 'v'
                 and a.attname in (order_id, item_id, user_id, moment, quantity, line_order)) then
        raise exception 'A column is computed when it is read, and triggers do not see it.'
            using errcode = 'AIS04', hint = 'Make it a stored column: generated always as (…) stored';
    end if;
    perform aisle._id_type(coalesce(line_target, target), item_id);
    perform aisle._id_type(target, order_id);
    quantity_type := aisle._column_type(coalesce(line_target, target), quantity);
    if quantity_type not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision') then
        raise exception 'Column % of % is of type %; a quantity is a number.',
            quote_ident(quantity), coalesce(line_target, target), quantity_type using errcode = 'AIS04';
    end if;
    customer_type := aisle._id_type(target, customer);
    perform aisle._refuse_foreign_code(target);
    perform aisle._refuse_foreign_code(line_target);
    time_type := coalesce(aisle._column_type(target, moment), 'integer');
    if at is not null and time_type not in ('timestamp with time zone', 'timestamp without time zone', 'date') then
        raise exception 'Column % of % is of type %; the time of an order is a timestamp or a date.',
            quote_ident(at), target, time_type using errcode = 'AIS04', hint = 'If it is a number, name it as order_number.';
    elsif at is null and time_type not in ('smallint', 'integer', 'bigint') then
        raise exception 'Column % of % is of type %; the number of an order is a whole number.',
            quote_ident(order_number), target, time_type using errcode = 'AIS04', hint = 'If it is a time, name it as at.';
    elsif order_number is not null then
        execute format('select e.%1$I from %2$s e where e.%1$I > %3$s limit 1', order_number, target, latest) into number;
        if number is not null then
            raise exception 'Column % of % has the number %; an order''s number is at most %.',
                quote_ident(order_number), target, number, latest using errcode = 'AIS06',
                hint = 'Attach a view that ranks each customer''s orders, or name the column of a time: at';
        end if;
    end if;

    insert into aisle._attachments (kind, declaration, relation, lines, id_type, columns, time_type, time_zone)
    values ('orders', declaration, target, line_target, customer_type,
            jsonb_build_object('order', order_id, 'user', customer, 'item', item_id, 'at', moment, 'quantity', quantity,
                               'line_order', case when line_target is not null then line_order end, 'context', array[]::text[]),
            time_type, time_zone);
    is_known := case when at is not null then format(years, at, time_type) when moment is not null then format(numbers, moment, latest) end;
    amount := case when quantity is not null then format(
        case when quantity_type in ('smallint', 'integer', 'bigint') then
                 'case when %1$s.%2$I between -1000000000 and 1000000000 then %1$s.%2$I else 1 end'
             else 'case when %1$s.%2$I between -1e-30 and 1e-30 then 0 when %1$s.%2$I between -1e9 and 1e9 then %1$s.%2$I else 1 end' end,
        line, quantity) end;
    execute format(
        'create view aisle._orders with (security_invoker = true) as
         select e.%1$I::%2$s as user_id, %3$s.%4$I::text as item_id, %5$s as at, %6$s as local_at, 1::real as weight,
                ''{}''::jsonb as context, null::text as review, e.%7$I as order_id, %8$s as quantity
         from %9$s e %10$s
         where e.%1$I is not null and %3$s.%4$I is not null and e.%7$I is not null %11$s %12$s',
        customer, customer_type, line, item_id,
        case when moment is null then '1' else format('e.%I', moment) end,
        case when moment is null then 'timestamp ''1970-01-02'''
             else format('case when %s then %s end', is_known, format(
                 case when time_type = 'timestamp with time zone' then 'e.%I at time zone %L'
                      when at is not null then 'e.%I::timestamp'
                      else 'timestamp ''1970-01-01'' + e.%I * interval ''1 day''' end, moment, time_zone)) end,
        order_id,
        case when quantity is null then '1::real' else format('(%s)::real', amount) end,
        target,
        case when line_target is not null then format('join %s l on l.%I = e.%I', line_target, line_order, order_id) end,
        case when moment is not null then format('and e.%I is not null and nullif(%s, false) is not null', moment, is_known) end,
        case when quantity is not null then format('and %s > 0', amount) end);
    -- The hash covers all that a model reads of a customer, and does not depend on the order of the rows.
    create view aisle._customers with (security_invoker = true) as
        select o.user_id, decode(md5(concat(count(*), ' ', sum(hashtextextended(
                   concat_ws(' ', o.order_id, o.item_id, o.quantity, extract(epoch from o.local_at)), 0)::numeric))), 'hex') as content_hash
        from aisle._orders o
        group by o.user_id;
    perform aisle._copy_grants('aisle._attachments', 'aisle._orders');
    perform aisle._copy_grants('aisle._embedding_jobs', 'aisle._customers');  -- only workers read it
    perform aisle._note_tables('orders');
    -- Before the triggers, whose locks the shop's writes wait for.
    item_share := aisle._check_item_ids('orders', coalesce(line_target, target), item_id, accept_item_ids);
    watched := aisle._create_watches('orders', 'aisle._orders', target, customer, known_watches, watch);
    return concat(format('Attached %s.', coalesce(nullif(concat_ws(' and ', table_of_orders::text, table_of_lines::text), ''), 'the orders of the query')),
                  case when time_type = 'timestamp without time zone' then
                      format(e'\nIts times are read as those of %s; if they are another zone''s, detach it, and attach it with that.', time_zone) end,
                  item_share, watched, (
                      select string_agg(format(e'\n%s: %s', m.purpose, m.statement), '') from aisle._missing_indexes('orders') m));
end
$function$;

comment on function aisle.attach_orders(
    text, text, text, text, text, text, text, text, text, text, boolean, text, jsonb, text, text) is
    'Points Aisle at the shop''s orders: one table of lines, a table of orders and a table of their lines (lines), or a query for lines. '
    'Orders have a time (at) or a number that grows with time (order_number). Lines with a quantity of 0 or less count as returned. '
    'counts: the condition that an order must meet to count, such as a state. item_via: where lines name variants, the table that leads '
    'to items. watch: for a table of the query, the query for the customers that its row r touches. accept_item_ids: attach although '
    'fewer than half of the lines are about an attached item.';
