-- The model that answers for each task.
create or replace view aisle._live_models as
select distinct on (d.task) d.task, d.model_id, d.deployed_at
from aisle._deployments d
where d.rolled_back_at is null
order by d.task, d.deployment_id desc;
