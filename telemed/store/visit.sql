-- Locks are taken in the order station, consultation, ticket, seat.

-- name: room_key
select consultation.room_key_wrapped, patient.key_wrapped
from consultation join patient on patient.id = consultation.patient_id where consultation.id = $1

-- name: room_key_keep
update consultation set room_key_wrapped = $2 where id = $1

-- name: consultation_hold
select state from consultation where id = $1 for no key update

-- name: ticket_create
-- Valid to the end of the appointment's day where the organisation is, and at least so many seconds from its begin, to
-- its end, and so many seconds from now: a patient that comes on another day is received all the same.
insert into ticket (id, organisation_id, consultation_id, role, token_hash, name_sealed, language, created_by, expires_at)
select $1, consultation.organisation_id, consultation.id, $3, $4, $5, $6, $7,
       case when consultation.scheduled_at is null then now() + make_interval(secs => $8)
       else greatest((date_trunc('day', consultation.scheduled_at at time zone organisation.zone) + interval '1 day')
                     at time zone organisation.zone,
                     consultation.scheduled_at + make_interval(secs => $9),
                     consultation.scheduled_at + make_interval(mins => consultation.minutes),
                     now() + make_interval(secs => $9)) end
from consultation join organisation on organisation.id = consultation.organisation_id where consultation.id = $2
returning id, consultation_id, role, name_sealed, language, created_by, created_at, expires_at, revoked_at

-- name: ticket_follow
update ticket
set expires_at = greatest((date_trunc('day', consultation.scheduled_at at time zone organisation.zone)
                           + interval '1 day') at time zone organisation.zone,
                          consultation.scheduled_at + make_interval(secs => $2),
                          consultation.scheduled_at + make_interval(mins => consultation.minutes))
from consultation join organisation on organisation.id = consultation.organisation_id
where consultation.id = $1 and ticket.consultation_id = $1 and consultation.scheduled_at is not null
  and ticket.revoked_at is null

-- name: ticket_count
select count(*) from ticket where consultation_id = $1 and revoked_at is null

-- name: ticket_list
-- Of more than are listed, the valid ones: they are the ones that can be taken back.
select * from (
  select id, consultation_id, role, name_sealed, language, created_by, created_at, expires_at, revoked_at
  from ticket where consultation_id = $1 order by revoked_at is not null, created_at desc, id limit $2
) listed order by created_at, id

-- name: ticket_find
select ticket.id, ticket.organisation_id, ticket.consultation_id, ticket.role, ticket.name_sealed, ticket.language,
       ticket.expires_at, ticket.expires_at <= now() as expired, ticket.revoked_at,
       consultation.state, consultation.patient_id, consultation.scheduled_at, consultation.minutes,
       now() as server_now, consultation.scheduled_at - make_interval(secs => $2) as arrives_from,
       organisation.name as organisation_name, organisation.phone as organisation_phone,
       account.name as clinician_name
from ticket
join consultation on consultation.id = ticket.consultation_id
join organisation on organisation.id = ticket.organisation_id
left join account on account.id = consultation.clinician_id
where ticket.token_hash = $1

-- name: ticket_lock
select revoked_at from ticket where id = $1 for update

-- name: ticket_revoke
update ticket set revoked_at = coalesce(revoked_at, now()) where id = $1 and consultation_id = $2
returning id, consultation_id, role, name_sealed, language, created_by, created_at, expires_at, revoked_at

-- name: ticket_seats_remove
update seat set state = 'removed', decided_at = now(), decided_by = $2
where ticket_id = $1 and state in ('waiting', 'admitted', 'left') returning id

-- name: seat_find
select seat.id, seat.organisation_id, seat.consultation_id, seat.ticket_id, ticket.role, seat.device, seat.state,
       seat.language, seat.proof_hash, ticket.expires_at, ticket.expires_at <= now() as expired,
       ticket.revoked_at is not null as revoked, consultation.state as consultation_state
from seat
join ticket on ticket.id = seat.ticket_id
join consultation on consultation.id = seat.consultation_id
where seat.id = $1 and seat.proof_hash = $2

-- name: seat_of_browser
select id, device, state, decided_at, proof_hash from seat
where ticket_id = $1 and proof_hash = any($2::bytea[]) order by device

-- name: seat_devices
select coalesce(max(device), 0) from seat where ticket_id = $1

-- name: seat_create
insert into seat (id, organisation_id, consultation_id, ticket_id, device, proof_hash, name_sealed, language, state)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting')

-- name: seat_back
-- What left comes back as what it was; a name can be put right until somebody was let in by it.
update seat
set state = case when state <> 'left' then state when decided_at is null then 'waiting' else 'admitted' end,
    language = $3, name_sealed = case when decided_at is null then coalesce($2, name_sealed) else name_sealed end
where id = $1

-- name: seat_list
-- Of more than are listed, those who are in the room or at its door.
select * from (
  select seat.id, seat.ticket_id, ticket.role, seat.device, seat.state, seat.name_sealed, seat.language, seat.joined_at,
         ticket.name_sealed as ticket_name_sealed
  from seat join ticket on ticket.id = seat.ticket_id
  where seat.consultation_id = $1
  order by seat.state not in ('waiting', 'admitted'), seat.joined_at desc, seat.id limit $2
) listed order by joined_at, id

-- name: seat_lock
select state, decided_at from seat where id = $1 and consultation_id = $2 for update

-- name: seat_decide
update seat set state = $2, decided_at = now(), decided_by = $3 where id = $1

-- name: seat_leave
update seat set state = 'left' where id = $1 and state in ('waiting', 'admitted')

-- name: seat_admit_patients
update seat set state = 'admitted', decided_at = now(), decided_by = $2
from ticket
where ticket.id = seat.ticket_id and seat.consultation_id = $1 and ticket.role = 'patient' and seat.device = 1
  and seat.state = 'waiting' and ticket.revoked_at is null and ticket.expires_at > now()
returning seat.id

-- name: visit
select seat.id as seat_id, seat.consultation_id, ticket.role, seat.device, seat.state as seat_state, seat.language,
       seat.name_sealed, ticket.id as ticket_id, ticket.name_sealed as ticket_name_sealed,
       consultation.state, consultation.scheduled_at, consultation.minutes, consultation.vitals_shared,
       case when consultation.state in ('live', 'interrupted') then consultation.recording_since end as recording_since,
       consultation.phone_since, consultation.place_sealed, now() as server_now,
       consultation.scheduled_at - make_interval(secs => $2) as arrives_from,
       organisation.name as organisation_name, organisation.phone as organisation_phone,
       account.name as clinician_name,
       coalesce((
         select said.given
         from (select consultation.patient_id as id
               union all select merged.id from patient merged where merged.merged_into = consultation.patient_id) who
         cross join lateral (select id, given from consent_event where patient_id = who.id and purpose = 'care'
                             order by id desc limit 1) said
         order by said.id desc limit 1), false) as consent,
       case when consultation.state = 'waiting' then
         (select count(*) from consultation other
          where other.organisation_id = consultation.organisation_id and other.state = 'waiting'
            and other.id <> consultation.id
            and (other.clinician_id is null or other.clinician_id = consultation.clinician_id)
            and (other.waiting_at, other.id) < (consultation.waiting_at, consultation.id))
       end as position
from seat
join ticket on ticket.id = seat.ticket_id
join consultation on consultation.id = seat.consultation_id
join organisation on organisation.id = consultation.organisation_id
left join account on account.id = consultation.clinician_id
where seat.id = $1

-- name: place_read
select place_sealed from consultation where id = $1

-- name: place_write
update consultation set place_sealed = $2 where id = $1
