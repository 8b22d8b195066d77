-- name: unvisited
-- What was measured and belongs to no visit, newest first: over, and with a stream.
select attachment.id, attachment.station_id, attachment.patient_id, attachment.opened_at, attachment.closed_at,
       attachment.closed_reason, station.name as station_name, station.place as station_place,
       patient.sealed, patient.key_wrapped
  from attachment
  join station on station.id = attachment.station_id
  join patient on patient.id = attachment.patient_id
 where attachment.organisation_id = $1 and attachment.consultation_id is null and attachment.closed_at is not null
   and exists (select 1 from stream where stream.attachment_id = attachment.id)
 order by attachment.opened_at desc limit $2

-- name: visit_of_interval
-- A visit that is over from the start: nobody was there but the patient and the station.
insert into consultation (id, organisation_id, station_id, patient_id, clinician_id, state, walk_in, waiting_at,
                          ended_at)
values ($1, $2, $3, $4, $5, 'ended', true, $6, $7)

-- name: claim
update attachment set consultation_id = $2
 where id = $1 and consultation_id is null and closed_at is not null
returning id
