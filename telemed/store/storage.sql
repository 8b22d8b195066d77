-- Statements of storage: what is compacted and what is still hot, segments, pyramids, retention.

-- name: hot_bytes
select seq, nonce, sealed from chunk where stream_id = $1 and born = $2 and seq = any($3::bigint[])

-- name: hot_rows
select c.seq, c.t0_us, c.nonce, c.sealed, f.decoder, f.nonce as frame_nonce, f.sealed as frame_sealed
  from chunk c left join frame f on f.stream_id = c.stream_id and f.born = c.born and f.seq = c.seq
 where c.stream_id = $1 and c.born = $2 and c.seq = any($3::bigint[]) order by c.seq

-- name: segments_of
-- The segments that hold any of these chunks. Segments of a stream never overlap: the last that begins at or before a
-- chunk holds it, or none does.
select distinct on (s.first_seq) s.first_seq, s.last_seq, s.codec, s.nonce, s.sealed
  from unnest($3::bigint[]) as wanted(seq)
 cross join lateral (
   select first_seq, last_seq, codec, nonce, sealed from segment
    where stream_id = $1 and born = $2 and first_seq <= wanted.seq order by first_seq desc limit 1) s
 where s.last_seq >= wanted.seq
 order by s.first_seq

-- name: segments_from
-- The segments from chunk $3 on, the one that holds it first.
select first_seq, last_seq, codec, nonce, sealed from segment
 where stream_id = $1 and born = $2 and last_seq >= $3::bigint
   and first_seq >= coalesce(
     (select max(first_seq) from segment where stream_id = $1 and born = $2 and first_seq <= $3), $3)
 order by first_seq limit $4

-- name: hot_uncovered
-- Hot chunks that no mark covers, in order, from $3 on: only the holes of the mark are looked into.
select c.seq, c.nonce, c.sealed
  from unnest(int8multirange(int8range($3::bigint, null)) -
              coalesce((select compacted from stream_mark where stream_id = $1), '{}')) as hole
 cross join lateral (
   select seq, nonce, sealed from chunk
    where stream_id = $1 and born = $2 and seq >= lower(hole) and seq < coalesce(upper(hole), 9223372036854775807)
    order by seq limit $4) c
 order by c.seq limit $4

-- name: hot_index
-- The same without their bytes: how many those are, and whether nothing came since for as long as $5.
select c.seq, c.t0_us, c.first_sample, c.n, c.size, c.received_at < now() - $5::interval as idle
  from unnest(int8multirange(int8range($3::bigint, null)) -
              coalesce((select compacted from stream_mark where stream_id = $1), '{}')) as hole
 cross join lateral (
   select seq, t0_us, first_sample, n, octet_length(sealed) as size, received_at from chunk
    where stream_id = $1 and born = $2 and seq >= lower(hole) and seq < coalesce(upper(hole), 9223372036854775807)
    order by seq limit $4) c
 order by c.seq limit $4

-- name: durable_ranges
-- Ranges of the mark, and of the hot chunks that it does not cover: inclusive, ascending, touching ones united.
with mark as (
  select coalesce((select compacted from stream_mark where stream_id = $1), '{}') as compacted
), hot as (
  select c.seq from mark, unnest(int8multirange(int8range(0, null)) - mark.compacted) as hole
   cross join lateral (
     select seq from chunk
      where stream_id = $1 and born = $2 and seq >= lower(hole)
        and seq < coalesce(upper(hole), 9223372036854775807)) c
), islands as (
  select int8range(min(seq), max(seq), '[]') as island
    from (select seq, seq - row_number() over (order by seq) as number from hot) s group by number
)
select lower(r) as first, upper(r) - 1 as last
  from unnest((select coalesce(range_agg(island), '{}') from islands) + (select compacted from mark)) as r
 order by 1

-- name: newest_frame
select seq, t0_us, nonce, sealed from frame where stream_id = $1 and born = $2 order by seq desc limit 1

-- name: newest_envelopes
-- The last segment of envelopes: it holds the newest readings once their hot rows are gone.
select first_seq, last_seq, codec, nonce, sealed from segment
 where stream_id = $1 and born = $2 and codec = 2 order by first_seq desc limit 1

-- name: hot_hours
select to_timestamp(right(c.relname, 11), 'YYYYMMDD_HH24')::timestamp at time zone 'UTC' as hour
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = 'chunk'::regclass and c.relname ~ '^chunk_[0-9]{8}_[0-9]{2}$' order by 1

