-- name: create
insert into consultation (id, organisation_id, station_id, patient_id, clinician_id, state, waiting_at)
values ($1, $2, $3, $4, $5, $6, now())

-- name: get
select consultation.id, consultation.organisation_id, consultation.station_id, consultation.patient_id,
       consultation.clinician_id, consultation.state, consultation.created_at, consultation.waiting_at,
       consultation.live_at, consultation.ended_at, station.name as station_name, station.place as station_place,
       account.name as clinician_name, patient.sealed, patient.key_wrapped, attachment.id as attachment_id
from consultation
join station on station.id = consultation.station_id
join patient on patient.id = consultation.patient_id
left join account on account.id = consultation.clinician_id
left join attachment on attachment.consultation_id = consultation.id and attachment.closed_at is null
where consultation.id = $1

-- name: list
select consultation.id, consultation.organisation_id, consultation.station_id, consultation.patient_id,
       consultation.clinician_id, consultation.state, consultation.created_at, consultation.waiting_at,
       consultation.live_at, consultation.ended_at, station.name as station_name, station.place as station_place,
       account.name as clinician_name, patient.sealed, patient.key_wrapped, attachment.id as attachment_id
from consultation
join station on station.id = consultation.station_id
join patient on patient.id = consultation.patient_id
left join account on account.id = consultation.clinician_id
left join attachment on attachment.consultation_id = consultation.id and attachment.closed_at is null
where consultation.organisation_id = $1 and ($2::text is null or consultation.state = $2)
  and ($3::uuid is null or consultation.clinician_id is null or consultation.clinician_id = $3)
order by consultation.created_at desc, consultation.id limit $4

-- name: lock
select state, station_id from consultation where id = $1 for update

-- name: state
update consultation set state = $2, clinician_id = coalesce(clinician_id, $3),
  live_at = case when $2 = 'live' then coalesce(live_at, now()) else live_at end,
  ended_at = case when $2 = 'ended' then coalesce(ended_at, now()) else ended_at end
where id = $1

-- name: live_at_station
select id, state from consultation where station_id = $1 and state in ('live', 'interrupted')
order by live_at desc limit 1

-- name: current_at_station
select id, state from consultation where station_id = $1 and state in ('waiting', 'live', 'interrupted')
order by (state <> 'waiting') desc, created_at limit 1
