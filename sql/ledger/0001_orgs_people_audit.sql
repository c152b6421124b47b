-- Orgs, their policy, the people, how they prove who they are, and the chained audit trail.
-- Everything is owned by ptp_owner. Three logins get exactly what is granted: ptp_app (people), ptp_pipeline (runs, sensors, the
-- mailer) and ptp_ops (the operator). Row-level security is forced, so that not even the owner's own functions see a row outside
-- the org the transaction entered.

alter default privileges revoke execute on functions from public;
grant usage on schema ptp to ptp_app, ptp_pipeline, ptp_ops;

-- who and where: ptp.enter writes it once per transaction -----------------------------------------------------------
-- Settings can be changed by any client at any time, so nothing is decided by them: row-level security and authorship go by the
-- row a transaction has here. Unlogged, because a row means something only in the transaction that wrote it: reading costs no
-- disk write. `is_inside`: may see the org's rows; a person only once a proof was shown, runs and the operator by their login.
-- `own_names`: whose commitments a collector sees where policy says own book only; NULL for everybody else, who see the whole book.
-- `proof_sha256`: the sign-in a person showed, which is looked at again with every act.

create unlogged table ptp.visit (
  backend int primary key,
  in_transaction xid8 not null,
  began_at timestamptz not null,
  org_id text not null,
  is_inside boolean not null,
  is_person boolean not null,
  actor text not null,
  role text not null,
  auth text not null,
  origin text not null,
  place text not null,
  run text,
  scopes text[] not null default '{}',
  own_names text[],
  proof_sha256 text
);
alter table ptp.visit enable row level security;
alter table ptp.visit force row level security;
create policy own_connection on ptp.visit using (backend = pg_backend_pid()) with check (backend = pg_backend_pid());
grant select on ptp.visit to ptp_app, ptp_pipeline, ptp_ops;

create function ptp.here() returns setof ptp.visit language sql stable
as $$
  select * from ptp.visit a
  where a.backend = pg_backend_pid() and a.in_transaction = pg_current_xact_id_if_assigned() and a.began_at = now()
$$;

-- A copy of the org entered, for queries to say: an index can use it. Changing it shows nothing else.
create function ptp.current_org() returns text language sql stable
as $$ select nullif(current_setting('ptp.org_id', true), '') $$;

grant execute on function ptp.here, ptp.current_org to ptp_app, ptp_pipeline, ptp_ops;

create function ptp.refuse(code text, message text, hint text default '') returns void language plpgsql
as $$
begin
  raise exception using errcode = code, message = message, hint = hint;
end $$;
grant execute on function ptp.refuse to ptp_app, ptp_pipeline, ptp_ops;

-- One lock for all writes of an org that must see each other: simple, and it cannot deadlock with itself. Who waits for it must then
-- see what the other wrote, which only a transaction that reads what is committed by now does.
create function ptp.lock_org() returns void language plpgsql set search_path = ptp, pg_temp
as $$
begin
  if ptp.current_org() is null then
    perform ptp.refuse('PT005', 'No org is named for this transaction.');
  end if;
  -- The setting is anybody's to change: a rule that looks things up by it would look in another org, and find nothing against the act.
  if not exists (select from ptp.here() as h where h.org_id = ptp.current_org()) then
    perform ptp.refuse('PT005', format('This transaction did not enter the org %s.', ptp.current_org()));
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform ptp.refuse('PT003', 'The ledger is written at isolation level read committed.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('ptp.org:' || ptp.current_org(), 0));
end $$;
grant execute on function ptp.lock_org to ptp_app, ptp_pipeline, ptp_ops;

create function ptp.refuse_rewrite() returns trigger language plpgsql set search_path = ptp, pg_temp
as $$
begin
  perform ptp.refuse('PT004', format('%s is append-only: nothing in it is changed or removed.', tg_table_name), 'Record a new fact instead.');
  return null;
end $$;

-- Every table with an org_id goes through here; a test walks the catalogue for one that did not. The org is looked up once per
-- statement, not per row. A collector who sees the own book only sees the rows of commitments seen, by commitment_id; `own_book` and
-- `own_book_check` say it for tables that need other words.
create function ptp.protect(relation regclass, is_append_only boolean, own_book text default null, own_book_check text default null)
returns void language plpgsql
as $$
declare
  name text := (select relname from pg_class where oid = relation);
  entered text := '(select a.org_id from ptp.visit a where a.backend = pg_backend_pid()
                    and a.in_transaction = pg_current_xact_id_if_assigned() and a.began_at = now() %s)';
  login text;