-- name: hot_streams
-- Streams after id $2, in order, that have hot chunks which no mark covers: among those born in these hours ($1) and
-- those with rows in the default partition.
with recursive left_over as (
  (select stream_id from chunk_default where stream_id > $2 order by stream_id limit 1)
  union all
  select (select stream_id from chunk_default c where c.stream_id > o.stream_id order by stream_id limit 1)
    from left_over o where o.stream_id is not null
), candidate as materialized (
  select id, born from stream where born = any($1::timestamptz[]) and id > $2
  union select t.id, t.born from left_over o join stream t on t.id = o.stream_id
), waiting as materialized (  -- no stream of the years before is looked at, none after those wanted
  select id from (select id, born from candidate order by id offset 0) candidate
   where exists (
     select from unnest(int8multirange(int8range(0, null)) -
                        coalesce((select compacted from stream_mark where stream_id = candidate.id), '{}')) as hole
      cross join lateral (
        select from chunk c
         where c.stream_id = candidate.id and c.born = candidate.born and c.seq >= lower(hole)
           and c.seq < coalesce(upper(hole), 9223372036854775807) limit 1) c)
   limit $3
)
select t.id, t.born, t.format, t.rate_num, t.rate_den, jsonb_array_length(t.channels) as channels, t.key_wrapped,
       t.attachment_id, s.key_wrapped as station_key, p.key_wrapped as patient_key,
       coalesce((select redecoded from stream_mark where stream_id = t.id), 0) as redecoded
  from waiting join stream t on t.id = waiting.id join station s on s.id = t.station_id
  left join attachment a on a.id = t.attachment_id left join patient p on p.id = a.patient_id
 order by t.id

-- name: mark_make
insert into stream_mark (stream_id, compacted) select id, '{}' from unnest($1::int[]) as id order by id
on conflict do nothing

-- name: mark_hold
-- Whoever compacts a stream holds its mark until it is done.
select 1 from stream_mark where stream_id = any($1::int[]) order by stream_id for update

-- name: mark_overlaps
-- Of these segments, any whose chunks somebody else has packed, or read again, meanwhile.
select exists (
  select from unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[]) as s(stream_id, first, last, redecoded)
    join stream_mark m on m.stream_id = s.stream_id
   where m.compacted && int8range(s.first, s.last, '[]') or m.redecoded <> s.redecoded)

-- name: mark_widen
-- When the chunks came is known while they are hot; what the clock of a silent source is guessed by is kept.
update stream_mark m
   set compacted = m.compacted + s.packed, updated_at = now(), arrival_us = least(m.arrival_us, s.arrival_us)
  from (select p.stream_id, range_agg(int8range(p.first, p.last, '[]')) as packed, min(c.arrival_us) as arrival_us
          from unnest($1::int[], $2::bigint[], $3::bigint[]) as p(stream_id, first, last)
          join stream t on t.id = p.stream_id
         cross join lateral (
           select min(extract(epoch from received_at) * 1000000 - t0_us
                      - coalesce(n::numeric * 1000000 * t.rate_den / t.rate_num, 0))::bigint as arrival_us
             from chunk where stream_id = p.stream_id and born = t.born and seq between p.first and p.last) c
         group by p.stream_id) s
 where m.stream_id = s.stream_id

-- name: stream_kept_again
-- Late chunks of a stream whose samples were deleted are samples of it again.
update stream set expired_at = null where id = any($1::int[]) and expired_at is not null

-- name: put_segments
insert into segment (stream_id, born, first_seq, last_seq, codec, t0_us, t1_us, first_sample, n, nonce, sealed)
select * from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::int[], $10::bytea[], $11::bytea[])

-- name: blocks_there
select p.stream_id, p.level, p.block, p.nonce, p.sealed
  from unnest($1::int[], $2::timestamptz[], $3::int[], $4::bigint[]) as k(stream_id, born, level, block)
  join pyramid p on p.stream_id = k.stream_id and p.born = k.born and p.level = k.level and p.block = k.block

-- name: put_blocks
insert into pyramid (stream_id, born, level, block, nonce, sealed)
select * from unnest($1::int[], $2::timestamptz[], $3::int[], $4::bigint[], $5::bytea[], $6::bytea[])
on conflict (stream_id, born, level, block) do update set nonce = excluded.nonce, sealed = excluded.sealed

-- name: runs_around
-- The runs that touch samples $2 … $3 of each stream $1, and the last before them.
select r.stream_id, r.first_sample, r.past_sample, r.t0_us
  from unnest($1::int[], $2::bigint[], $3::bigint[]) as s(stream_id, first, past)
  join stream_run r on r.stream_id = s.stream_id and r.first_sample <= s.past
   and r.first_sample >= coalesce((select max(first_sample) from stream_run
                                    where stream_id = s.stream_id and first_sample < s.first), s.first)
 order by r.stream_id, r.first_sample

