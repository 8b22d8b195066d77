-- name: patient_create
insert into patient (id, organisation_id, sealed, key_wrapped, provisional) values ($1, $2, $3, $4, $5)
returning id, organisation_id, sealed, key_wrapped, provisional, created_at, key_destroyed_at, merged_into

-- name: patient_list
select id, organisation_id, sealed, key_wrapped, provisional, created_at, key_destroyed_at, merged_into
from patient where organisation_id = $1 and merged_into is null order by created_at desc, id limit $2

-- name: patient_search
-- The next batch after ($2, $3), newest first, of those whose names can be read.
select id, organisation_id, sealed, key_wrapped, provisional, created_at, key_destroyed_at, merged_into
from patient where organisation_id = $1 and key_wrapped is not null
  and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
order by created_at desc, id desc limit $4

-- name: patient_get
select id, organisation_id, sealed, key_wrapped, provisional, created_at, key_destroyed_at, merged_into
from patient where id = $1

-- name: patient_lock
select id from patient where id = $1 for update

-- name: patient_attached
select 1 from attachment where patient_id = $1 and closed_at is null limit 1

-- name: patient_destroy_key
update patient set key_wrapped = null, sealed = null, key_destroyed_at = now()
where id = $1 and key_wrapped is not null

-- name: consent_record
insert into consent_event (organisation_id, patient_id, consultation_id, purpose, given, version, language, given_by,
                           witness_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
returning id, consultation_id, purpose, given, version, language, given_by, witness_id, at

-- name: consent_list
select id, consultation_id, purpose, given, version, language, given_by, witness_id, at
from consent_event
where patient_id = $1 or patient_id in (select id from patient where merged_into = $1) order by id desc limit $2

-- name: attachment_current
select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
from attachment where station_id = $1 and closed_at is null

-- name: attachment_get
select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
from attachment where id = $1

-- name: attachment_list
select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
from attachment where station_id = $1 order by opened_at desc limit $2

-- name: attachment_moment
-- Not before the station's last interval ended, should the server's clock have been set back.
select greatest($2::timestamptz, max(closed_at), max(opened_at)) from attachment where station_id = $1

-- name: attachment_open
insert into attachment (id, organisation_id, station_id, patient_id, consultation_id, opened_at, opened_by)
values ($1, $2, $3, $4, $5, $6, $7)
returning id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason

-- name: attachment_around
-- The last that began before $2, and the first that began then or after.
(select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
 from attachment where station_id = $1 and opened_at < $2 order by opened_at desc limit 1)
union all
(select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
 from attachment where station_id = $1 and opened_at >= $2 order by opened_at limit 1)

-- name: attachment_place
insert into attachment (id, organisation_id, station_id, patient_id, opened_at, closed_at, closed_reason)
values ($1, $2, $3, $4, $5, $6, $7)
returning id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason

-- name: attachment_close
update attachment set closed_at = greatest($2, opened_at), closed_by = $3, closed_reason = $4
where id = $1 and closed_at is null
returning id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason

-- name: attachment_join
-- An open interval of the same patient becomes the consultation's.
update attachment set consultation_id = $3
where station_id = $1 and patient_id = $2 and closed_at is null and consultation_id is null

-- name: attachment_of_consultation
select id, organisation_id, station_id, patient_id, consultation_id, opened_at, closed_at, closed_reason
from attachment where consultation_id = $1 and closed_at is null

-- name: attachment_key
select patient.key_wrapped from attachment join patient on patient.id = attachment.patient_id where attachment.id = $1

-- name: merge_hold_attachments
-- Whoever announces a stream under one of them holds it too (vitals.sql: hold_attachment).
select id, closed_at from attachment where patient_id = $1 order by id for update

-- name: merge_hold_consultations
select id, state, room_key_wrapped from consultation where patient_id = $1 order by id for update

-- name: merge_streams
select stream.id, stream.key_wrapped from stream join attachment on attachment.id = stream.attachment_id
where attachment.patient_id = $1 and stream.id > $2 order by stream.id limit $3

-- name: merge_streams_write
update stream set key_wrapped = fresh.key from unnest($1::int[], $2::bytea[]) as fresh(id, key)
where stream.id = fresh.id

-- name: merge_files
select shared_file.id, shared_file.key_wrapped from shared_file
join consultation on consultation.id = shared_file.consultation_id
where consultation.patient_id = $1 and shared_file.id > $2 order by shared_file.id limit $3

-- name: merge_files_write
update shared_file set key_wrapped = fresh.key from unnest($1::uuid[], $2::bytea[]) as fresh(id, key)
where shared_file.id = fresh.id

-- name: merge_recordings
select recording.id, recording.key_wrapped from recording
join consultation on consultation.id = recording.consultation_id
where consultation.patient_id = $1 and recording.id > $2 order by recording.id limit $3

-- name: merge_recordings_write
update recording set key_wrapped = fresh.key from unnest($1::uuid[], $2::bytea[]) as fresh(id, key)
where recording.id = fresh.id

-- name: merge_rooms_write
update consultation set room_key_wrapped = fresh.key from unnest($1::uuid[], $2::bytea[]) as fresh(id, key)
where consultation.id = fresh.id

-- name: merge_attachments
update attachment set patient_id = $2 where patient_id = $1

-- name: merge_consultations
update consultation set patient_id = $2 where patient_id = $1

-- name: merge_earlier
-- Those merged into the one that goes now belong to the same person: one step leads to who it is.
update patient set merged_into = $2 where merged_into = $1

-- name: merge_done
update patient set merged_into = $2, merged_at = now(), key_wrapped = null, sealed = null, key_destroyed_at = now()
where id = $1