begin
  execute format('alter table %s enable row level security', relation);
  execute format('alter table %s force row level security', relation);
  execute format('create policy own_org on %s to ptp_owner using (org_id = %2$s) with check (org_id = %2$s)', relation, format(entered, ''));
  foreach login in array array['ptp_app', 'ptp_pipeline', 'ptp_ops'] loop
    execute format('create policy %I on %s to %I using (org_id = %4$s) with check (org_id = %4$s)', 'own_org_' || login, relation, login,
                   format(entered, 'and a.is_inside'));
  end loop;
  if own_book is null and exists (select from pg_attribute where attrelid = relation and attname = 'commitment_id') then
    own_book := format('exists (select from ptp.commitment c where c.org_id = %1$I.org_id and c.commitment_id = %1$I.commitment_id)', name);
  end if;
  if own_book is not null then
    execute format('create policy own_book on %s as restrictive to ptp_app using ((select h.own_names from ptp.here() as h) is null or %s)
                    with check ((select h.own_names from ptp.here() as h) is null or %s)', relation, own_book, coalesce(own_book_check, own_book));
  end if;
  if is_append_only then
    execute format('create trigger append_only before update or delete or truncate on %s
                    for each statement execute function ptp.refuse_rewrite()', relation);
  end if;
end $$;

-- money ------------------------------------------------------------------------------------------------------------

create function ptp.exponent(currency text) returns int language sql immutable
as $$
  select case
    when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF', 'XPF') then 0
    when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3
    when currency in ('CLF', 'UYW') then 4
    else 2
  end
$$;

create function ptp.format_money(minor numeric, currency text) returns text language sql immutable
as $$
  select to_char(minor / 10::numeric ^ ptp.exponent(currency),
                 'FM999,999,999,999,999,990' || case ptp.exponent(currency) when 0 then '' else '.' || repeat('0', ptp.exponent(currency)) end)
         || ' ' || currency
$$;
grant execute on function ptp.exponent, ptp.format_money to ptp_app, ptp_pipeline, ptp_ops;

-- orgs and policy --------------------------------------------------------------------------------------------------

create table ptp.org (
  org_id text primary key check (org_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  created_at timestamptz not null default now()
);
select ptp.protect('ptp.org', true);
-- The operator sees all of them before entering one.
create policy operator_lists_orgs on ptp.org for select to ptp_ops using ((select h.org_id = '' from ptp.here() as h));

-- The policy of a day is the version that starts last on or before it; of several that start on one day, the newest.
create table ptp.policy_version (
  org_id text not null references ptp.org,
  version int not null check (version > 0),
  effective_from date not null,
  policy jsonb not null check (jsonb_typeof(policy) = 'object'),
  reason text not null check (reason ~ '\S'),
  changed_by text not null,
  changed_at timestamptz not null default now(),
  primary key (org_id, version)
);
select ptp.protect('ptp.policy_version', true);
create policy operator_reads_policies on ptp.policy_version for select to ptp_ops using ((select h.org_id = '' from ptp.here() as h));

-- domain/policy.py checks every key and says what is wrong with it; what SQL itself goes by is checked for any client.
create function ptp.check_policy() returns trigger language plpgsql set search_path = ptp, pg_temp
as $$
declare
  unknown text;
  limits jsonb := new.policy #> '{approval,caps}';
begin
  select k into unknown from jsonb_object_keys(new.policy) as k
  where k <> all (array['currency', 'timezone', 'calendar', 'business_day_rule', 'grace_days', 'tolerance_amount', 'tolerance_percent',
                        'overpayment_rule', 'exact_amount_window_days', 'due_soon_days', 'default_after_broken', 'automatic_promises',
                        'over_promising', 'collectors_see', 'approval', 'alert_recipients', 'ladder', 'alerts', 'risk_weights', 'tiers',
                        'terms_library', 'promise_actions', 'feed_mappings']) limit 1;
  if found then
    perform ptp.refuse('PT001', format('There is no policy key %s.', unknown), 'ptp org list --json shows every key.');
  end if;
  begin
    perform now() at time zone (new.policy ->> 'timezone');
  exception when invalid_parameter_value then
    perform ptp.refuse('PT001', format('There is no time zone %s.', new.policy ->> 'timezone'), 'Use an IANA name, for example Europe/Berlin.');
  end;
  if new.policy ->> 'timezone' is null then
    perform ptp.refuse('PT001', 'A policy names its timezone.');
  elsif coalesce(new.policy ->> 'over_promising', 'refuse') not in ('refuse', 'allow') then
    perform ptp.refuse('PT001', 'over_promising is refuse or allow.');
  elsif not coalesce((new.policy #> '{approval,kinds}') ? 'plan', false) then
    perform ptp.refuse('PT001', 'A plan always needs a supervisor: approval.kinds names it.', 'Keep plan in approval.kinds.');
  elsif jsonb_typeof(limits) is distinct from 'object' or exists (
    select from jsonb_each(limits) as c (by_role, most)
    where by_role not in ('supervisor', 'controller', 'legal') or jsonb_typeof(most) is distinct from 'object'
      or exists (select from jsonb_each_text(most) as m where m.value !~ '^[0-9]+(\.[0-9]+)?$')) then
    perform ptp.refuse('PT001', 'approval.caps names limits, which are numbers or null, for supervisor, controller and legal.');
  elsif concat(new.policy #>> '{approval,promise_days}') !~ '^[0-9]*$' or concat(new.policy #>> '{approval,promise_amount}') !~ '^([0-9]+(\.[0-9]+)?)?$' then
    perform ptp.refuse('PT001', 'approval.promise_days and approval.promise_amount are numbers or null.');
  end if;
  return new;
end $$;
create trigger check_policy before insert on ptp.policy_version for each row execute function ptp.check_policy();

-- What holds on a day, leaving out what one person changed.
create function ptp.policy_version_on(day date, not_by text default '') returns setof ptp.policy_version language sql stable
as $$
  select p.* from ptp.policy_version p
  where p.org_id = ptp.current_org() and p.effective_from <= day and p.changed_by <> not_by order by p.effective_from desc, p.version desc limit 1
$$;

create function ptp.policy_on(day date) returns jsonb language sql stable
as $$ select p.policy from ptp.policy_version_on(day) as p $$;

-- The time zone is that of the day in UTC: one that holds from next month on does not move today.
create function ptp.org_today() returns date language sql stable
as $$ select (now() at time zone coalesce(ptp.policy_on((now() at time zone 'UTC')::date) ->> 'timezone', 'UTC'))::date $$;

-- The policy in force but for what this person changed: a limit one loosened oneself is for others to use.
create function ptp.policy_by_others(person text) returns jsonb language sql stable
as $$ select p.policy from ptp.policy_version_on(ptp.org_today(), person) as p $$;

grant execute on function ptp.policy_version_on, ptp.policy_on, ptp.policy_by_others, ptp.org_today to ptp_app, ptp_pipeline, ptp_ops;

-- audit: one chain per org -----------------------------------------------------------------------------------------

create table ptp.audit_event (
  org_id text not null references ptp.org,
  seq bigint not null,
  at timestamptz not null,
  actor text not null,
  role text not null,
  auth text not null,
  origin text not null,
  place text not null,
  run text,
  action text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
  object_type text not null,
  object_id text not null,
  reason text not null default '',
  before jsonb,
  after jsonb,
  changes_inputs boolean not null,
  prev_hash text not null,
  hash text not null,
  primary key (org_id, seq)
);
create index audit_event_object on ptp.audit_event (org_id, object_id, seq);
create index audit_event_inputs on ptp.audit_event (org_id, seq) where changes_inputs;
select ptp.protect('ptp.audit_event', true);

-- What a run reads. Runs, mail and logins are not inputs, or runs would start runs.
create function ptp.changes_inputs(action text) returns boolean language sql immutable
as $$
  select action in ('org.created', 'policy.changed', 'file.accepted', 'commitment.logged', 'commitment.renegotiated', 'commitment.cancelled',
                    'commitment.withdrawn', 'commitment.closed', 'commitment.paused', 'commitment.resumed', 'approval.approved', 'approval.rejected',
                    'approval.sent_back', 'override.set', 'override.split', 'override.undone')
$$;

create function ptp.audit_hash(e ptp.audit_event) returns text language sql stable
as $$
  select encode(sha256(convert_to(
    e.prev_hash || jsonb_build_array(e.org_id, e.seq, (extract(epoch from e.at) * 1000000)::bigint, e.actor, e.role, e.auth, e.origin, e.place, e.run,
                                     e.action,
                                     e.object_type, e.object_id, e.reason, e.before, e.after)::text, 'UTF8')), 'hex')
$$;
grant execute on function ptp.audit_hash to ptp_app, ptp_pipeline, ptp_ops;

create function ptp.chain_audit_event() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  last record;
  who record;
begin
  select * into who from ptp.identity(new.action in ('login.refused', 'login.locked', 'code.refused'));
  perform ptp.lock_org();
  select seq, hash into last from ptp.audit_event where org_id = ptp.current_org() order by seq desc limit 1;
  new.org_id := ptp.current_org();
  new.seq := coalesce(last.seq, 0) + 1;
  new.prev_hash := coalesce(last.hash, repeat('0', 64));
  new.at := clock_timestamp();
  new.actor := who.actor;
  new.role := who.role;
  new.auth := who.auth;
  new.origin := who.origin;
  new.place := who.place;
  new.run := who.run;
  new.changes_inputs := ptp.changes_inputs(new.action);
  new.hash := ptp.audit_hash(new);
  return new;
end $$;
create trigger chain before insert on ptp.audit_event for each row execute function ptp.chain_audit_event();

create function ptp.record(action text, object_type text, object_id text, reason text, before jsonb, after jsonb) returns void
language sql set search_path = ptp, pg_temp
as $$
  insert into ptp.audit_event (org_id, action, object_type, object_id, reason, before, after)
  values (ptp.current_org(), action, object_type, object_id, coalesce(reason, ''), before, after)
$$;

-- The only way in for clients: one event per object, of the kinds their login does. What the ledger's own functions and triggers
-- record, nobody else does.
create function ptp.note(act text, object_type text, object_ids text[], reason text, before jsonb, afters jsonb[]) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  if act ~ '^(approval|user|token|policy|org|override|login)\.'
    or act in ('commitment.logged', 'commitment.renegotiated', 'build.recorded', 'file.accepted', 'file.rejected', 'code.issued',
      'commitment.cancelled', 'commitment.withdrawn', 'commitment.closed', 'commitment.paused', 'commitment.resumed') then
    perform ptp.refuse('PT003', format('%s is recorded by the ledger itself, when it happens.', act));
  end if;
  if session_user = 'ptp_app' and act ~ '^export\.' then
    perform ptp.author('export', array['collector', 'supervisor', 'controller', 'legal', 'analyst', 'admin'], array['read']);
  elsif session_user = 'ptp_app' and act <> 'code.refused' then
    perform ptp.author('log anything');
  end if;
  if not (case session_user
    when 'ptp_pipeline' then act ~ '^(mail|transition|run)\.'
    when 'ptp_ops' then act ~ '^(mail|export)\.'
    else act ~ '^export\.|\.logged$' or act = 'code.refused' end) then
    perform ptp.refuse('PT003', format('%s is not something %s does.', act, (select i.actor from ptp.identity() as i)));
  end if;
  perform ptp.identity();
  insert into ptp.audit_event (org_id, action, object_type, object_id, reason, before, after)
  select ptp.current_org(), act, note.object_type, o.object_id, coalesce(note.reason, ''), note.before, o.after
  from unnest(object_ids, afters) with ordinality as o (object_id, after, position) order by o.position;
end $$;

-- people -----------------------------------------------------------------------------------------------------------
-- Passwords: Python stretches with argon2id under the stored parameters and salt; what is stored is the sha256 of the result.
-- So the check happens here, the app role can read no verifier, and a stolen table is as hard to crack as argon2id makes it.
-- Without a password the two columns are empty: nothing stretched has an empty hash.

create table ptp.app_user (
  org_id text not null references ptp.org,
  user_name text not null check (user_name ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$' and user_name not in ('policy', 'pipeline', 'operator', 'mailer', 'unknown')),
  role text not null check (role in ('collector', 'supervisor', 'controller', 'legal', 'analyst', 'admin')),
  email text not null default '',
  is_active boolean not null default true,
  role_by text not null,
  password_parameters text not null,
  password_verifier text not null,
  password_set_by text not null,
  password_set_at timestamptz not null default clock_timestamp(),
  added_by text not null,
  added_at timestamptz not null default now(),
  primary key (org_id, user_name)
);
select ptp.protect('ptp.app_user', false);

-- What a role can be used for: a token carries all of it or less, and never gains by a later promotion. `manage` is one's own
-- password and tokens and, for who may, other people and policy.
create function ptp.scopes_of(role text) returns text[] language sql immutable
as $$
  select case when role in ('supervisor', 'controller', 'legal') then array['read', 'log', 'approve', 'manage']
              when role in ('collector', 'admin') then array['read', 'log', 'manage']
              else array['read', 'manage'] end
$$;

-- Roles that could approve, or make somebody who can. Given by an admin, they take a second person to come into force.
create function ptp.is_entrusted(role text) returns boolean language sql immutable
as $$ select role in ('supervisor', 'controller', 'legal', 'admin') $$;

create table ptp.user_token (
  org_id text not null,
  token_id text not null,
  user_name text not null,
  secret_sha256 text not null check (secret_sha256 ~ '^[0-9a-f]{64}$'),
  scopes text[] not null check (scopes <@ array['read', 'log', 'approve', 'manage']),
  expires_at timestamptz not null,
  issued_by text not null,
  issued_at timestamptz not null default now(),
  primary key (org_id, token_id),
  foreign key (org_id, user_name) references ptp.app_user
);
select ptp.protect('ptp.user_token', true);

create table ptp.token_revocation (
  org_id text not null,
  token_id text not null,
  reason text not null,
  revoked_by text not null,
  revoked_at timestamptz not null default now(),
  primary key (org_id, token_id),
  foreign key (org_id, token_id) references ptp.user_token
);
select ptp.protect('ptp.token_revocation', true);

-- What a token may be used for; NULL once it has expired or was revoked.
create function ptp.token_scopes(id text) returns text[] language sql stable
as $$
  select t.scopes from ptp.user_token t
  where t.org_id = ptp.current_org() and t.token_id = id and t.expires_at > clock_timestamp()
    and not exists (select from ptp.token_revocation r where r.org_id = t.org_id and r.token_id = t.token_id)
$$;

-- A sign-in is the proof that later functions ask for. It is made only by the functions below, which check a credential.
create table ptp.sign_in (
  org_id text not null,
  proof_sha256 text not null,
  user_name text not null,
  auth text not null check (auth in ('token', 'password', 'code')),
  origin text not null,
  signed_in_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  token_id text check ((token_id is not null) = (auth = 'token')),
  only_items jsonb,
  primary key (org_id, proof_sha256),
  foreign key (org_id, user_name) references ptp.app_user,
  foreign key (org_id, token_id) references ptp.user_token
);
create index sign_in_user on ptp.sign_in (org_id, user_name, signed_in_at);
select ptp.protect('ptp.sign_in', true);

-- Guesses of passwords and codes, by the name given, whether there is such a user or not; and the operator's or an admin's
-- leave to try again. Of a password the hash of its argon2id result is kept, as in app_user.
create table ptp.sign_in_attempt (
  org_id text not null references ptp.org,
  attempt_id bigint generated always as identity,
  user_name text not null check (length(user_name) <= 128),
  kind text not null check (kind in ('password', 'code', 'unlock')),
  guess_sha256 text not null default '',
  in_transaction xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  primary key (org_id, attempt_id)
);
create index sign_in_attempt_user on ptp.sign_in_attempt (org_id, user_name, at);
select ptp.protect('ptp.sign_in_attempt', true);

-- Which org a run works for: the one under which it was first seen. Its transactions may enter no other.
create table ptp.run_org (
  run_id text primary key,
  org_id text not null,
  first_seen_at timestamptz not null default now()
);
select ptp.protect('ptp.run_org', true);

-- The first statement of every transaction of the connection helper: where it works and who acts. Once per transaction, so that none
-- touches two orgs. A person's proof comes with it; without one (NULL) a person stands at the door, where only signing in works.
create function ptp.enter(org text, actor text, role text, auth text, origin text, place text, run text, proof text) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  by_login text := case session_user when 'ptp_pipeline' then 'pipeline' when 'ptp_ops' then 'operator' end;
begin
  if exists (select from ptp.here()) then
    perform ptp.refuse('PT005', 'A transaction enters one org, once.');
  elsif coalesce(actor, '') = '' or coalesce(role, '') = '' or coalesce(auth, '') = '' or coalesce(origin, '') = '' then
    perform ptp.refuse('PT005', 'Nobody is named as acting.', 'Acts are recorded with who, role, how authenticated and from where.');
  elsif auth is distinct from coalesce(by_login, auth) or (by_login = 'pipeline' and (role <> 'pipeline' or actor not in ('pipeline', 'mailer')))
    or (by_login = 'operator' and (role <> 'operator' or actor <> 'operator')) then
    perform ptp.refuse('PT005', format('%s does not act through this login.', actor));
  end if;
  insert into ptp.visit
  values (pg_backend_pid(), pg_current_xact_id(), now(), org, by_login is not null, false, actor, role, auth, origin,
          coalesce(place, '') || coalesce(' ' || host(inet_client_addr()), ''), nullif(run, ''), '{}', null, null)
  on conflict (backend) do update set in_transaction = excluded.in_transaction, began_at = excluded.began_at, org_id = excluded.org_id,
    is_inside = excluded.is_inside, is_person = excluded.is_person, actor = excluded.actor, role = excluded.role, auth = excluded.auth,
    origin = excluded.origin, place = excluded.place, run = excluded.run, scopes = excluded.scopes, own_names = null,
    proof_sha256 = null;
  perform set_config('ptp.org_id', org, true);
  if by_login is null and proof is not null then
    perform ptp.acting(proof);
  elsif by_login = 'pipeline' and run <> '' and not exists (select from ptp.run_org r where r.run_id = run) then
    -- An earlier row of another org is invisible here, and takes the insert.
    insert into ptp.run_org (run_id, org_id) values (run, org) on conflict (run_id) do nothing;
    if not exists (select from ptp.run_org r where r.run_id = run) then
      perform ptp.refuse('PT003', format('Run %s works for another org than %s.', run, org), 'A run touches one org.');
    end if;
  end if;
end $$;

create function ptp.show_person(name text, role_now text, how text, may text[], proof_hash text) returns void language plpgsql set search_path = ptp, pg_temp
as $$
begin
  update ptp.visit a set is_inside = true, is_person = true, actor = name, role = role_now, auth = how, scopes = may,
    proof_sha256 = proof_hash,
    own_names = case when role_now = 'collector' and ptp.policy_on(ptp.org_today()) ->> 'collectors_see' = 'own'
      then (select array[u.user_name, lower(u.email)] from ptp.app_user u where u.org_id = a.org_id and u.user_name = name) end
  where a.backend = pg_backend_pid() and a.in_transaction = pg_current_xact_id() and a.began_at = now() and a.org_id = ptp.current_org();
  if not found then
    perform ptp.refuse('PT005', 'No org is named for this transaction.');
  end if;
end $$;

-- The person proven in this transaction; no row when there is none.
create function ptp.person() returns table (user_name text, role text, auth text, scopes text[]) language sql stable
set search_path = ptp, pg_temp
as $$ select h.actor, h.role, h.auth, h.scopes from ptp.here() as h where h.is_person $$;

-- Under which name something is recorded: the proven person, the pipeline or the operator.
create function ptp.identity(may_be_unknown boolean default false) returns setof ptp.visit
language plpgsql set search_path = ptp, pg_temp
as $$
declare
  who ptp.visit;
begin
  select * into who from ptp.here();
  if not found then
    perform ptp.refuse('PT005', 'No org is named for this transaction.');
  elsif not who.is_inside and may_be_unknown then
    who.actor := 'unknown';
    who.role := 'none';
  elsif not who.is_inside then
    perform ptp.refuse('PT005', format('%s has not signed in.', who.actor), 'Use --token or PTP_TOKEN of an active user.');
  end if;
  return next who;
end $$;

-- The person proven in this transaction must have signed in with something good for one of these.
create function ptp.demand_scope(needed text[]) returns void language plpgsql set search_path = ptp, pg_temp
as $$
declare
  who record;
begin
  select * into who from ptp.person();
  if found and who.scopes = array['password'] and not needed && who.scopes then
    perform ptp.refuse('PT003', format('The password of %s was set by somebody else; with it %s can only set another.', who.user_name, who.user_name),
                       'Set a password of your own first.');
  elsif found and not needed && who.scopes then
    perform ptp.refuse('PT003', format('This token of %s is not for this: it is for %s, and this needs %s.', who.user_name,
                       array_to_string(who.scopes, ', '), needed[1]), 'Use another token; ptp user tokens shows what each is for.');
  end if;
end $$;

-- The person proven in this transaction, who must have one of the roles and a sign-in for one of the scopes. Looked at again with every
-- act, behind the lock of the org: a transaction may have been open or have waited for long, and no role, token or password changes
-- between the look and the act.
create function ptp.author(act text, roles text[] default array['collector', 'supervisor', 'controller', 'legal', 'admin'],
                           scopes text[] default array['log']) returns text
language plpgsql set search_path = ptp, pg_temp
as $$
declare
  who record;
  still record;
begin
  select h.actor, h.role, h.auth, h.proof_sha256 into who from ptp.here() as h where h.is_person;
  if not found then
    perform ptp.refuse('PT005', 'This needs a person who has signed in.', 'Use --token or PTP_TOKEN of an active user.');
  end if;
  perform ptp.lock_org();
  select * into still from ptp.signed_in(who.proof_sha256);
  if still.role is distinct from who.role then
    perform ptp.refuse('PT005', format('%s is no longer signed in as an active %s.', who.actor, who.role), 'Sign in again.');
  elsif who.auth = 'code' then
    perform ptp.refuse('PT003', 'An approval code is for deciding and nothing else.', 'Use --token or PTP_TOKEN.');
  elsif who.role <> all (roles) then
    perform ptp.refuse('PT003', format('%s is %s %s and may not %s.', who.actor, case when who.role in ('analyst', 'admin') then 'an' else 'a' end,
                       who.role, act), format('Ask a user with the role %s.', array_to_string(roles, ' or ')));
  end if;
  perform ptp.demand_scope(scopes);
  return who.actor;
end $$;

create function ptp.sha256_hex(secret text) returns text language sql immutable
as $$ select encode(sha256(convert_to(secret, 'UTF8')), 'hex') $$;

-- Makes a sign-in for a user whose credential was just checked; returns its proof, which is stored only as a hash.
create function ptp.open_sign_in(name text, how text, until timestamptz, items jsonb, token text default null) returns text
language plpgsql set search_path = ptp, pg_temp
as $$
declare
  proof text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
  insert into ptp.sign_in (org_id, proof_sha256, user_name, auth, origin, expires_at, token_id, only_items)
  values (ptp.current_org(), ptp.sha256_hex(proof), name, how, (select h.origin from ptp.here() as h), until, token, items);
  perform ptp.acting(proof);
  return proof;
end $$;

-- A try that failed is an event of the org it was aimed at, if there is one.
create function ptp.refused_login(object_type text, object_id text, why text) returns void language sql set search_path = ptp, pg_temp
as $$ select ptp.record('login.refused', object_type, object_id, why, null, null) from ptp.org $$;

-- How a person's password is stretched, asked for at the door. For a name that is not known the answer looks the same, and stays the
-- same: its salt is made of a verifier nobody can read.
create function ptp.password_parameters(name text) returns text language sql stable security definer set search_path = ptp, pg_temp
as $$
  select coalesce(
    (select u.password_parameters from ptp.app_user u where u.user_name = name and u.password_parameters <> ''),
    (select regexp_replace(u.password_parameters, '[^$]*$', left(ptp.sha256_hex(name || u.password_verifier), 32))
     from ptp.app_user u where u.password_parameters <> '' order by u.added_at desc, u.user_name limit 1))
$$;

create function ptp.sign_in_with_token(token text) returns table (user_name text, role text, proof text)
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  known record;
begin
  select u.user_name, u.role, t.token_id, t.expires_at into known
  from ptp.user_token t join ptp.app_user u using (org_id, user_name)
  where t.org_id = ptp.current_org() and t.token_id = split_part(token, '_', 2) and t.secret_sha256 = ptp.sha256_hex(token)
    and ptp.token_scopes(t.token_id) is not null and u.is_active;
  if known.user_name is null then
    perform ptp.refused_login('token', left(split_part(token, '_', 2), 12), 'unknown, expired or withdrawn');
    return;
  end if;
  proof := ptp.open_sign_in(known.user_name, 'token', least(known.expires_at, now() + interval '12 hours'), null, known.token_id);
  perform ptp.record('login.accepted', 'user', known.user_name, '', null, jsonb_build_object('token', known.token_id));
  user_name := known.user_name;
  role := known.role;
  return next;
end $$;

-- Guesses since the last right one, within a day, and until when no other is taken: five are free, then a minute, doubled up to an hour.
-- Passwords and codes count apart, and tokens do not count: nobody is kept from working by somebody who guesses at their name.
create function ptp.guesses(name text, what text) returns table (tries int, closed_until timestamptz) language sql stable set search_path = ptp, pg_temp
as $$
  select count(*)::int,
         max(a.at) + case when count(*) < 5 then interval '0' else least(interval '1 minute' * 2 ^ least(count(*) - 5, 10), interval '1 hour') end
  from ptp.sign_in_attempt a
  where a.org_id = ptp.current_org() and a.user_name = name and a.kind = what and a.at > coalesce(greatest(
    now() - interval '1 day',
    (select max(s.signed_in_at) from ptp.sign_in s where s.org_id = ptp.current_org() and s.user_name = name and s.auth = what),
    (select max(u.at) from ptp.sign_in_attempt u where u.org_id = ptp.current_org() and u.user_name = name and u.kind = 'unlock')))
$$;

-- Seconds to wait before another guess is taken; 0 for none.
create function ptp.must_wait(name text, what text) returns int language sql stable set search_path = ptp, pg_temp
as $$
  select coalesce((select greatest(ceil(extract(epoch from g.closed_until - clock_timestamp()))::int, 0)
                   from ptp.guesses(name, what) as g where g.tries >= 5), 0)
$$;

create function ptp.count_guess(name text, what text, guess text) returns void language plpgsql set search_path = ptp, pg_temp
as $$
declare
  g record;
begin
  insert into ptp.sign_in_attempt (org_id, user_name, kind, guess_sha256) values (ptp.current_org(), name, what, ptp.sha256_hex(guess));
  select * into g from ptp.guesses(name, what);
  if g.tries >= 5 then
    perform ptp.record('login.locked', 'user', name, format('%s guesses in a row', g.tries), null,
                       jsonb_build_object('kind', what, 'until', g.closed_until));
  end if;
end $$;

-- A guess is given and committed before it is checked: neither many connections nor a rolled-back transaction makes one free.
-- Returns the seconds to wait when it is not taken. An org that does not exist has nothing to guess.
create function ptp.present_password(name text, stretched text) returns int
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  seconds int;
begin
  perform ptp.lock_org();
  seconds := ptp.must_wait(name, 'password');
  if seconds = 0 then
    perform ptp.count_guess(name, 'password', stretched) from ptp.org;
  end if;
  return seconds;
end $$;

-- With newer parameters, the password just found right is kept under these from now on. That it is the same password, only the client
-- knows: in the trail it is a password that was set, by its owner, and what else is open with the old one ends.
create function ptp.sign_in_with_password(name text, stretched text, newer_parameters text default null, newer_verifier text default null)
returns table (user_name text, role text, proof text)
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  known record;
begin
  if not exists (select from ptp.org) then
    return;
  end if;
  perform ptp.lock_org();
  if not exists (
    select from ptp.sign_in_attempt a
    where a.org_id = ptp.current_org() and a.user_name = name and a.kind = 'password' and a.guess_sha256 = ptp.sha256_hex(stretched)
      and a.in_transaction <> pg_current_xact_id() and a.at > now() - interval '1 minute') then
    perform ptp.refuse('PT005', 'A password is checked only after it was presented.', 'ptp.present_password, and commit.');
  end if;
  select u.user_name, u.role into known from ptp.app_user u
  where u.org_id = ptp.current_org() and u.user_name = name and u.is_active and u.password_verifier = ptp.sha256_hex(stretched);
  if known.user_name is null then
    perform ptp.refused_login('user', left(name, 128), 'unknown user or wrong password');
    return;
  end if;
  if newer_parameters is not null then
    update ptp.app_user u set password_parameters = newer_parameters, password_verifier = newer_verifier, password_set_at = clock_timestamp()
    where u.org_id = ptp.current_org() and u.user_name = known.user_name;
  end if;
  proof := ptp.open_sign_in(known.user_name, 'password', now() + interval '12 hours', null);
  perform ptp.record('login.accepted', 'user', known.user_name, '', null, null);
  if newer_parameters is not null then
    perform ptp.record('user.password_set', 'user', known.user_name, 'Stretched anew at sign-in, as the parameters had become old.', null, null);
  end if;
  user_name := known.user_name;
  role := known.role;
  return next;
end $$;

-- The person behind a sign-in, as things stand at this moment; no row when it is good for nothing (any more). Role, activity and token
-- are looked at each time; a new password ends what was opened with the old one; a password that somebody else set is for setting another.
create function ptp.signed_in(proof_hash text) returns table (user_name text, role text, auth text, only_items jsonb, scopes text[])
language plpgsql set search_path = ptp, pg_temp
as $$
begin
  return query
    select x.*
    from (
      select s.user_name, u.role, s.auth, s.only_items,
             case s.auth when 'token' then ptp.token_scopes(s.token_id)
                         when 'code' then array['approve']
                         else case when u.password_set_by = u.user_name then ptp.scopes_of(u.role) else array['password'] end end as may
      from ptp.sign_in s join ptp.app_user u using (org_id, user_name)
      where s.org_id = ptp.current_org() and s.proof_sha256 = proof_hash and s.expires_at > clock_timestamp() and u.is_active
        and (s.auth <> 'password' or s.signed_in_at >= u.password_set_at)
    ) as x
    where x.may is not null;
end $$;

-- The signed-in person behind a proof. From here on the transaction sees the org's rows and is recorded under that name.
create function ptp.acting(proof text) returns table (user_name text, role text, auth text, only_items jsonb)
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  hash text := ptp.sha256_hex(coalesce(proof, ''));
  may text[];
begin
  select s.* into user_name, role, auth, only_items, may from ptp.signed_in(hash) as s;
  if user_name is null then
    perform ptp.refuse('PT005', 'This needs a person who has signed in.', 'Use --token or PTP_TOKEN of an active user, or an approval code.');
  end if;
  perform ptp.show_person(user_name, role, auth, may, hash);
  return next;
end $$;

-- The operator (who holds the machine and connects as ptp_ops) or a signed-in person with one of these roles, or oneself. Behind the lock
-- of the org, as in `author`.
create function ptp.demand(proof text, roles text[], oneself text default null, scopes text[] default array['manage']) returns void
language plpgsql set search_path = ptp, pg_temp
as $$
declare
  person record;
begin
  perform ptp.lock_org();
  if session_user = 'ptp_ops' then
    return;
  end if;
  select * into person from ptp.acting(proof);
  if person.auth = 'code' then
    perform ptp.refuse('PT003', 'An approval code is for deciding and nothing else.', 'Use --token or PTP_TOKEN.');
  end if;
  if person.role <> all (roles) and person.user_name is distinct from oneself then
    perform ptp.refuse('PT003', format('%s is %s %s and may not do this.', person.user_name,
                       case when person.role in ('analyst', 'admin') then 'an' else 'a' end, person.role),
                       case when cardinality(roles) > 0 then format('Ask a user with the role %s, or the operator.', array_to_string(roles, ' or '))
                            else 'Ask the operator.' end);
  end if;
  perform ptp.demand_scope(scopes);
end $$;

create function ptp.demand_user(name text) returns ptp.app_user language plpgsql set search_path = ptp, pg_temp
as $$
declare
  known ptp.app_user;
begin
  select * into known from ptp.app_user u where u.org_id = ptp.current_org() and u.user_name = name;
  if known.user_name is null then
    perform ptp.refuse('PT001', format('There is no user %s.', name), 'ptp user list shows who there is.');
  end if;
  return known;
end $$;

-- Returns whether the account can be used at once: one with an entrusted role that a person made, only when a second one activates it.
create function ptp.add_user(proof text, name text, new_role text, new_email text, parameters text, verifier text) returns boolean
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  by_whom text;
  at_once boolean;
begin
  perform ptp.demand(proof, array['admin']);
  if exists (select from ptp.app_user u where u.org_id = ptp.current_org() and u.user_name = name) then
    perform ptp.refuse('PT002', format('There is already a user %s.', name), 'ptp user list shows who there is.');
  end if;
  by_whom := (select i.actor from ptp.identity() as i);
  at_once := not ptp.is_entrusted(new_role) or not exists (select from ptp.person());
  insert into ptp.app_user (org_id, user_name, role, email, is_active, role_by, password_parameters, password_verifier, password_set_by, added_by)
  values (ptp.current_org(), name, new_role, new_email, at_once, by_whom, parameters, verifier, by_whom, by_whom);
  perform ptp.record('user.added', 'user', name, '', null, jsonb_build_object('role', new_role, 'email', new_email, 'is_active', at_once));
  return at_once;
end $$;

-- Takes effect at once, also for open sign-ins, tokens and codes. Nobody changes their own role.
create function ptp.set_role(proof text, name text, new_role text, why text) returns boolean
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  old ptp.app_user;
  at_once boolean;
begin
  perform ptp.demand(proof, array['admin']);
  old := ptp.demand_user(name);
  if exists (select from ptp.person() as p where p.user_name = name) then
    perform ptp.refuse('PT003', format('%s cannot change their own role.', name), 'Ask another admin or the operator.');
  end if;
  at_once := old.is_active and (not ptp.is_entrusted(new_role) or not exists (select from ptp.person()));
  update ptp.app_user u set role = new_role, role_by = (select i.actor from ptp.identity() as i), is_active = at_once
  where u.org_id = ptp.current_org() and u.user_name = name;
  perform ptp.record('user.role_changed', 'user', name, why, jsonb_build_object('role', old.role, 'is_active', old.is_active),
                     jsonb_build_object('role', new_role, 'is_active', at_once));
  return at_once;
end $$;

-- Not for oneself: the gate knows owners in files by their address too.
create function ptp.set_email(proof text, name text, new_email text) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  old ptp.app_user;
begin
  perform ptp.demand(proof, array['admin']);
  old := ptp.demand_user(name);
  update ptp.app_user u set email = new_email where u.org_id = ptp.current_org() and u.user_name = name;
  perform ptp.record('user.email_changed', 'user', name, '', jsonb_build_object('email', old.email), jsonb_build_object('email', new_email));
end $$;

create function ptp.set_password(proof text, name text, parameters text, verifier text, why text default '') returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  perform ptp.demand(proof, '{}', name, array['manage', 'password']);
  perform ptp.demand_user(name);
  update ptp.app_user u
  set password_parameters = parameters, password_verifier = verifier, password_set_by = (select i.actor from ptp.identity() as i), password_set_at = clock_timestamp()
  where u.org_id = ptp.current_org() and u.user_name = name;
  perform ptp.record('user.password_set', 'user', name, why, null, null);
end $$;

create function ptp.set_active(proof text, name text, active boolean, why text) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  known ptp.app_user;
begin
  perform ptp.demand(proof, array['admin']);
  known := ptp.demand_user(name);
  if active and ptp.is_entrusted(known.role) and exists (select from ptp.person() as p where p.user_name = known.role_by) then
    perform ptp.refuse('PT003', format('%s gave %s the role %s, so somebody else must activate the account.', known.role_by, name, known.role),
                       'Ask another admin or the operator.');
  end if;
  if known.is_active = active then
    return;
  end if;
  update ptp.app_user u set is_active = active where u.org_id = ptp.current_org() and u.user_name = name;
  perform ptp.record(case when active then 'user.activated' else 'user.deactivated' end, 'user', name, why, null, null);
end $$;

-- Ends the wait after wrong passwords and codes.
create function ptp.unlock(proof text, name text) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  perform ptp.demand(proof, array['admin']);
  perform ptp.demand_user(name);
  insert into ptp.sign_in_attempt (org_id, user_name, kind) values (ptp.current_org(), name, 'unlock');
  perform ptp.record('user.unlocked', 'user', name, '', null, null);
end $$;

create function ptp.locked_users() returns table (user_name text, closed_until timestamptz)
language sql stable security definer set search_path = ptp, pg_temp
as $$
  select u.user_name, max(g.closed_until)
  from ptp.app_user u cross join unnest(array['password', 'code']) as what cross join ptp.guesses(u.user_name, what) as g
  where u.org_id = ptp.current_org() and g.tries >= 5 and g.closed_until > now() and exists (select from ptp.here() as h where h.is_inside)
  group by u.user_name
$$;

-- For all the role and the acting token are good for, unless less is asked; at most for a year.
create function ptp.add_token(proof text, name text, id text, secret_hash text, until timestamptz, wanted text[] default null) returns text[]
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  known ptp.app_user;
  allowed text[];
  given text[];
begin
  perform ptp.demand(proof, '{}', name);
  known := ptp.demand_user(name);
  if not known.is_active then
    perform ptp.refuse('PT001', format('%s is not active.', name), 'ptp user activate lets them in again.');
  end if;
  allowed := array(select s from unnest(ptp.scopes_of(known.role)) as s where s = any (coalesce((select p.scopes from ptp.person() as p), array[s])));
  given := case when wanted is null then allowed else array(select s from unnest(allowed) as s where s = 'read' or s = any (wanted)) end;
  if not wanted <@ allowed then
    perform ptp.refuse('PT003', format('A token of %s cannot be for %s: %s.', name,
      (select string_agg(w, ', ') from unnest(wanted) as w where w <> all (allowed)),
      case when wanted <@ ptp.scopes_of(known.role) then 'the token it is made with is not' else format('the role %s is not', known.role) end),
      format('It can be for %s.', array_to_string(allowed, ', ')));
  end if;
  if until > now() + interval '367 days' then
    perform ptp.refuse('PT001', 'A token is good for a year at most.', 'Give it 366 days or fewer.');
  end if;
  insert into ptp.user_token (org_id, token_id, user_name, secret_sha256, scopes, expires_at, issued_by)
  values (ptp.current_org(), id, name, secret_hash, given, until, (select i.actor from ptp.identity() as i));
  perform ptp.record('token.issued', 'user', name, '', null, jsonb_build_object('token', id, 'scopes', given, 'expires_at', until));
  return given;
end $$;

-- One's own tokens, or anybody's for an admin. Sign-ins made with them end with them. Returns how many were still good.
create function ptp.revoke_tokens(proof text, name text, ids text[], why text) returns int
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  ended text[];
begin
  perform ptp.demand(proof, array['admin'], name);
  perform ptp.demand_user(name);
  if exists (select from unnest(ids) as i where not exists (
    select from ptp.user_token t where t.org_id = ptp.current_org() and t.user_name = name and t.token_id = i)) then
    perform ptp.refuse('PT001', format('%s has no such token.', name), 'ptp user tokens shows those there are.');
  end if;
  with fresh as (
    insert into ptp.token_revocation (org_id, token_id, reason, revoked_by)
    select t.org_id, t.token_id, why, (select i.actor from ptp.identity() as i)
    from ptp.user_token t
    where t.org_id = ptp.current_org() and t.user_name = name and t.token_id = any (coalesce(ids, array[t.token_id]))
      and ptp.token_scopes(t.token_id) is not null
    returning token_id
  )
  select coalesce(array_agg(token_id order by token_id), '{}') into ended from fresh;
  if cardinality(ended) > 0 then
    perform ptp.record('token.revoked', 'user', name, why, null, jsonb_build_object('tokens', ended));
  end if;
  return cardinality(ended);
end $$;

-- Everything of a token but its secret.
create function ptp.list_tokens() returns table (
  token_id text, user_name text, scopes text[], issued_by text, issued_at timestamptz, expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz)
language sql stable security definer set search_path = ptp, pg_temp
as $$
  select t.token_id, t.user_name, t.scopes, t.issued_by, t.issued_at, t.expires_at, r.revoked_at,
         (select max(s.signed_in_at) from ptp.sign_in s where s.org_id = t.org_id and s.user_name = t.user_name and s.token_id = t.token_id)
  from ptp.user_token t left join ptp.token_revocation r using (org_id, token_id)
  where t.org_id = ptp.current_org() and exists (select from ptp.here() as h where h.is_inside)
  order by t.user_name, t.issued_at, t.token_id
$$;

-- One version. A change from a day before versions that start later is carried into these by ledger/policies.py.
create function ptp.change_policy(proof text, new_policy jsonb, why text, from_day date) returns int
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  old jsonb;
  next_version int;
begin
  perform ptp.demand(proof, array['admin', 'controller']);
  old := ptp.policy_on(from_day);
  next_version := (select max(p.version) + 1 from ptp.policy_version p where p.org_id = ptp.current_org());
  insert into ptp.policy_version (org_id, version, effective_from, policy, reason, changed_by)
  values (ptp.current_org(), next_version, from_day, new_policy, why, (select i.actor from ptp.identity() as i));
  perform ptp.record(
    'policy.changed', 'policy', next_version::text, why,
    (select jsonb_object_agg(key, value) from jsonb_each(old) where value is distinct from new_policy -> key),
    coalesce((select jsonb_object_agg(key, value) from jsonb_each(new_policy) where value is distinct from old -> key), '{}')
      || jsonb_build_object('effective_from', from_day));
  return next_version;
end $$;

create function ptp.create_org(new_org text, new_policy jsonb) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  if session_user <> 'ptp_ops' then
    perform ptp.refuse('PT003', 'Only the operator creates orgs.', 'Run ptp org add on the machine of ptp, without a token.');
  end if;
  update ptp.visit a set org_id = new_org where a.org_id = '' and exists (select from ptp.here());
  if not found then
    perform ptp.refuse('PT005', 'A transaction enters one org, once.');
  end if;
  perform set_config('ptp.org_id', new_org, true);
  perform ptp.lock_org();
  if exists (select from ptp.org where org_id = new_org) then
    perform ptp.refuse('PT002', format('There is already an org %s.', new_org), 'ptp org list shows those there are.');
  end if;
  insert into ptp.org (org_id) values (new_org);
  insert into ptp.policy_version (org_id, version, effective_from, policy, reason, changed_by)
  values (new_org, 1, '0001-01-01', new_policy, 'First policy.', (select i.actor from ptp.identity() as i));
  perform ptp.record('org.created', 'org', new_org, '', null, new_policy);
end $$;

grant select on ptp.org, ptp.policy_version, ptp.audit_event to ptp_app, ptp_pipeline, ptp_ops;
grant select (org_id, user_name, role, email, is_active, added_by, added_at) on ptp.app_user to ptp_app, ptp_pipeline, ptp_ops;
grant execute on function ptp.enter, ptp.note to ptp_app, ptp_pipeline, ptp_ops;
grant execute on function ptp.sign_in_with_token, ptp.password_parameters, ptp.present_password, ptp.sign_in_with_password, ptp.acting to ptp_app;
grant execute on function ptp.add_user, ptp.set_role, ptp.set_email, ptp.set_password, ptp.set_active, ptp.unlock, ptp.locked_users, ptp.add_token,
  ptp.revoke_tokens, ptp.list_tokens, ptp.change_policy to ptp_app, ptp_ops;
grant execute on function ptp.create_org to ptp_ops;
