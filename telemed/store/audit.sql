-- name: append
insert into audit_event (organisation_id, actor_kind, actor_id, action, outcome, object_kind, object_id,
                         patient_id, detail)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)

-- name: list
-- A list that disclosed several patients is one row, with their ids in detail.
select id, at, actor_kind, actor_id, action, outcome, object_kind, object_id, patient_id, detail
from audit_event
where organisation_id = $1 and ($2::uuid is null or patient_id = $2 or detail -> 'patients' ? $2::text) and id < $3
order by id desc limit $4

-- name: of_station
select id, at, actor_kind, actor_id, action, outcome, object_kind, object_id, patient_id, detail
from audit_event
where organisation_id = $1
  and ((actor_kind = 'station' and actor_id = $2) or (object_kind = 'station' and object_id = $2))
  and id < $3
order by id desc limit $4
