create or replace view aisle.experiments as
select e.experiment_id, e.task, e.measure, e.users, a.arm ->> 'features' as features, (a.arm ->> 'mean')::float8 as mean,
       (a.arm ->> 'sd')::float8 as sd, (a.arm ->> 'difference')::float8 as difference, (a.arm ->> 'p')::float8 as p,
       a.arm ->> 'verdict' as verdict, e.created_at
from aisle._experiments e, jsonb_array_elements(e.arms) with ordinality a (arm, place)
order by e.experiment_id, a.place;

comment on view aisle.experiments is
    'Sets of features that were compared: mean and standard deviation over seeds, the difference from the first set, its p-value '
    '(paired bootstrap over users), and the verdict.';
