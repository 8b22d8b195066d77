-- name: witness
select witness from installation

-- name: keep_witness
insert into installation (witness) values ($1) on conflict do nothing
