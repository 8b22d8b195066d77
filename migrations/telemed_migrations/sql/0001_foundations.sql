-- The foundations that cannot be added later (organisations, people, stations, patients, attachments,
-- consent, audit, streams, chunks, frames). Names and samples are sealed (AES-256-GCM) before they come
-- here; this schema never sees a patient's name or a sample in plain bytes.

-- The server's role receives its rights through this group; the migration runner makes the login
-- role of DATABASE_URL a member of it.
do $$ begin
  if not exists (select from pg_roles where rolname = 'telemed_app') then
    create role telemed_app nologin;
  end if;
end $$;

-- One row: a key wrapped by the installation's key, so that a start with another key file is refused before it
-- seals anything that the first could not open.
create table installation (
  singleton boolean primary key default true check (singleton),
  witness bytea not null
);

create table organisation (
  id uuid primary key,
  name text not null check (length(name) between 1 and 200),
  zone text not null default 'Europe/Sofia',
  created_at timestamptz not null default now()
);

create table account (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  login text not null check (length(login) between 3 and 120),
  name text not null check (length(name) between 1 and 200),
  password_hash text not null,
  roles text[] not null check (roles <@ array['clinician', 'operator', 'administrator', 'auditor']),
  language text not null default 'bg' check (language in ('bg', 'en')),
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);
create unique index account_login on account (lower(login));

