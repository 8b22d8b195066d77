-- Statements of the vital-sign uplink, the live hub and review.

-- name: find_stream
select id, number, epoch, device, kind, format, origin, source, rate_num, rate_den, channels, attachment_id, born,
       started_us, key_wrapped
  from stream where station_id = $1 and device = $2 and kind = $3 and epoch = $4

-- name: hold_attachment
-- Merging the patient into another (patient.sql: merge_hold_attachments) waits for this transaction, or this for it.
select 1 from attachment where id = $1 for share

-- name: find_attachment
select a.id, a.organisation_id, a.station_id, a.patient_id, a.consultation_id, a.opened_at, a.closed_at,
       p.key_wrapped as patient_key
  from attachment a join patient p on p.id = a.patient_id where a.id = $1

-- name: station_key
select key_wrapped from station where id = $1

-- name: insert_stream
insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source, rate_num,
                    rate_den, channels, attachment_id, born, started_us, key_wrapped)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13,
        date_trunc('hour', now() at time zone 'UTC') at time zone 'UTC', $14, $15)
on conflict do nothing

-- name: insert_chunks
-- What a segment holds is not stored again. A step down an index for each row: a join might read every mark there is.
insert into chunk (stream_id, born, seq, t0_us, first_sample, n, nonce, sealed)
select k.* from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::bytea[],
                       $8::bytea[]) as k(stream_id, born, seq, t0_us, first_sample, n, nonce, sealed)
 where not coalesce((select m.compacted @> k.seq from stream_mark m where m.stream_id = k.stream_id), false)
on conflict do nothing returning stream_id, seq

-- name: insert_framed
-- As insert_chunks. A frame goes in with its own chunk only: never the readings of bytes that were refused.
with stored as (
  insert into chunk (stream_id, born, seq, t0_us, first_sample, n, nonce, sealed)
  select k.* from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::bytea[],
                         $8::bytea[]) as k(stream_id, born, seq, t0_us, first_sample, n, nonce, sealed)
   where not coalesce((select m.compacted @> k.seq from stream_mark m where m.stream_id = k.stream_id), false)
  on conflict do nothing returning stream_id, born, seq, t0_us
), framed as (
  insert into frame (stream_id, born, seq, t0_us, decoder, nonce, sealed)
  select s.stream_id, s.born, s.seq, s.t0_us, f.decoder, f.nonce, f.sealed
    from unnest($9::int[], $10::bigint[], $11::text[], $12::bytea[], $13::bytea[])
         as f(stream_id, seq, decoder, nonce, sealed)
    join stored s on s.stream_id = f.stream_id and s.seq = f.seq
  on conflict do nothing
)
select stream_id, seq from stored

-- name: stored_nonces
select c.stream_id, c.seq, c.nonce
  from unnest($1::int[], $2::timestamptz[], $3::bigint[]) as k(stream_id, born, seq)
  join chunk c on c.stream_id = k.stream_id and c.born = k.born and c.seq = k.seq

-- name: stored_runs
-- The nonces of the hot chunks of each run of numbers, end to end; null where there is none. A step down an index each.
select k.run, (select string_agg(c.nonce, ''::bytea order by c.seq) from chunk c
                where c.stream_id = k.stream_id and c.born = k.born and c.seq between k.first and k.last) as nonces
  from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[])
       with ordinality as k(stream_id, born, first, last, run)

-- name: expired
select expired_at is not null from stream where id = $1

-- name: keys_alive
select key_hash from station_key where key_hash = any($1::bytea[]) and revoked_at is null

-- name: closed_attachments
select id, closed_at from attachment where id = any($1::uuid[]) and closed_at is not null

-- name: put_fix
insert into clock_fix (source, station_id, at, offset_us, error_us) values ($1, $2, $3, $4, $5)
on conflict (source, at) do update set offset_us = excluded.offset_us, error_us = excluded.error_us
 where clock_fix.station_id is not distinct from excluded.station_id

-- name: drop_fix
delete from clock_fix where source = $1 and at = $2 and station_id is not distinct from $3

-- name: last_fix
-- The last by the source's own clock: the server's may have been set back.
select at, offset_us, error_us from clock_fix where source = $1 and station_id = $2
 order by extract(epoch from at) * 1000000 - offset_us desc limit 1

-- name: fixes
-- A source is believed by the station that reported it alone.
select source, at, offset_us, error_us from clock_fix
 where source = any($1::uuid[]) and station_id = any($2::int[]) order by source, at

-- name: opened_by_station
select opened_by is null from attachment where id = $1

-- name: source_elsewhere
-- A run that another station reported, and this one never did.
select exists (select 1 from clock_fix where source = $1 and station_id is distinct from $2)
   and not exists (select 1 from clock_fix where source = $1 and station_id = $2)

-- name: attachments_of
select a.id, a.opened_at, a.closed_at, p.key_wrapped as patient_key
  from attachment a join patient p on p.id = a.patient_id where a.consultation_id = $1 order by a.opened_at

-- name: streams_of
-- A stream's key and the key that wraps it are of one statement: merging patients changes both.
select t.id, t.attachment_id, t.station_id, t.device, t.kind, t.format, t.origin, t.source, t.rate_num, t.rate_den,
       t.channels, t.born, t.started_us, t.key_wrapped, p.key_wrapped as patient_key
  from stream t join attachment a on a.id = t.attachment_id join patient p on p.id = a.patient_id
 where t.attachment_id = any($1::uuid[]) order by t.id

-- name: arrival
-- The most that the offset can be: a chunk ($3/$4 samples a second) came after its last sample was measured.
select least(
  (select arrival_us from stream_mark where stream_id = $1),
  (select min(extract(epoch from received_at) * 1000000 - t0_us
              - coalesce(n::numeric * 1000000 * $4::bigint / $3::bigint, 0))::bigint
     from chunk where stream_id = $1 and born = $2))

-- name: near_fix
select at, offset_us, error_us from clock_fix where station_id = $1
 order by abs(extract(epoch from at - $2::timestamptz)) limit 1
