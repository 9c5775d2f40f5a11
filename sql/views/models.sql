create or replace view aisle.models as
select m.model_id, m.task, case when l.model_id is null then m.state else 'live' end as state, m.encoder, m.dimensions,
       m.metrics, m.parameters, m.data, m.environment, m.created_at, l.deployed_at, m.passed_gate, m.verdict
from aisle._models m
left join aisle._live_models l using (model_id);

comment on view aisle.models is
    'Every trained model: its state (loading, filling, ready, live, failed), held-out metrics, parameters, data fingerprint and '
    'library versions, and whether it was better than the models that it was compared with.';
