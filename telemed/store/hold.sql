-- Statements of legal holds.

-- name: hold_place
insert into legal_hold (id, organisation_id, patient_id, reason_sealed, placed_by) values ($1, $2, $3, $4, $5)
returning id, patient_id, reason_sealed, placed_by, placed_at, lifted_by, lifted_at

-- name: hold_lift
update legal_hold set lifted_by = $3, lifted_at = now() where id = $1 and patient_id = $2 and lifted_at is null

-- name: hold_list
select id, patient_id, reason_sealed, placed_by, placed_at, lifted_by, lifted_at
  from legal_hold where patient_id = $1 order by placed_at desc, id limit $2

-- name: hold_get
select lifted_at from legal_hold where id = $1 and patient_id = $2

-- name: held
select 1 from legal_hold where patient_id = $1 and lifted_at is null limit 1

-- name: hold_key
select key_wrapped from patient where id = $1 for update
