-- Statements of review and export: what is stored of streams in a window, hot and compacted.

-- Every stream has one `born`; where several streams are asked for, the least and the greatest are given besides, so
-- that only the partitions between them are touched. `offset 0` keeps the planner from turning a join around: the
-- streams come first, and of each the rows are found by its primary key.

-- name: hot
-- Chunks with samples that no mark covers, of every stream $1 (born $2) stamped before $4 that end after $3; $5/$6
-- samples a second. Only the holes of the marks are looked into.
select s.id as stream_id, c.seq, c.t0_us, c.first_sample, c.n
  from (select k.*, lower(hole) as low, coalesce(upper(hole), 9223372036854775807) as high
          from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
               as k(id, born, since, before, num, den)
          left join stream_mark m on m.stream_id = k.id
         cross join lateral unnest(int8multirange(int8range(0, null)) - coalesce(m.compacted, '{}')) as hole offset 0) s
 cross join lateral (
   select seq, t0_us, first_sample, n from chunk
    where stream_id = s.id and born = s.born and born between $7 and $8 and seq >= s.low and seq < s.high
      and first_sample is not null and t0_us < s.before and t0_us + n::bigint * 1000000 * s.den / s.num > s.since
   offset 0) c

-- name: runs
select stream_id, first_sample, past_sample, t0_us, t1_us from stream_run
 where stream_id = any($1::int[]) order by stream_id, first_sample

-- name: spans
-- Segments with stamps before $4 and after $3, narrow rows: what is sealed is not read. Codec 2 has no samples known.
select k.id as stream_id, s.first_seq, s.codec, s.t0_us, s.t1_us, coalesce(s.first_sample, 0) as first_sample,
       coalesce(s.n, 0) as n
  from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[]) as k(id, born, since, before)
 cross join lateral (
   select first_seq, codec, t0_us, t1_us, first_sample, n from segment
    where stream_id = k.id and born = k.born and born between $5 and $6 and t0_us < k.before
      and (t1_us > k.since or codec = 2) offset 0) s

-- name: segments
select first_seq, last_seq, codec, nonce, sealed from segment
 where stream_id = $1 and born = $2 and first_seq = any($3::bigint[])

-- name: blocks
select k.id as stream_id, k.level, k.block, p.nonce, p.sealed
  from unnest($1::int[], $2::timestamptz[], $3::int[], $4::int[]) as k(id, born, level, block)
 cross join lateral (
   select nonce, sealed from pyramid
    where stream_id = k.id and born = k.born and born between $5 and $6 and level = k.level and block = k.block
   offset 0) p

-- name: hot_readings
-- Readings that no mark covers, of the streams $1 (born $2), stamped from $3 to before $4, by stamp, stream and number,
-- after the one with $8, $9 and $10.
select s.id as stream_id, f.seq, f.t0_us, f.nonce, f.sealed
  from (select k.*, lower(hole) as low, coalesce(upper(hole), 9223372036854775807) as high
          from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[]) as k(id, born, since, before)
          left join stream_mark m on m.stream_id = k.id
         cross join lateral unnest(int8multirange(int8range(0, null)) - coalesce(m.compacted, '{}')) as hole offset 0) s
 cross join lateral (
   select seq, t0_us, nonce, sealed from frame
    where stream_id = s.id and born = s.born and born between $5 and $6 and seq >= s.low and seq < s.high
      and t0_us < s.before and t0_us >= s.since offset 0) f
 where (f.t0_us, s.id, f.seq) > ($8::bigint, $9::int, $10::bigint)
 order by f.t0_us, s.id, f.seq limit $7

-- name: packed_readings
-- Segments of envelopes with stamps from $3 to before $4, oldest first, a part of them at a time: the sealed bytes of
-- those of the part alone are read.
select o.stream_id, o.first_seq, s.last_seq, s.codec, s.nonce, s.sealed
  from (select k.id as stream_id, k.born, n.first_seq, n.t0_us
          from unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::bigint[]) as k(id, born, since, before)
         cross join lateral (
           select first_seq, t0_us from segment
            where stream_id = k.id and born = k.born and born between $5 and $6 and codec = 2 and t0_us < k.before
              and t1_us >= k.since offset 0) n
         order by n.t0_us, k.id, n.first_seq limit $7 offset $8) o
 cross join lateral (
   select last_seq, codec, nonce, sealed from segment
    where stream_id = o.stream_id and born = o.born and born between $5 and $6 and first_seq = o.first_seq offset 0) s
 order by o.t0_us, o.stream_id, o.first_seq

-- name: state
-- What tells one state of the streams from another: the mark, and how many hot chunks it does not cover; those only
-- ever become more until the mark changes.
select k.id, coalesce(m.compacted::text, '') as compacted,
       (select coalesce(sum(c.n), 0)
          from unnest(int8multirange(int8range(0, null)) - coalesce(m.compacted, '{}')) as hole
         cross join lateral (
           select count(*) as n from chunk
            where stream_id = k.id and born = k.born and born between $3 and $4 and seq >= lower(hole)
              and seq < coalesce(upper(hole), 9223372036854775807)) c)::bigint as hot
  from unnest($1::int[], $2::timestamptz[]) as k(id, born) left join stream_mark m on m.stream_id = k.id order by k.id
