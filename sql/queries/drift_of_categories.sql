-- How far the items have drifted from those that a category model learned from. Three numbers: the share of vectors that were made since
-- then; half the sum of the differences between the categories' shares then and now, without categories of few rows; and the mean
-- confidence on held-out items minus that on items embedded since, if there are at least 30 of these.
with model as (
    select m.model_id, coalesce((m.environment ->> 'finished_at')::timestamptz, m.created_at) as finished_at,
           coalesce((m.parameters -> 'options' ->> 'min_rows')::integer, 1) as min_rows
    from aisle._models m where m.model_id = %(model_id)s
), learned as (
    select c.category, c.support::float8 / sum(c.support) over () as share
    from aisle.category_vectors c join model m using (model_id)
), now as (
    select g.category, g.rows / sum(g.rows) over () as share
    from (select i.category, count(*) as rows from aisle._items i where i.category <> '' and not exists (  -- as in training
              select from aisle._applied_categories own
              where own.item_id = i.item_id and own.category = i.category and own.confirmed_at is null)
          group by i.category) g
    join model m on g.rows >= m.min_rows
), later as (
    select p.confidence
    from aisle._item_predictions p
    join model m using (model_id)
    join aisle.item_vectors v on v.model_id = m.model_id and v.item_id = p.item_id and v.embedded_at > m.finished_at
)
select (select count(*) filter (where v.embedded_at > m.finished_at)::float8 / greatest(count(*), 1)
        from model m join aisle.item_vectors v using (model_id)),
       (select coalesce(sum(abs(coalesce(l.share, 0) - coalesce(n.share, 0))), 0)::float8 / 2
        from learned l full join now n using (category)),
       (select avg(h.confidence) from aisle._heldout_predictions h join model m using (model_id))
           - (select case when count(*) >= 30 then avg(l.confidence) end from later l)
