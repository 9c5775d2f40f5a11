-- Points Aisle at the shop's events: which user saw, rated or visited which item, and when; a table, or a query for them. Stores what was
-- declared, and creates the view aisle._interactions. There is no trigger: recommend() reads a user's rows at each call.
create or replace function aisle.attach_interactions(
    relation text default null, user_id text default 'user_id', item_id text default 'item_id', at text default 'created_at',
    weight text default null, context_columns text[] default '{}', review text default null,
    time_zone text default current_setting('TimeZone'), rating text default null, accept_item_ids boolean default false,
    query text default null, counts text default null, item_via text default null)
returns text
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    declaration jsonb;
    named constant text[] := case when relation is null and query is not null then aisle._columns_of_query(query, 'interactions') else '{}' end;
    roles jsonb;
    target regclass;
    user_type text;
    time_type text;
    weight_type text;
    -- The view leaves out an event whose time is infinite or outside these years. A weight that is NaN, infinite, huge or null counts as
    -- 1. So no cast fails, whatever the columns hold; trainers/odd_values.py counts such rows.
    years constant text := 'e.%1$I between %2$s ''0001-01-01 00:00:00+00'' and %2$s ''9999-12-31 23:59:59.999999+00''';
begin
    context_columns := coalesce(context_columns, '{}');
    -- A query's columns have these names because they are meant.
    at := case when 'at' = any (named) and at = 'created_at' and 'created_at' <> all (named) then 'at' else at end;
    weight := coalesce(weight, case when 'weight' = any (named) then 'weight' end);
    review := coalesce(review, case when 'review' = any (named) then 'review' end);
    rating := coalesce(rating, case when 'rating' = any (named) then 'rating' end);
    declaration := aisle._declaration(jsonb_build_object(
        'relation', relation, 'user_id', user_id, 'item_id', item_id, 'at', at, 'weight', weight, 'context_columns', to_jsonb(context_columns),
        'review', review, 'rating', rating, 'time_zone', time_zone, 'accept_item_ids', nullif(accept_item_ids, false), 'query', query,
        'counts', counts, 'item_via', item_via));
    perform aisle._check_attachable('interactions', declaration, true);
    if user_id is null or item_id is null or at is null then
        raise exception 'Name the columns of the user, of the item and of the time.' using errcode = 'AIS05';
    elsif not exists (select from pg_timezone_names z where z.name = time_zone) then
        raise exception 'There is no time zone %.', time_zone using errcode = 'AIS06', hint = 'For example: Asia/Seoul';
    elsif context_columns && array['hour', 'weekday', 'meal_slot'] then
        raise exception 'A context column cannot be called hour, weekday or meal_slot: these come from the time.'
            using errcode = 'AIS06';
    end if;
    roles := jsonb_strip_nulls(jsonb_build_object('user', user_id, 'item', item_id, 'at', at, 'weight', weight, 'review', review, 'rating', rating))
             || (select coalesce(jsonb_object_agg(c, c), '{}') from unnest(context_columns) c);
    if query is null then
        target := aisle._relation_to_attach(relation, '{}', triggers => false);
        perform aisle._relation_to_attach(relation, aisle._plain_columns(target, roles), triggers => false);
    end if;
    if query is not null or counts is not null or item_via is not null
       or aisle._plain_columns(target, roles) <> array(select r.value from jsonb_each_text(roles) r) then
        target := aisle._create_source('interactions', null, aisle._compose_events(target, query, roles, counts, item_via),
                                       (select jsonb_object_agg(r, r) from jsonb_object_keys(roles) r), 'user');
        -- From here on, the names are those of the view.
        user_id := 'user';
        item_id := 'item';
        at := 'at';
        weight := case when weight is not null then 'weight' end;
        review := case when review is not null then 'review' end;
        rating := case when rating is not null then 'rating' end;
    end if;
    user_type := aisle._id_type(target, user_id);
    perform aisle._id_type(target, item_id);
    time_type := aisle._column_type(target, at);
    if time_type not in ('timestamp with time zone', 'timestamp without time zone', 'date') then
        raise exception 'Column % of % is of type %; the time of an event is a timestamp or a date.',
            quote_ident(at), target, time_type using errcode = 'AIS04';
    end if;
    weight_type := aisle._column_type(target, weight);
    if weight_type not in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision') then
        raise exception 'Column % of % is of type %; the weight of an event is a number.',
            quote_ident(weight), target, weight_type using errcode = 'AIS04', hint = 'If it is a review or a rating, name it as review or rating.';
    end if;

    perform aisle._refuse_foreign_code(target);
    insert into aisle._attachments (kind, declaration, relation, id_type, columns, time_type, time_zone)
    values ('interactions', declaration, target, user_type,
            jsonb_build_object('user', user_id, 'item', item_id, 'at', at, 'weight', weight, 'context', context_columns,
                               'review', review, 'rating', rating),
            time_type, time_zone);
    execute format(
        'create view aisle._interactions with (security_invoker = true) as
         select e.%1$I::%2$s as user_id, e.%3$I::text as item_id, e.%4$I as at, %5$s as local_at, %6$s as weight,
                %7$s as context, %8$s as review, %9$s as rating
         from %10$s e
         where e.%1$I is not null and e.%3$I is not null and e.%4$I is not null and nullif(%11$s, false) is not null',
        user_id, user_type, item_id, at,
        format('case when %s then %s end', format(years, at, time_type),
               format(case time_type when 'timestamp with time zone' then 'e.%I at time zone %L' else 'e.%I::timestamp' end,
                      at, time_zone)),
        case when weight is null then '1::real'
             when weight_type in ('smallint', 'integer', 'bigint') then
                 format('case when e.%1$I between -1000000000 and 1000000000 then e.%1$I else 1 end::real', weight)
             else format('case when e.%1$I between -1e-30 and 1e-30 then 0 when e.%1$I between -1e9 and 1e9 then e.%1$I else 1 end::real',
                         weight) end,
        case when context_columns = '{}' then '''{}''::jsonb' else (
            select format('jsonb_strip_nulls(jsonb_build_object(%s))', string_agg(format('%L, %s', c, aisle._text_of(target, c, 'e')), ', '))
            from unnest(context_columns) c) end,
        format('nullif(%s, '''')', aisle._text_of(target, review, 'e')),
        format('nullif(%s, '''')', aisle._text_of(target, rating, 'e')),
        target, format(years, at, time_type));
    perform aisle._copy_grants('aisle._attachments', 'aisle._interactions');

    perform aisle._note_tables('interactions');
    return concat(format('Attached %s.', coalesce(relation, 'the interactions of the query')),
                  case when time_type = 'timestamp without time zone' then
                      format(e'\nIts times are read as those of %s; if they are another zone''s, detach it, and attach it with that.', time_zone) end,
                  aisle._check_item_ids('interactions', target, item_id, accept_item_ids), (
                      select string_agg(format(e'\n%s: %s', m.purpose, m.statement), '') from aisle._missing_indexes('interactions') m));
end
$function$;

comment on function aisle.attach_interactions(
    text, text, text, text, text, text[], text, text, text, boolean, text, text, text) is
    'Points Aisle at the shop''s views, ratings, visits or purchases: a table, or a query for them. context_columns: what was known of the situation, '
    'such as the meal. time_zone: for hours and weekdays. review: the text that a user wrote. rating: what the user gave, as a '
    'number, a yes or no, or a word. counts: the condition that an event must '
    'meet to count. item_via: where events name variants, the table that leads to items. accept_item_ids: attach although fewer than half of the rows are about an attached item.';
