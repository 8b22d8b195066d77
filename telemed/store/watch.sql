-- What is asked once a second for every open page together. Only whether an answer changed matters.

-- name: proofs_now
select token_hash as proof, (account.id, account.roles, account.language)::text as now
  from sign_in join account on account.id = sign_in.account_id
 where token_hash = any($1::bytea[]) and ended_at is null and expires_at > now()
   and seen_at > now() - make_interval(secs => $2) and account.disabled_at is null
union all
select seat.proof_hash, (seat.state, seat.device, ticket.role, ticket.expires_at <= now(), ticket.revoked_at)::text
  from seat join ticket on ticket.id = seat.ticket_id
 where seat.proof_hash = any($1::bytea[])

-- name: rooms_now
select c.id, (c.state, c.vitals_shared, c.chat_lines, c.station_id, c.clinician_id, p.key_wrapped is null,
              array(select t.id from attachment t where t.consultation_id = c.id order by t.opened_at),
              array(select i.account_id from participation i
                     where i.consultation_id = c.id and i.ended_at is null order by i.account_id))::text as now
  from consultation c join patient p on p.id = c.patient_id
 where c.id = any($1::uuid[])