-- A sign-in is a server-side session; only the SHA-256 of its token is kept.
create table sign_in (
  token_hash bytea primary key,
  account_id uuid not null references account,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index sign_in_account on sign_in (account_id);

create table station (
  id integer generated always as identity primary key,
  organisation_id uuid not null references organisation,
  name text not null check (length(name) between 1 and 200),
  place text not null default '',
  key_wrapped bytea not null,           -- seals streams that no attachment owns
  created_at timestamptz not null default now(),
  seen_at timestamptz
);

create table station_key (
  id uuid primary key,
  station_id integer not null references station,
  key_hash bytea not null unique,       -- SHA-256 of the key; the key itself is shown once
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table patient (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  sealed bytea,                         -- name, year of birth and identifiers, under the patient's key
  key_wrapped bytea,                    -- the patient's key under the installation's key; null once destroyed
  provisional boolean not null default false,
  created_at timestamptz not null default now(),
  key_destroyed_at timestamptz,
  check ((key_wrapped is null) = (key_destroyed_at is not null))
);

create table consultation (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  station_id integer not null references station,
  patient_id uuid not null references patient,
  clinician_id uuid references account, -- whoever admitted, or was assigned
  state text not null check (state in ('scheduled', 'waiting', 'live', 'interrupted', 'ended', 'signed',
                                       'amended', 'cancelled', 'no_show')),
  created_at timestamptz not null default now(),
  scheduled_at timestamptz,
  waiting_at timestamptz,
  live_at timestamptz,
  ended_at timestamptz
);
create index consultation_list on consultation (organisation_id, state, created_at);

-- Who is connected to a station, from when to when. Two never overlap on a station. btree_gist is in none of
-- the embedded builds, so equality of the station is written with a range type.
create table attachment (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  station_id integer not null references station,
  patient_id uuid not null references patient,
  consultation_id uuid references consultation,
  opened_at timestamptz not null,
  closed_at timestamptz check (closed_at >= opened_at),
  opened_by uuid not null references account,
  closed_by uuid references account,
  closed_reason text check (closed_reason in ('operator', 'next_patient', 'sensors_off', 'consultation_ended')),
  exclude using gist (int4range(station_id, station_id, '[]') with &&,
                      tstzrange(opened_at, closed_at, '[)') with &&)
);
create index attachment_consultation on attachment (consultation_id);
create index attachment_patient on attachment (patient_id);

create table consent_event (
  id bigint generated always as identity primary key,
  organisation_id uuid not null references organisation,
  patient_id uuid not null references patient,
  consultation_id uuid references consultation,
  purpose text not null check (purpose in ('care', 'recording', 'teaching', 'cross_border')),
  given boolean not null,               -- false withdraws
  version text not null,
  language text not null check (language in ('bg', 'en')),
  given_by text not null check (given_by in ('patient', 'guardian', 'relative')),
  witness_id uuid references account,
  at timestamptz not null default now()
);

-- Append-only: the server's role may insert and read, never change.
create table audit_event (
  id bigint generated always as identity primary key,
  organisation_id uuid references organisation,
  at timestamptz not null default now(),
  actor_kind text not null check (actor_kind in ('account', 'station', 'system', 'anonymous')),
  actor_id text,
  action text not null,
  outcome text not null check (outcome in ('permit', 'deny', 'event')),
  object_kind text,
  object_id text,
  patient_id uuid,
  detail jsonb not null default '{}'    -- codes and counts only; never a name, a sample or free text
);
create index audit_event_at on audit_event (organisation_id, at);
create index audit_event_patient on audit_event (patient_id, at) where patient_id is not null;

-- One device's signal at a station for one epoch. number is the station's own and unique at the station.
create table stream (
  id integer generated always as identity primary key,
  organisation_id uuid not null references organisation,
  station_id integer not null references station,
  number bigint not null check (number between 0 and 4294967295),
  epoch uuid not null,
  device text not null check (length(device) between 1 and 100),
  kind text not null check (length(kind) between 1 and 40),
  format text not null check (length(format) between 1 and 40),
  origin text not null check (origin in ('measured', 'recording', 'simulated')),
  source uuid not null,                 -- the clock that stamps it: one run of one program
  rate_num integer check (rate_num > 0),
  rate_den integer check (rate_den > 0),
  channels jsonb not null,              -- names, units, gains: never a sample
  attachment_id uuid references attachment,
  born timestamptz not null,            -- the server's hour when the epoch was announced; the partition key
  started_us bigint not null,           -- the source's stamp of sample 0
  key_wrapped bytea not null,           -- the data key, under the patient's key (attached) or the station's
  announced_at timestamptz not null default now(),
  unique (station_id, device, kind, epoch),
  unique (station_id, number)
);
create index stream_attachment on stream (attachment_id) where attachment_id is not null;

-- The envelope as received: the evidence, and what is acknowledged. A native chunk is a frame as well and
-- is stored once, here.
create table chunk (
  stream_id integer not null references stream,
  born timestamptz not null,
  seq bigint not null check (seq >= 0),
  t0_us bigint not null,
  first_sample bigint,                  -- native chunks only
  n integer,
  received_at timestamptz not null default now(),
  nonce bytea not null,                 -- synthetic: the same bytes give the same nonce, other bytes another
  sealed bytea not null,
  primary key (stream_id, born, seq)
) partition by range (born);
create table chunk_default partition of chunk default;

-- Decoded samples or readings of chunks that are not native.
create table frame (
  stream_id integer not null references stream,
  born timestamptz not null,
  seq bigint not null check (seq >= 0),
  t0_us bigint not null,
  decoder text not null,                -- name and version of the decoder that made it
  nonce bytea not null,
  sealed bytea not null,
  primary key (stream_id, born, seq)
) partition by range (born);
create table frame_default partition of frame default;
alter table chunk_default alter column sealed set storage external;
alter table frame_default alter column sealed set storage external;

-- server clock = source stamp + offset_us, within error_us.
create table clock_fix (
  source uuid not null,
  station_id integer references station,
  at timestamptz not null,
  offset_us bigint not null,
  error_us bigint not null check (error_us >= 0),
  primary key (source, at)
);

grant usage on schema public to telemed_app;
grant select, insert, update, delete on organisation, account, sign_in, station, station_key, patient,
  consultation, attachment, stream, chunk, frame, clock_fix to telemed_app;
grant select, insert on installation to telemed_app;
grant select, insert on consent_event, audit_event to telemed_app;
grant usage, select on all sequences in schema public to telemed_app;
