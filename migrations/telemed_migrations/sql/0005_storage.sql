-- Final storage of vital signs: hourly hot partitions, segments and a pyramid by day, what is compacted, holds.
--
-- A chunk is committed into `chunk` (hot). The compactor packs runs of chunks into `segment` rows, byte for byte
-- recoverable, widens the pyramid, and says so in `stream_mark` in the same transaction. A hot partition is dropped
-- when the marks cover every row of it; rows in the default partitions are deleted once a mark covers them.

create table segment (
  stream_id integer not null references stream,
  born timestamptz not null,            -- the stream's: the partition key
  first_seq bigint not null check (first_seq >= 0),
  last_seq bigint not null,             -- chunks first_seq … last_seq, every one of them
  codec smallint not null check (codec in (1, 2)),  -- 1: samples of native chunks; 2: envelopes with their readings
  t0_us bigint not null,                -- the source's stamp of the first sample; codec 2: the least stamp
  t1_us bigint not null,                -- of the end of the last sample; codec 2: the greatest stamp
  first_sample bigint,                  -- codec 1: samples first_sample … first_sample + n - 1, without a hole
  n integer,
  nonce bytea not null,
  sealed bytea not null,
  primary key (stream_id, born, first_seq),
  check (last_seq >= first_seq),
  check ((codec = 1) = (first_sample is not null) and (codec = 1) = (n is not null))
) partition by range (born);
create table segment_default partition of segment default;

-- Least and greatest of `level` samples a bucket, 1,024 buckets a block, all channels; nothing where no sample is.
create table pyramid (
  stream_id integer not null references stream,
  born timestamptz not null,
  level integer not null check (level > 0),
  block bigint not null check (block >= 0),    -- buckets block * 1,024 … + 1,023
  nonce bytea not null,
  sealed bytea not null,
  primary key (stream_id, born, level, block)
) partition by range (born);
create table pyramid_default partition of pyramid default;
alter table segment_default alter column sealed set storage external;
alter table pyramid_default alter column sealed set storage external;
-- A fifth of a second of twelve leads lies in its row, and not in a second table with a second index.
alter table chunk_default set (toast_tuple_target = 8160);

-- Which chunks segments hold; with the hot rows the answer to "resume from?".
create table stream_mark (
  stream_id integer primary key references stream,
  compacted int8multirange not null,
  redecoded integer not null default 0, -- how often the readings of hot chunks were made again
  arrival_us bigint,                    -- least arrival less stamp of the end of a chunk: no offset can be more
  updated_at timestamptz not null default now()
);

-- Stretches of compacted samples without a hole that one straight line leads from sample to stamp within 20 ms.
create table stream_run (
  stream_id integer not null references stream,
  first_sample bigint not null,
  past_sample bigint not null check (past_sample > first_sample),
  t0_us bigint not null,                -- the stamp of first_sample
  t1_us bigint not null,                -- of past_sample
  primary key (stream_id, first_sample)
);

-- While one is not lifted, nothing of the patient's is deleted: not by retention and not by erasure.
create table legal_hold (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  patient_id uuid not null references patient,
  reason_sealed bytea not null,         -- under the patient's key
  placed_by uuid not null references account,
  placed_at timestamptz not null default now(),
  lifted_by uuid references account,
  lifted_at timestamptz,
  check ((lifted_by is null) = (lifted_at is null))
);
create index legal_hold_patient on legal_hold (patient_id) where lifted_at is null;

alter table stream add column expired_at timestamptz;  -- retention or erasure has deleted its samples
create index stream_born on stream (born, id);
create index patient_erased on patient (id) where key_destroyed_at is not null;

-- Partitions belong to the owner; the server makes and drops them through these functions and in no other way.

-- Makes the hot partitions from `from_at` to `until_at` and the days of segments and pyramids; those that are there
-- stay. An hour of which rows lie in the default partition already stays there. Returns how many were made.
create function storage_make(from_at timestamptz, until_at timestamptz) returns integer
language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '0.5s' as $$
declare
  made integer := 0;
  begins timestamptz;
  parent text;
  step interval;
  unit text;
  shape text;
  child text;
