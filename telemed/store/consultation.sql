-- name: shown
-- A consultation with what its pages show; `one` or `listed` follows.
select consultation.id, consultation.organisation_id, consultation.station_id, consultation.patient_id,
       consultation.clinician_id, consultation.state, consultation.created_at, consultation.scheduled_at,
       consultation.waiting_at, consultation.live_at, consultation.ended_at, consultation.signed_at,
       consultation.minutes, consultation.moved, consultation.walk_in, consultation.vitals_shared,
       consultation.phone_since, station.name as station_name, station.place as station_place,
       case when consultation.state in ('live', 'interrupted') then consultation.recording_since end as recording_since,
       account.name as clinician_name, patient.sealed, patient.key_wrapped, attachment.id as attachment_id,
       seconds.ids as second_ids, seconds.names as second_names, care.given as care_consent, recorded.given as recording_consent,
       (select count(*) from seat join ticket on ticket.id = seat.ticket_id
         where seat.consultation_id = consultation.id and seat.state = 'waiting'
           and ticket.revoked_at is null and ticket.expires_at > now()) as guests_waiting
from consultation
join patient on patient.id = consultation.patient_id
left join station on station.id = consultation.station_id
left join account on account.id = consultation.clinician_id
left join attachment on attachment.consultation_id = consultation.id and attachment.closed_at is null
left join lateral (
  select array_agg(second.id order by participation.invited_at, second.id) as ids,
         array_agg(second.name order by participation.invited_at, second.id) as names
  from participation join account second on second.id = participation.account_id
  where participation.consultation_id = consultation.id and participation.ended_at is null
) seconds on true
left join lateral (
  -- The last word of the patient, or of whoever was merged into it.
  select said.given
  from (select patient.id union all select merged.id from patient merged where merged.merged_into = patient.id) who
  cross join lateral (
    select consent_event.id, consent_event.given from consent_event
    where consent_event.patient_id = who.id and consent_event.purpose = 'care' order by consent_event.id desc limit 1
  ) said
  order by said.id desc limit 1
) care on true
left join lateral (
  select said.given
  from (select patient.id union all select merged.id from patient merged where merged.merged_into = patient.id) who
  cross join lateral (
    select consent_event.id, consent_event.given from consent_event
    where consent_event.patient_id = who.id and consent_event.purpose = 'recording'
    order by consent_event.id desc limit 1
  ) said
  order by said.id desc limit 1
) recorded on true

-- name: one
where consultation.id = $1

-- name: listed
where consultation.organisation_id = $1 and ($2::text is null or consultation.state = $2)
  and ($3::uuid is null or consultation.clinician_id is null or consultation.clinician_id = $3
       or exists (select from participation where participation.consultation_id = consultation.id
                  and participation.account_id = $3 and participation.ended_at is null))
  and ($4::timestamptz is null or coalesce(consultation.scheduled_at, consultation.created_at) >= $4)
  and ($5::timestamptz is null or coalesce(consultation.scheduled_at, consultation.created_at) < $5)
order by consultation.created_at desc, consultation.id limit $6

-- name: create
insert into consultation (id, organisation_id, station_id, patient_id, clinician_id, state, walk_in, scheduled_at,
                          minutes, waiting_at)
values ($1, $2, $3, $4, $5, $6, $7::timestamptz is null, $7, $8, case when $6 = 'waiting' then now() end)

-- name: station_of
select station_id from consultation where id = $1

-- name: lock
-- Of stations, consultations, tickets and seats in this order; what only refers to the row goes on.
select id from consultation where id = $1 for no key update

-- name: state
update consultation set state = $2,
  waiting_at = case when $2 = 'waiting' then coalesce(waiting_at, now()) else waiting_at end,
  live_at = case when $2 = 'live' then coalesce(live_at, now()) else live_at end,
  ended_at = case when $2 = 'ended' then coalesce(ended_at, now()) else ended_at end,
  signed_at = case when $2 = 'signed' then coalesce(signed_at, now()) else signed_at end
where id = $1

-- name: assign
update consultation set clinician_id = $2 where id = $1

-- name: move
update consultation set scheduled_at = $2, minutes = $3, moved = moved + 1 where id = $1

-- name: phone
update consultation set phone_since = case when $2 then coalesce(phone_since, now()) end where id = $1

-- name: share_vitals
update consultation set vitals_shared = $2 where id = $1

-- name: live_at_station
select id, state from consultation where station_id = $1 and state in ('live', 'interrupted')
order by live_at desc limit 1

-- name: current_at_station
select id, state from consultation where station_id = $1 and state in ('waiting', 'live', 'interrupted')
order by (state <> 'waiting') desc, created_at limit 1

-- name: under_way
select id, state, clinician_id, station_id, phone_since from consultation
where state in ('live', 'interrupted') order by live_at desc limit $1

-- name: invite
insert into participation (consultation_id, account_id, organisation_id, invited_by) values ($1, $2, $3, $4)
on conflict (consultation_id, account_id) do update
  set ended_at = null,
      invited_by = case when participation.ended_at is null then participation.invited_by else excluded.invited_by end,
      invited_at = case when participation.ended_at is null then participation.invited_at else now() end

-- name: invitation_end
update participation set ended_at = coalesce(ended_at, now()) where consultation_id = $1 and account_id = $2
returning account_id

-- name: colleagues
select id, name from account
where organisation_id = $1 and disabled_at is null and 'clinician' = any(roles) order by lower(name), id limit $2
