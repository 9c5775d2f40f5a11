-- The vector tables in which a model of a task has a partition.
create or replace function aisle._vector_tables(task text) returns text[]
language sql stable parallel safe
begin atomic
    select t.vector_tables from aisle._tasks t where t.task = _vector_tables.task;
end;