begin
  if not pg_try_advisory_xact_lock_shared(23720091925496139) then return 0; end if;  -- a backup runs
  if until_at - from_at > interval '31 days' then raise exception 'too many partitions'; end if;
  begin
    -- Whoever announces a stream writes there first and then looks into the partitions: the same order here.
    lock table stream in share row exclusive mode;
  exception when lock_not_available then return 0;  -- the next time
  end;
  foreach parent in array array['chunk', 'frame', 'segment', 'pyramid'] loop
    if parent in ('chunk', 'frame') then
      unit := 'hour'; step := '1 hour'; shape := 'YYYYMMDD_HH24';
    else
      unit := 'day'; step := '1 day'; shape := 'YYYYMMDD';
    end if;
    begins := date_trunc(unit, from_at);
    while begins < until_at loop
      child := parent || '_' || to_char(begins, shape);
      if to_regclass(child) is null then
        begin
          execute format('create table %I (like %I including all)', child, parent);
          execute format('alter table %I alter column sealed set storage external', child);
          if parent = 'chunk' then execute format('alter table %I set (toast_tuple_target = 8160)', child); end if;
          execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                         parent, child, begins, begins + step);
          made := made + 1;
        exception when check_violation or lock_not_available then null;
        end;
      end if;
      begins := begins + step;
    end loop;
  end loop;
  return made;
end $$;

-- Drops the hot partitions of one hour if marks cover every chunk of it; returns whether it did. Looks first, and
-- again once nobody can write: what it looks for is found by a few steps down an index for each stream of the hour.
-- Writers wait behind it, so it waits for its lock for half a second only.
create function storage_drop(hour timestamptz) returns boolean
language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '0.5s' as $$
declare
  begins timestamptz := date_trunc('hour', hour);
  chunks text := 'chunk_' || to_char(begins, 'YYYYMMDD_HH24');
  frames text := 'frame_' || to_char(begins, 'YYYYMMDD_HH24');
  left_over boolean;
begin
  if not pg_try_advisory_xact_lock_shared(23720091925496139) then return false; end if;  -- a backup runs
  if begins > now() - interval '2 hours' or to_regclass(chunks) is null then return false; end if;
  for attempt in 1..2 loop
    execute format(
      'select exists (
         select from stream t
           left join stream_mark m on m.stream_id = t.id
          cross join lateral unnest(int8multirange(int8range(null, null)) - coalesce(m.compacted, ''{}'')) as hole
          cross join lateral (
            select from %I c
             where c.stream_id = t.id and c.born = $1 and c.seq >= coalesce(lower(hole), -9223372036854775808)
               and c.seq < coalesce(upper(hole), 9223372036854775807) limit 1) c
          where t.born = $1)', chunks) into left_over using begins;
    if left_over then return false; end if;
    if attempt = 1 then execute format('lock table chunk, frame, %I in access exclusive mode', chunks); end if;
  end loop;
  execute format('drop table %I', chunks);
  execute format('drop table if exists %I', frames);
  return true;
exception when lock_not_available then return false;  -- somebody reads for long: the next time
end $$;

-- Deletes segments and pyramids of streams born before a day, those of patients on hold left; returns the streams.
create function storage_expire(before_day timestamptz) returns integer
language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '2s' as $$
declare
  last timestamptz := date_trunc('day', before_day);
  day timestamptz;
  gone integer;
  suffix text;
begin
  if not pg_try_advisory_xact_lock_shared(23720091925496139) then return 0; end if;  -- a backup runs
  if last > now() - interval '1 day' then raise exception 'too young'; end if;
  lock table legal_hold in share mode;  -- a hold that is being placed comes first, or waits
  create temp table expiring on commit drop as
    select t.id, t.born from stream t left join attachment a on a.id = t.attachment_id
     where t.born < last and t.expired_at is null
       and not exists (select from legal_hold h where h.patient_id = a.patient_id and h.lifted_at is null)
       and not exists (select from chunk c where c.stream_id = t.id and c.born = t.born);
  get diagnostics gone = row_count;
  for day in select distinct date_trunc('day', born) from expiring loop
    suffix := to_char(day, 'YYYYMMDD');
    if to_regclass('segment_' || suffix) is not null and not exists (
      select from stream where born >= day and born < day + interval '1 day' and expired_at is null
         and id not in (select id from expiring)
    ) then
      execute format('drop table %I', 'segment_' || suffix);
      execute format('drop table if exists %I', 'pyramid_' || suffix);
    else
      delete from segment s using expiring e
       where s.stream_id = e.id and s.born = e.born and date_trunc('day', e.born) = day;
      delete from pyramid s using expiring e
       where s.stream_id = e.id and s.born = e.born and date_trunc('day', e.born) = day;
    end if;
  end loop;
  delete from stream_run using expiring where stream_id = expiring.id;
  update stream set expired_at = now() from expiring where stream.id = expiring.id;
  return gone;
exception when lock_not_available then return 0;  -- somebody reads for long: the next time
end $$;

revoke execute on function storage_make, storage_drop, storage_expire from public;
grant execute on function storage_make, storage_drop, storage_expire to telemed_app;
grant select, insert, update, delete on segment, pyramid, stream_mark, stream_run to telemed_app;
grant select, delete on chunk_default, frame_default to telemed_app;
grant select, insert, update on legal_hold to telemed_app;
grant delete on recording_part, shared_file_part to telemed_app;  -- of patients whose key is destroyed
