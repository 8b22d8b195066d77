-- A visit from the appointment to the signed end: appointments, one-visit tickets and the seats they open, second
-- clinicians, chat and files, where the patient is, the signed note. What names a person or tells of a patient is
-- sealed before it comes here: under the room's key (one a consultation, wrapped by the patient's key) or, for a
-- file, under a key of its own.

alter table organisation add column phone text not null default '' check (length(phone) <= 40);

alter table consultation alter column station_id drop not null;   -- a patient at home has no station
alter table consultation
  add column walk_in boolean not null default false,
  add column minutes integer not null default 30 check (minutes between 5 and 480),
  add column moved integer not null default 0 check (moved >= 0),  -- the calendar's SEQUENCE (RFC 5545 3.8.7.4)
  add column room_key_wrapped bytea,        -- under the patient's key; null: made when first needed
  add column place_sealed bytea,            -- where the patient is and a telephone number
  add column chat_lines integer not null default 0 check (chat_lines >= 0),  -- the newest line's number
  add column vitals_shared boolean not null default false,
  add column phone_since timestamptz,       -- continued by telephone since
  add column draft_sealed bytea,            -- the note before it is signed
  add column signed_at timestamptz;
create index consultation_scheduled on consultation (organisation_id, scheduled_at) where state = 'scheduled';
create index consultation_at_station on consultation (station_id) where state in ('waiting', 'live', 'interrupted');
create index consent_event_patient on consent_event (patient_id, purpose, id);

alter table patient add column merged_into uuid references patient, add column merged_at timestamptz;
create index patient_merged_into on patient (merged_into) where merged_into is not null;

-- Accounts that take part beside the assigned clinician. Ended, never deleted: who saw a patient stays known.
create table participation (
  consultation_id uuid not null references consultation,
  account_id uuid not null references account,
  organisation_id uuid not null references organisation,
  invited_by uuid not null references account,
  invited_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (consultation_id, account_id)
);
create index participation_account on participation (account_id) where ended_at is null;

-- A link in a hand. Only the SHA-256 of its token is kept.
create table ticket (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  consultation_id uuid not null references consultation,
  role text not null check (role in ('patient', 'relative', 'interpreter', 'second_clinician')),
  token_hash bytea not null unique,
  name_sealed bytea,
  language text not null default 'bg' check (language in ('bg', 'en')),
  created_by uuid not null references account,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);
create index ticket_consultation on ticket (consultation_id);

-- One browser that joined with a ticket. Only the SHA-256 of its cookie is kept.
create table seat (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  consultation_id uuid not null references consultation,
  ticket_id uuid not null references ticket,
  device integer not null check (device >= 1),          -- 1: the first browser of its ticket
  proof_hash bytea not null unique,
  name_sealed bytea,
  language text not null default 'bg' check (language in ('bg', 'en')),
  state text not null check (state in ('waiting', 'admitted', 'refused', 'removed', 'left')),
  joined_at timestamptz not null default now(),
  decided_at timestamptz,
  decided_by uuid references account,
  unique (ticket_id, device)
);
create index seat_consultation on seat (consultation_id);

-- Files shared in a visit: sealed in parts, each under the file's own key, which the patient's key wraps.
create table shared_file (
  id uuid primary key,
  organisation_id uuid not null references organisation,
  consultation_id uuid not null references consultation,
  author_kind text not null check (author_kind in ('account', 'guest')),
  author_id uuid not null,
  media_type text not null,
  bytes bigint not null check (bytes >= 0),
  key_wrapped bytea not null,
  meta_sealed bytea not null,                            -- name and SHA-256, under the file's key
  stored_at timestamptz not null default now()
);
create index shared_file_consultation on shared_file (consultation_id);
create table shared_file_part (
  file_id uuid not null references shared_file on delete cascade,
  n integer not null check (n >= 0),
  nonce bytea not null,
  sealed bytea not null,
  primary key (file_id, n)
);
alter table shared_file_part alter column sealed set storage external;

-- Chat. n counts from 1 without a hole; line is the author's own name for it, so that a re-send is one line.
create table chat_line (
  consultation_id uuid not null references consultation,
  n integer not null check (n >= 1),
  organisation_id uuid not null references organisation,
  line uuid not null,
  author_kind text not null check (author_kind in ('account', 'guest')),
  author_id uuid not null,
  author_role text not null,
  at timestamptz not null default now(),
  sealed bytea not null,                                 -- the text and the author's name, under the room's key
  file_id uuid references shared_file,
  primary key (consultation_id, n),
  unique (consultation_id, author_id, line)
);

-- The signed note and its amendments: appended, never changed.
create table note (
  consultation_id uuid not null references consultation,
  version integer not null check (version >= 1),
  organisation_id uuid not null references organisation,
  account_id uuid not null references account,
  at timestamptz not null default now(),
  sealed bytea not null,                                 -- text and reason, under the room's key
  primary key (consultation_id, version)
);

alter table audit_event drop constraint audit_event_actor_kind_check;
alter table audit_event add constraint audit_event_actor_kind_check
  check (actor_kind in ('account', 'station', 'guest', 'system', 'anonymous'));

grant select, insert, update on participation, ticket, seat to telemed_app;
grant select, insert, update, delete on shared_file, shared_file_part to telemed_app;
grant select, insert on chat_line, note to telemed_app;
