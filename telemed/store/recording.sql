-- Statements of recordings.

-- name: consent
-- The last word on recording of the patient, or of whoever was merged into it.
select coalesce((
  select said.given
    from (select c.patient_id as id
          union all select merged.id from patient merged where merged.merged_into = c.patient_id) who
    cross join lateral (select id, given from consent_event where patient_id = who.id and purpose = 'recording'
                        order by id desc limit 1) said
   order by said.id desc limit 1), false) as given
  from consultation c where c.id = $1

-- name: switch
update consultation set recording_since = case when $2 then coalesce(recording_since, now()) end where id = $1

-- name: switch_off_of_patient
-- Whose consent was withdrawn: every consultation of theirs.
update consultation set recording_since = null where patient_id = $1 and recording_since is not null returning id

-- name: switched_on
select id from consultation where recording_since is not null and state in ('live', 'interrupted')

-- name: held
-- What a consultation's recordings hold already.
select count(*) as recordings,
       coalesce((select sum(p.bytes) from recording_part p join recording r on r.id = p.recording_id
                  where r.consultation_id = $1), 0)::bigint as bytes
  from recording where consultation_id = $1

-- name: begin
-- Nothing is begun once it was switched off.
insert into recording (id, organisation_id, consultation_id, participant, by_role, source_name, station_id,
                       clock_source, came_at, began_us, torn, width, height, sound, unshown, key_wrapped)
select $1, c.organisation_id, c.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
  from consultation c where c.id = $2 and c.recording_since is not null
returning id

-- name: part
-- Nothing is added once it was switched off, but what was sent before ($9).
insert into recording_part (recording_id, n, first_ms, until_ms, whole, bytes, nonce, sealed)
select r.id, $2, $3, $4, $5, $6, $7, $8
  from recording r join consultation c on c.id = r.consultation_id
 where r.id = $1 and (c.recording_since is not null or $9)
on conflict do nothing returning n

-- name: learn
update recording set clock_source = $2, began_us = $3, torn = $4, width = $5, height = $6, sound = $7, unshown = $8
 where id = $1

-- name: end
update recording set ended_at = now(), ended_why = $2 where id = $1 and ended_at is null

-- name: end_cut
-- The server that made them was killed.
update recording r set ended_why = 'cut', ended_at = r.came_at + make_interval(secs => coalesce(
         (select max(p.until_ms) from recording_part p where p.recording_id = r.id), 0) / 1000.0)
 where ended_at is null

-- name: listed
select r.*, p.key_wrapped as patient_key, parts.until_ms, parts.bytes, parts.parts
  from recording r
  join consultation c on c.id = r.consultation_id
  join patient p on p.id = c.patient_id
  cross join lateral (select max(q.until_ms) as until_ms, coalesce(sum(q.bytes), 0)::bigint as bytes, count(*) as parts
                        from recording_part q where q.recording_id = r.id) parts
 where r.consultation_id = $1 order by r.came_at, r.id

-- name: one
-- A recording's key and the key that wraps it are of one statement: merging patients changes both.
select r.*, p.key_wrapped as patient_key
  from recording r join consultation c on c.id = r.consultation_id join patient p on p.id = c.patient_id
 where r.id = $1

-- name: parts
select n, first_ms, until_ms, whole, bytes from recording_part where recording_id = $1 order by n

-- name: part_bytes
select nonce, sealed from recording_part where recording_id = $1 and n = $2

-- name: fixes
select source, station_id, at, offset_us, error_us from clock_fix where source = any($1::uuid[]) order by source, at
