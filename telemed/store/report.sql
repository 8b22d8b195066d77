-- The note on a consultation: the draft is a column of the consultation, signed versions are appended.

-- name: draft
select draft_sealed from consultation where id = $1

-- name: keep_draft
update consultation set draft_sealed = $2 where id = $1

-- name: append
insert into note (consultation_id, version, organisation_id, account_id, sealed)
select consultation.id, $3, consultation.organisation_id, $2, $4 from consultation where consultation.id = $1

-- name: next_version
select coalesce(max(version), 0) + 1 from note where consultation_id = $1

-- name: list
select note.version, note.at, note.sealed, note.account_id, account.name as account_name
from note join account on account.id = note.account_id
where note.consultation_id = $1 order by note.version limit $2