-- name: put_runs
insert into stream_run (stream_id, first_sample, past_sample, t0_us, t1_us)
select * from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
on conflict (stream_id, first_sample) do update set past_sample = excluded.past_sample, t1_us = excluded.t1_us

-- name: make_ahead
select storage_make(now(), now() + $1::interval)

-- name: drop_hour
select storage_drop($1)

-- name: expire
select storage_expire($1)

-- name: left_over
-- Streams with rows in the default partition, of which the mark has not moved for as long as $1, with that mark.
with recursive left_over as (
  (select stream_id from chunk_default order by stream_id limit 1)
  union all
  select (select stream_id from chunk_default c where c.stream_id > o.stream_id order by stream_id limit 1)
    from left_over o where o.stream_id is not null
)
select m.stream_id, m.compacted::text as compacted
  from left_over o join stream_mark m on m.stream_id = o.stream_id
 where m.updated_at < now() - $1::interval and exists (
   select from chunk_default c where c.stream_id = m.stream_id and m.compacted @> c.seq)

-- name: clear_chunks
delete from chunk_default where stream_id = $1 and seq in (
  select seq from chunk_default where stream_id = $1 and $2::text::int8multirange @> seq order by seq limit $3)

-- name: clear_frames
delete from frame_default where stream_id = $1 and $2::text::int8multirange @> seq

-- name: erased_streams
select t.id, t.born
  from patient p join attachment a on a.patient_id = p.id join stream t on t.attachment_id = a.id
 where p.key_destroyed_at is not null and t.expired_at is null order by t.id limit $1

-- name: erase_chunks
delete from chunk where stream_id = $1 and born = $2

-- name: erase_frames
delete from frame where stream_id = $1 and born = $2

-- name: erase_segments
delete from segment where stream_id = $1 and born = $2

-- name: erase_pyramid
delete from pyramid where stream_id = $1 and born = $2

-- name: erase_runs
delete from stream_run where stream_id = $1

-- name: erase_done
update stream set expired_at = now() where id = $1 and expired_at is null

-- name: erased_recordings
select r.id
  from patient p join consultation c on c.patient_id = p.id join recording r on r.consultation_id = c.id
 where p.key_destroyed_at is not null and exists (select from recording_part where recording_id = r.id) limit $1

-- name: erase_recording
delete from recording_part where recording_id = $1

-- name: erased_files
select f.id
  from patient p join consultation c on c.patient_id = p.id join shared_file f on f.consultation_id = c.id
 where p.key_destroyed_at is not null and exists (select from shared_file_part where file_id = f.id) limit $1

-- name: erase_file
delete from shared_file_part where file_id = $1

-- name: redecoded_count
select count(*) from stream where format <> 'native' and expired_at is null and ($1::int is null or id = $1)

-- name: redecoded_streams
select t.id, t.organisation_id, t.born, t.format, t.key_wrapped, a.patient_id,
       case when t.attachment_id is null then s.key_wrapped else p.key_wrapped end as owner_key
  from stream t join station s on s.id = t.station_id
  left join attachment a on a.id = t.attachment_id left join patient p on p.id = a.patient_id
 where t.format <> 'native' and t.expired_at is null and ($1::int is null or t.id = $1) and t.id > $2
   and (t.attachment_id is null or p.key_wrapped is not null)
 order by t.id limit $3

-- name: mark_redecoded
update stream_mark set redecoded = redecoded + 1 where stream_id = $1

-- name: hot_readings
-- Hot chunks that no mark covers, from $3 on, each with what was read in it.
select c.seq, c.t0_us, c.nonce, c.sealed, f.decoder, f.nonce as frame_nonce
  from chunk c left join frame f on f.stream_id = c.stream_id and f.born = c.born and f.seq = c.seq
 where c.stream_id = $1 and c.born = $2 and c.seq >= $3
   and not coalesce((select compacted @> c.seq from stream_mark where stream_id = $1), false)
 order by c.seq limit $4

-- name: put_frames
insert into frame (stream_id, born, seq, t0_us, decoder, nonce, sealed)
select * from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[])
on conflict (stream_id, born, seq) do update
   set decoder = excluded.decoder, nonce = excluded.nonce, sealed = excluded.sealed

-- name: envelopes_from
select first_seq, last_seq, nonce, sealed from segment
 where stream_id = $1 and born = $2 and first_seq >= $3 and codec = 2 order by first_seq limit $4

-- name: replace_envelopes
update segment set nonce = $4, sealed = $5 where stream_id = $1 and born = $2 and first_seq = $3
