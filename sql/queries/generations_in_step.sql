-- The generations of a task whose vectors are kept in step with the rows: those that answer or are ready to, and those
-- that are being filled.
select model_id from aisle._models where task = %(task)s and state in ('filling', 'ready') order by model_id
