-- Points Aisle at the shop's table of events: which user saw, rated or visited which item, and when. Stores the names of the columns and
-- creates the view aisle._interactions over them. There is no trigger: recommend() reads a user's rows at each call.
create or replace function aisle.attach_interactions(
    relation text, user_id text, item_id text, at text, weight text default null, context_columns text[] default '{}',
    review text default null, time_zone text default current_setting('TimeZone'), rating text default null,
    accept_item_ids boolean default false)
returns text
language plpgsql volatile
as $function$
declare
    target regclass;
    user_type text;
    time_type text;
    weight_type text;
    -- The view leaves out an event whose time is infinite or outside these years. A weight that is NaN, infinite, huge or null counts as
    -- 1. So no cast fails, whatever the columns hold; trainers/odd_values.py counts such rows.
    years constant text := 'e.%1$I between %2$s ''0001-01-01 00:00:00+00'' and %2$s ''9999-12-31 23:59:59.999999+00''';
    missing_indexes text;
begin
    context_columns := coalesce(context_columns, '{}');
    if exists (select from aisle._attachments a where a.kind = 'interactions') then
        raise exception 'Interactions are attached already, to %.',
            (select a.relation from aisle._attachments a where a.kind = 'interactions')
            using errcode = 'AIS03', hint = 'Detach them first: aisle detach interactions';
    elsif user_id is null or item_id is null or at is null then
        raise exception 'Name the columns of the user, of the item and of the time.' using errcode = 'AIS05';
    elsif not exists (select from pg_timezone_names z where z.name = time_zone) then
        raise exception 'There is no time zone %.', time_zone using errcode = 'AIS06', hint = 'For example: Asia/Seoul';
    elsif context_columns && array['hour', 'weekday', 'meal_slot'] then
        raise exception 'A context column cannot be called hour, weekday or meal_slot: these come from the time.'
            using errcode = 'AIS06';
    end if;
    target := aisle._relation_to_attach(attach_interactions.relation, array[user_id, item_id, at, weight, review, rating] || context_columns,
                                         triggers => false);
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
    insert into aisle._attachments (kind, relation, id_type, columns, time_type, time_zone)
    values ('interactions', target, user_type,
            jsonb_build_object('user', user_id, 'item', item_id, 'at', at, 'weight', weight, 'context', context_columns,
                               'review', review, 'rating', rating),
            time_type, attach_interactions.time_zone);
    execute format(
        'create view aisle._interactions with (security_invoker = true) as
         select e.%1$I::%2$s as user_id, e.%3$I::text as item_id, e.%4$I as at, %5$s as local_at, %6$s as weight,
                %7$s as context, %8$s as review, %9$s as rating
         from %10$s e
         where e.%1$I is not null and e.%3$I is not null and e.%4$I is not null and nullif(%11$s, false) is not null',
        user_id, user_type, item_id, at,
        format('case when %s then %s end', format(years, at, time_type),
               format(case time_type when 'timestamp with time zone' then 'e.%I at time zone %L' else 'e.%I::timestamp' end,
                      at, attach_interactions.time_zone)),
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

    if not aisle._has_index(target, array[user_id, at]) then
        missing_indexes := format(e'\nFor fast answers, also: create index concurrently on %s (%I, %I);', target, user_id, at);
    end if;
    if not aisle._has_index(target, array[at]) then
        missing_indexes := concat(missing_indexes, format(e'\nFor users without a history: create index concurrently on %s (%I);', target, at));
    end if;
    return concat(format('Attached %s.', target),
                  case when time_type = 'timestamp without time zone' then
                      format(e'\nIts times are read as those of %s; if they are another zone''s, detach it, and attach it with that.',
                             attach_interactions.time_zone) end,
                  aisle._check_item_ids('interactions', target, item_id, accept_item_ids), missing_indexes);
end
$function$;

comment on function aisle.attach_interactions(text, text, text, text, text, text[], text, text, text, boolean) is
    'Points Aisle at the shop''s table of views, ratings, visits or purchases. context_columns: what was known of the situation, '
    'such as the meal. time_zone: for hours and weekdays. review: the text that a user wrote. rating: what the user gave, as a '
    'number, a yes or no, or a word. accept_item_ids: attach although fewer than half of the rows are about an attached item.';
