-- name: organisation_create
insert into organisation (id, name, zone) values ($1, $2, $3)

-- name: organisation_list
select id, name, zone, phone from organisation order by created_at, id limit $1

-- name: organisation_get
select id, name, zone, phone from organisation where id = $1

-- name: organisation_phone
update organisation set phone = $2 where id = $1 returning id, name, zone, phone

-- name: account_create
insert into account (id, organisation_id, login, name, password_hash, roles, language)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
returning id, organisation_id, login, name, roles, language, created_at, disabled_at

-- name: account_list
select id, organisation_id, login, name, roles, language, created_at, disabled_at
from account where organisation_id = $1 order by lower(name), id limit $2

-- name: account_get
select id, organisation_id, login, name, roles, language, created_at, disabled_at from account where id = $1

-- name: account_by_login
select id, organisation_id, login, name, roles, language, created_at, disabled_at, password_hash
from account where lower(login) = lower($1)

-- name: account_disable
update account set disabled_at = coalesce(disabled_at, now()) where id = $1
returning id, organisation_id, login, name, roles, language, created_at, disabled_at

-- name: account_administrators
select id from account
where organisation_id = $1 and disabled_at is null and 'administrator' = any(roles) for update

-- name: account_language
update account set language = $2 where id = $1
returning id, organisation_id, login, name, roles, language, created_at, disabled_at

-- name: sign_in_open
insert into sign_in (token_hash, account_id, expires_at) values ($1, $2, now() + make_interval(secs => $3))

-- name: sign_in_find
select account.id, account.organisation_id, account.login, account.name, account.roles, account.language,
       account.created_at, account.disabled_at,
       sign_in.seen_at < now() - make_interval(secs => $3) as stale
from sign_in join account on account.id = sign_in.account_id
where sign_in.token_hash = $1 and sign_in.ended_at is null and sign_in.expires_at > now()
  and sign_in.seen_at > now() - make_interval(secs => $2) and account.disabled_at is null

-- name: proofs_alive
select token_hash as proof from sign_in join account on account.id = sign_in.account_id
where token_hash = any($1::bytea[]) and ended_at is null and expires_at > now()
  and seen_at > now() - make_interval(secs => $2) and account.disabled_at is null
union all
select key_hash from station_key where key_hash = any($1::bytea[]) and revoked_at is null
union all
select seat.proof_hash from seat
join ticket on ticket.id = seat.ticket_id
join consultation on consultation.id = seat.consultation_id
where seat.proof_hash = any($1::bytea[]) and seat.state = 'admitted' and ticket.revoked_at is null
  and ticket.expires_at > now() and consultation.state in ('scheduled', 'waiting', 'live', 'interrupted')

-- name: sign_in_seen
update sign_in set seen_at = now() where token_hash = $1 and ended_at is null

-- name: sign_in_end
update sign_in set ended_at = now() where token_hash = $1 and ended_at is null

-- name: sign_in_end_all
update sign_in set ended_at = now() where account_id = $1 and ended_at is null

-- name: sign_in_list
select token_hash, created_at, seen_at, expires_at from sign_in
where account_id = $1 and ended_at is null and expires_at > now()
  and seen_at > now() - make_interval(secs => $2)
order by created_at desc limit $3

-- name: sign_in_forget
delete from sign_in where account_id = $1 and expires_at < now() - interval '30 days'

-- name: station_create
insert into station (organisation_id, name, place, key_wrapped) values ($1, $2, $3, $4)
returning id, organisation_id, name, place, created_at, seen_at

-- name: station_list
select id, organisation_id, name, place, created_at, seen_at from station
where organisation_id = $1 order by lower(name), id limit $2

-- name: station_get
select id, organisation_id, name, place, created_at, seen_at from station where id = $1

-- name: station_lock
select id from station where id = $1 for update

-- name: station_seen
update station set seen_at = now() where id = $1

-- name: station_key_create
insert into station_key (id, station_id, key_hash) values ($1, $2, $3) returning id, station_id, created_at, revoked_at

-- name: station_key_list
select id, station_id, created_at, revoked_at from station_key where station_id = $1 order by created_at desc limit $2

-- name: station_key_revoke
update station_key set revoked_at = coalesce(revoked_at, now()) where id = $1 and station_id = $2
returning id, station_id, created_at, revoked_at

-- name: station_by_key
select station.id, station.organisation_id, station.name, station.place, station.created_at, station.seen_at
from station_key join station on station.id = station_key.station_id
where station_key.key_hash = $1 and station_key.revoked_at is null
