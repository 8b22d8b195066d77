-- Recordings of consultations: what one publication sent, sealed cluster by cluster under a key of the recording's own,
-- which the patient's key wraps. Off unless the clinician switches it on, with the patient's consent on record.

alter table consultation add column recording_since timestamptz;   -- switched on; null: nothing is recorded

create table recording (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  consultation_id uuid not null references consultation,
  participant text not null check (length(participant) <= 100),   -- an account's id, a seat's, or station:<n>
  by_role text not null,
  source_name text not null check (source_name in ('camera', 'exam', 'screen')),
  station_id integer references station,          -- whose clock it is; null for a page's
  clock_source uuid,                              -- the clock that stamps it; null while nobody knows
  came_at timestamptz not null,                   -- when its first packet came, by the server's clock
  began_us bigint,                                -- the publisher's stamp of the same moment; null while unknown
  torn boolean not null default false,            -- the publisher's clock was set meanwhile
  width integer check (width > 0),                -- of the picture; null without one
  height integer check (height > 0),
  sound boolean not null default false,
  unshown boolean not null default false,         -- its picture came in a format that is not recorded
  ended_at timestamptz,
  ended_why text check (ended_why in ('left', 'switched_off', 'withdrawn', 'full', 'disk', 'database', 'cut')),
  key_wrapped bytea not null
);
create index recording_consultation on recording (consultation_id);

-- n counts from 0; one left out is a gap. The times are milliseconds since the recording began.
create table recording_part (
  recording_id uuid not null references recording on delete cascade,
  n integer not null check (n >= 0),
  first_ms integer not null check (first_ms >= 0),
  until_ms integer not null check (until_ms >= first_ms),
  whole boolean not null,                         -- a player may begin here
  bytes integer not null check (bytes > 0),       -- in the clear
  nonce bytea not null,
  sealed bytea not null,
  primary key (recording_id, n)
);
alter table recording_part alter column sealed set storage external;

grant select, insert, update on recording to telemed_app;
grant select, insert on recording_part to telemed_app;
