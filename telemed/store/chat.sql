-- Statements of the room: who may be in it, its chat and its files, and what waits for whom.

-- name: room
select c.id, c.organisation_id, c.patient_id, c.station_id, c.clinician_id, c.state, c.vitals_shared, c.chat_lines,
       s.name as station_name, a.name as clinician_name, p.key_wrapped is null as key_destroyed,
       array(select t.id from attachment t where t.consultation_id = c.id order by t.opened_at) as attachments,
       array(select i.account_id from participation i
              where i.consultation_id = c.id and i.ended_at is null order by i.invited_at, i.account_id) as seconds,
       array(select n.name from participation i join account n on n.id = i.account_id
              where i.consultation_id = c.id and i.ended_at is null order by i.invited_at, i.account_id) as second_names
  from consultation c
  join patient p on p.id = c.patient_id
  left join station s on s.id = c.station_id
  left join account a on a.id = c.clinician_id
 where c.id = $1

-- name: room_hold
-- Lines get their numbers one after the other. Whoever only refers to the consultation is not held up.
select id from consultation where id = $1 for no key update

-- name: account_names
select id, name from account where id = any($1::uuid[])

-- name: account_name
select name from account where id = $1

-- name: patient_key
select p.key_wrapped from consultation c join patient p on p.id = c.patient_id where c.id = $1

-- name: line_known
-- Here and below a file's key and the key that wraps it are of one statement: merging changes both.
select l.n, l.line, l.at, l.author_kind, l.author_id, l.author_role, l.sealed, l.file_id,
       f.media_type, f.bytes, f.key_wrapped as file_key, f.meta_sealed, p.key_wrapped as patient_key
  from chat_line l
  join consultation c on c.id = l.consultation_id
  join patient p on p.id = c.patient_id
  left join shared_file f on f.id = l.file_id
 where l.consultation_id = $1 and l.author_id = $2 and l.line = $3

-- name: lines_after
select l.n, l.line, l.at, l.author_kind, l.author_id, l.author_role, l.sealed, l.file_id,
       f.media_type, f.bytes, f.key_wrapped as file_key, f.meta_sealed, p.key_wrapped as patient_key
  from chat_line l
  join consultation c on c.id = l.consultation_id
  join patient p on p.id = c.patient_id
  left join shared_file f on f.id = l.file_id
 where l.consultation_id = $1 and l.n > $2 order by l.n limit $3

-- name: line_number
update consultation set chat_lines = chat_lines + 1 where id = $1 returning chat_lines

-- name: line_append
insert into chat_line (consultation_id, n, organisation_id, line, author_kind, author_id, author_role, sealed, file_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning at

-- name: files_held
select count(*) as files, coalesce(sum(bytes), 0)::bigint as bytes from shared_file where consultation_id = $1

-- name: file_insert
insert into shared_file (id, organisation_id, consultation_id, author_kind, author_id, media_type, bytes, key_wrapped,
                         meta_sealed)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: file_part_insert
insert into shared_file_part (file_id, n, nonce, sealed) values ($1, $2, $3, $4)

-- name: file_find
select f.id, f.media_type, f.bytes, f.key_wrapped as file_key, f.meta_sealed, p.key_wrapped as patient_key
  from shared_file f
  join consultation c on c.id = f.consultation_id
  join patient p on p.id = c.patient_id
 where f.consultation_id = $1 and f.id = $2

-- name: file_part
select nonce, sealed from shared_file_part where file_id = $1 and n = $2

-- name: notices
-- Waiting consultations ($2: of this clinician or of nobody; null: all), and seats at the door of this clinician's.
-- The first browser of a patient's ticket is let in with its waiting consultation and is not named twice.
select c.id as consultation_id, 'visit' as kind, 'patient' as role, c.waiting_at as since, s.name as station_name,
       p.id as patient_id, p.sealed, p.key_wrapped
  from consultation c join patient p on p.id = c.patient_id left join station s on s.id = c.station_id
 where c.organisation_id = $1 and c.state = 'waiting'
   and ($2::uuid is null or c.clinician_id is null or c.clinician_id = $2)
union all
select c.id, 'seat', t.role, min(e.joined_at), s.name, p.id, p.sealed, p.key_wrapped
  from seat e join ticket t on t.id = e.ticket_id
  join consultation c on c.id = e.consultation_id
  join patient p on p.id = c.patient_id left join station s on s.id = c.station_id
 where c.organisation_id = $1 and $3::uuid is not null and e.state = 'waiting' and t.revoked_at is null
   and t.expires_at > now() and c.state in ('waiting', 'live', 'interrupted')
   and not (c.state = 'waiting' and t.role = 'patient' and e.device = 1)
   and (c.clinician_id = $3 or exists (select 1 from participation i
         where i.consultation_id = c.id and i.account_id = $3 and i.ended_at is null))
 group by e.id, c.id, t.role, s.name, p.id
 order by since, consultation_id limit $4
