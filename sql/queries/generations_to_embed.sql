-- The generations of a task whose vectors the workers keep current: those that are ready, live or not, and those that are being filled.
select model_id from aisle._models where task = %(task)s and state in ('filling', 'ready') order by model_id
