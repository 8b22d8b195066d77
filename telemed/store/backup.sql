-- Statements of backup, restore, upgrade and status.

-- name: exclude
select pg_advisory_lock($1)

-- name: applied
select name, sha256 from schema_migration order by number

-- name: has_schema
select to_regclass('public.schema_migration') is not null

-- name: tables
-- A partitioned table is one, whatever its partitions are.
select c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by 1

-- name: stored_bytes
select coalesce(sum(pg_table_size(c.oid)), 0)::bigint
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and c.relkind = 'r'

-- name: empty
select not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                      and n.nspname !~ '^pg_(toast_)?temp')

-- name: role_missing
select not exists (select from pg_roles where rolname = $1)

-- name: witness
select witness from installation

-- name: partitions
select parent.relname as name, count(*)::int as partitions
  from pg_inherits i join pg_class parent on parent.oid = i.inhparent
 where parent.relnamespace = 'public'::regnamespace and parent.relkind = 'p' group by 1 order by 1

-- name: status
select current_setting('server_version') as version, pg_database_size(current_database()) as size_bytes,
       (select min(c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'public.chunk'::regclass and c.relname ~ '^chunk_[0-9]') as oldest_hour

-- name: behind
-- Streams with hot chunks that no mark covers, and how many such chunks there are.
select count(distinct c.stream_id)::int as streams, count(*)::bigint as chunks
  from chunk c left join stream_mark m on m.stream_id = c.stream_id
 where m.compacted is null or not m.compacted @> c.seq

-- name: check_counts
-- After the copy, before the commit. psql runs it, so names and counts stand in the text, as one JSON object; they
-- come from a manifest that the installation's key sealed.
do $check$
declare
  named text;
  wanted bigint;
  found bigint;
begin
  for named, wanted in select key, value::bigint from pg_catalog.json_each_text($counts$COUNTS$counts$) loop
    execute pg_catalog.format('select count(*) from public.%I', named) into found;
    if found <> wanted then raise exception 'telemed_counts % % %', named, found, wanted; end if;
  end loop;
end $check$;
