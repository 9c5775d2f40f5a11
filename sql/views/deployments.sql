create or replace view aisle.deployments as
select d.deployment_id, d.task, d.model_id, d.deployed_at, d.deployed_by, d.rolled_back_at,
       l.model_id is not null as is_live
from aisle._deployments d
left join aisle._live_models l on l.task = d.task and l.model_id = d.model_id and l.deployed_at = d.deployed_at;

comment on view aisle.deployments is 'Which model answered for which task, from when, and whether it was rolled back.';
