-- Files received, what runs leave behind, and mail waiting to be sent.

create table ptp.received_file (
  org_id text not null references ptp.org,
  file_sequence bigint not null,
  feed text not null check (feed in ('invoices', 'payments', 'commitments', 'installments', 'contacts')),
  file_name text not null,
  byte_size bigint not null check (byte_size >= 0),
  content_sha256 text not null check (content_sha256 ~ '^[0-9a-f]{64}$'),
  rows_fingerprint text,
  row_count bigint not null check (row_count >= 0),
  status text not null check (status in ('accepted', 'rejected')),
  reason text not null default '',
  received_by text not null,
  received_at timestamptz not null,
  primary key (org_id, file_sequence),
  check (status = 'rejected' or rows_fingerprint is not null)
);
create unique index received_file_bytes_once on ptp.received_file (org_id, feed, content_sha256) where status = 'accepted';
create unique index received_file_rows_once on ptp.received_file (org_id, feed, rows_fingerprint) where status = 'accepted';
select ptp.protect('ptp.received_file', true);

create function ptp.number_file() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  first record;
begin
  perform ptp.lock_org();
  if new.status = 'accepted' then
    select * into first from ptp.received_file f
    where f.org_id = new.org_id and f.feed = new.feed and f.status = 'accepted'
      and (f.content_sha256 = new.content_sha256 or f.rows_fingerprint = new.rows_fingerprint)
    order by f.file_sequence limit 1;
    if found then
      perform ptp.refuse('PT002', format('%s is the same %s file as %s, received %s.', new.file_name, new.feed, first.file_name,
                         to_char(first.received_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'));
    end if;
  end if;
  select coalesce(max(f.file_sequence), 0) + 1 into new.file_sequence from ptp.received_file f where f.org_id = new.org_id;
  new.received_by := (select i.actor from ptp.identity() as i);
  new.received_at := clock_timestamp();
  return new;
end $$;
create function ptp.tell_file() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  perform ptp.record('file.' || new.status, 'file', new.content_sha256, new.reason, null, jsonb_build_object(
    'file_sequence', new.file_sequence, 'feed', new.feed, 'file_name', new.file_name, 'rows', new.row_count));
  return null;
end $$;
create trigger tell after insert on ptp.received_file for each row execute function ptp.tell_file();
create trigger number_file before insert on ptp.received_file for each row execute function ptp.number_file();

-- State changes as runs found them. A first run over a big book appends millions, so nothing is looked up per row: there is no foreign key
-- to the version, what is appended was derived from those very rows; and none to the org, because row-level security lets in rows of the
-- org entered only, and that there is such an org is asked once per statement. For the same reason it has one index: its key, in the order
-- of the published table, so that a run's rows fill one page after the other.
create table ptp.transition (
  org_id text not null,
  commitment_id text not null,
  version int not null,
  sequence int not null check (sequence >= 0),
  from_state text not null default '',
  to_state text not null,
  effective_on date not null,
  cause text not null,
  figures jsonb not null,
  run_id text not null,
  recorded_at timestamptz not null default now(),
  primary key (org_id, commitment_id, version, effective_on, sequence, from_state, to_state)
);
select ptp.protect('ptp.transition', true);

create function ptp.demand_org() returns trigger language plpgsql set search_path = ptp, pg_temp
as $$
begin
  if not exists (select from ptp.org o join ptp.here() as h on h.org_id = o.org_id) then
    perform ptp.refuse('PT005', 'This transaction entered no org that is there.', 'Make it with ptp org add, or enter one that ptp org list shows.');
  end if;
  return null;
end $$;
create trigger in_an_org before insert on ptp.transition for each statement execute function ptp.demand_org();

create table ptp.outbox (
  org_id text not null references ptp.org,
  message_id bigint generated always as identity,
  kind text not null,
  business_date date not null,
  send_key text not null check (send_key ~ '\S'),
  recipients text[] not null,
  subject text not null,
  html text not null,
  body_text text not null,
  queued_at timestamptz not null default now(),
  status text not null default 'queued' check (status in ('queued', 'sent', 'failed')),
  attempts int not null default 0,
  due_at timestamptz not null default '-infinity',
  claimed_until timestamptz,
  first_tried_at timestamptz,
  sent_at timestamptz,
  last_error text not null default '',
  primary key (org_id, message_id),
  unique (org_id, send_key)
);
create index outbox_due on ptp.outbox (org_id, due_at) where status = 'queued';
select ptp.protect('ptp.outbox', false);
create trigger keep before delete or truncate on ptp.outbox for each statement execute function ptp.refuse_rewrite();

create function ptp.check_outbox() returns trigger language plpgsql set search_path = ptp, pg_temp
as $$
begin
  if old.status <> 'queued' then
    perform ptp.refuse('PT004', format('Mail %s was already %s.', old.send_key, old.status));
  end if;
  return new;
end $$;
create trigger check_outbox before update on ptp.outbox for each row execute function ptp.check_outbox();

create table ptp.outbox_attachment (
  org_id text not null,
  message_id bigint not null,
  position int not null,
  name text not null,
  content_type text not null,
  content bytea not null,
  primary key (org_id, message_id, position),
  foreign key (org_id, message_id) references ptp.outbox
);
select ptp.protect('ptp.outbox_attachment', true);

create table ptp.outbox_attempt (
  org_id text not null,
  message_id bigint not null,
  attempt int not null,
  finished_at timestamptz not null default now(),
  outcome text not null check (outcome in ('sent', 'retry', 'failed')),
  provider_id text not null default '',
  error text not null default '',
  primary key (org_id, message_id, attempt),
  foreign key (org_id, message_id) references ptp.outbox
);
select ptp.protect('ptp.outbox_attempt', true);

create table ptp.build (
  org_id text not null references ptp.org,
  build_id text not null,
  as_of date not null,
  run_id text not null,
  digest text not null,
  ledger_position bigint not null,
  counts jsonb not null,
  evidence jsonb not null check (jsonb_typeof(evidence) = 'object'),
  audit_seq bigint not null generated always as (coalesce((evidence ->> 'audit_seq')::bigint, 0)) stored,
  audit_hash text not null generated always as (coalesce(evidence ->> 'audit_hash', '')) stored,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (org_id, build_id)
);
select ptp.protect('ptp.build', true);

create function ptp.tell_build() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  perform ptp.record('build.recorded', 'build', new.build_id, '', null,
                     jsonb_build_object('as_of', new.as_of, 'digest', new.digest, 'ledger_position', new.ledger_position) || new.evidence);
  return null;
end $$;
create trigger tell after insert on ptp.build for each row execute function ptp.tell_build();

-- The lock itself is a session advisory lock, which dies with its holder; this row only says who that is.
create table ptp.run_lock_holder (
  org_id text not null references ptp.org,
  holder text not null,
  host text not null,
  pid int not null,
  since timestamptz not null default clock_timestamp(),
  primary key (org_id)
);
select ptp.protect('ptp.run_lock_holder', false);

grant select on ptp.received_file, ptp.build to ptp_app, ptp_pipeline, ptp_ops;
grant select on ptp.transition to ptp_app, ptp_pipeline;
grant select on ptp.outbox, ptp.outbox_attachment to ptp_pipeline, ptp_ops;
grant select on ptp.outbox_attempt to ptp_pipeline;
grant insert on ptp.received_file, ptp.transition, ptp.outbox_attempt, ptp.build to ptp_pipeline;
grant insert on ptp.outbox, ptp.outbox_attachment to ptp_pipeline, ptp_ops;
grant update (status, attempts, due_at, claimed_until, first_tried_at, sent_at, last_error) on ptp.outbox to ptp_pipeline;
grant select, insert, update, delete on ptp.run_lock_holder to ptp_pipeline;
