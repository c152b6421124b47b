-- Commitments, their versions, the gate, and what people decide about them.
-- There is no status column: whether a version is active follows from its approval row, and approval rows come only from
-- ptp.decide (a signed-in person) and from the policy itself, through a trigger that checks the rules again.

create table ptp.commitment (
  org_id text not null references ptp.org,
  commitment_id text not null check (commitment_id ~ '\S' and length(commitment_id) <= 128),
  kind text not null check (kind in ('promise', 'repeating_promise', 'plan')),
  customer_id text not null,
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  owner text not null default '',
  channel text not null default '',
  contact_name text not null default '',
  contact_email text not null default '',
  confidence int check (confidence between 0 and 100),
  confidence_reason text not null default '',
  note text not null default '',
  evidence_link text not null default '',
  source text not null check (source in ('cli', 'desk', 'feed')),
  file_sha256 text,
  line_number int,
  logged_by text not null,
  logged_at timestamptz not null,
  primary key (org_id, commitment_id),
  unique (org_id, commitment_id, kind, customer_id, currency),
  check ((source = 'feed') = (file_sha256 is not null and line_number is not null))
);
create index commitment_customer on ptp.commitment (org_id, customer_id, currency);
select ptp.protect('ptp.commitment', true, 'owner <> '''' and lower(owner) = any ((select h.own_names from ptp.here() as h)::text[])');
create policy own_book on ptp.audit_event as restrictive to ptp_app using (
  (select h.own_names from ptp.here() as h) is null or actor = (select h.actor from ptp.here() as h)
  or object_type = 'commitment' and exists (select from ptp.commitment c where c.org_id = audit_event.org_id and c.commitment_id = audit_event.object_id)
);

create table ptp.commitment_version (
  org_id text not null,
  commitment_id text not null,
  version int not null check (version > 0),
  kind text not null,
  customer_id text not null,
  currency char(3) not null,
  agreed_on date not null check (agreed_on between '1990-01-01' and '2200-01-01'),
  amount_minor bigint not null check (amount_minor > 0),
  total_minor bigint not null check (total_minor > 0),
  discount_minor bigint not null check (discount_minor >= 0),
  down_payment_minor bigint not null check (down_payment_minor >= 0),
  frequency text not null check (frequency in ('once', 'weekly', 'biweekly', 'semimonthly', 'monthly', 'quarterly', 'custom')),
  installment_count int not null check (installment_count between 1 and 100000),
  first_due_date date not null check (first_due_date between '1990-01-01' and '2200-01-01'),
  grace_days int check (grace_days between 0 and 365),
  overpayment_rule text not null check (overpayment_rule in ('next', 'last', 'spread', 'hold')),
  invoice_ids text[] not null,
  custom_schedule jsonb,
  reason text not null,
  terms_digest text not null,
  logged_by text not null,
  logged_at timestamptz not null,
  primary key (org_id, commitment_id, version),
  foreign key (org_id, commitment_id, kind, customer_id, currency) references ptp.commitment (org_id, commitment_id, kind, customer_id, currency),
  constraint first_due_after_agreement check (first_due_date >= agreed_on),
  constraint discount_below_total check (discount_minor < total_minor),
  constraint down_payment_below_payable check (down_payment_minor < total_minor - discount_minor),
  constraint an_installment_is_at_least_one_cent check (total_minor - discount_minor - down_payment_minor >= installment_count),
  constraint terms_fit_kind check (case kind
    when 'promise' then frequency = 'once' and installment_count = 1 and down_payment_minor = 0 and total_minor = amount_minor
    when 'plan' then total_minor = amount_minor and (frequency <> 'once' or installment_count = 1)
    else discount_minor = 0 and down_payment_minor = 0 and frequency not in ('once', 'custom')
         and installment_count = (total_minor + amount_minor - 1) / amount_minor end),
  constraint custom_has_its_schedule check ((frequency = 'custom') = (custom_schedule is not null) and (frequency <> 'custom' or down_payment_minor = 0))
);
select ptp.protect('ptp.commitment_version', true);

-- What is approved: every number and date a payer could be held to, and who owes whom in what.
create function ptp.terms_digest(v ptp.commitment_version) returns text language sql stable
as $$
  select encode(sha256(convert_to(jsonb_build_array(
    v.commitment_id, v.version, v.kind, v.customer_id, v.currency, v.agreed_on, v.amount_minor, v.total_minor, v.discount_minor, v.down_payment_minor,
    v.frequency, v.installment_count, v.first_due_date, v.grace_days, v.overpayment_rule, to_jsonb(v.invoice_ids), v.custom_schedule)::text, 'UTF8')), 'hex')
$$;

create function ptp.schedule_digest(terms_digest text, schedule jsonb) returns text language sql immutable
as $$ select encode(sha256(convert_to(jsonb_build_array(terms_digest, schedule)::text, 'UTF8')), 'hex') $$;

-- The same promise under two ids is one promise. A commitment claims what its approved and its newest version promise, and
-- gives up what is turned down, superseded or ended.
create table ptp.promise_claim (
  org_id text not null references ptp.org,
  identity text not null,
  commitment_id text not null,
  primary key (org_id, identity)
);
create index promise_claim_commitment on ptp.promise_claim (org_id, commitment_id);
select ptp.protect('ptp.promise_claim', false);

create function ptp.promise_identity(customer_id text, currency text, invoice_ids text[], amount_minor bigint, first_due_date date) returns text
language sql stable
as $$
  select encode(sha256(convert_to(jsonb_build_array(
    customer_id, currency, (select coalesce(jsonb_agg(distinct i), '[]') from unnest(invoice_ids) as i), amount_minor, first_due_date)::text, 'UTF8')), 'hex')
$$;
grant execute on function ptp.promise_identity to ptp_app, ptp_pipeline;

create table ptp.approval (
  org_id text not null,
  commitment_id text not null,
  version int not null,
  decision text not null check (decision in ('approve', 'reject', 'send_back')),
  reason text not null check (reason ~ '\S'),
  terms_digest text not null,
  -- what a person approved besides the terms: [nominal due date, due date, amount_minor, grace_days] of every installment, in order
  schedule jsonb,
  schedule_digest text,
  decided_by text not null,
  decided_role text not null,
  auth text not null,
  channel text not null,
  policy_version int not null,
  decided_at timestamptz not null,
  primary key (org_id, commitment_id, version),
  foreign key (org_id, commitment_id, version) references ptp.commitment_version,
  foreign key (org_id, policy_version) references ptp.policy_version,
  constraint a_person_approves_a_schedule check ((decision = 'approve' and decided_by <> 'policy') = (schedule is not null)),
  constraint a_schedule_has_its_digest check ((schedule is null) = (schedule_digest is null))
);
select ptp.protect('ptp.approval', true);

-- Whether an approval is still the approval of these terms and this schedule. Runs ask it of every approved version when they read the ledger anew.
create function ptp.approval_fits(v ptp.commitment_version, a ptp.approval) returns boolean language sql stable
as $$
  select a.terms_digest = v.terms_digest and v.terms_digest = ptp.terms_digest(v)
    and case when a.schedule is null then a.decided_by = 'policy' and a.schedule_digest is null
             else a.schedule_digest = ptp.schedule_digest(a.terms_digest, a.schedule) end
$$;

create table ptp.approval_code (
  org_id text not null,
  code_sha256 text not null,
  user_name text not null,
  items jsonb not null,
  items_digest text not null,
  expires_at timestamptz not null,
  issued_at timestamptz not null default now(),
  used_at timestamptz,
  primary key (org_id, code_sha256),
  foreign key (org_id, user_name) references ptp.app_user
);
select ptp.protect('ptp.approval_code', false);

create table ptp.commitment_event (
  org_id text not null,
  event_id bigint generated always as identity,
  commitment_id text not null,
  kind text not null check (kind in ('cancel', 'withdraw', 'close', 'pause', 'resume')),
  effective_on date not null check (effective_on between '1990-01-01' and '2200-01-01'),
  reason text not null check (reason ~ '\S'),
  recorded_by text not null,
  recorded_at timestamptz not null,
  primary key (org_id, event_id),
  foreign key (org_id, commitment_id) references ptp.commitment
);
create unique index commitment_ends_once on ptp.commitment_event (org_id, commitment_id) where kind in ('cancel', 'withdraw', 'close');
create index commitment_event_commitment on ptp.commitment_event (org_id, commitment_id);
select ptp.protect('ptp.commitment_event', true);

create table ptp.payment_override (
  org_id text not null references ptp.org,
  override_id bigint generated always as identity,
  payment_id text not null check (payment_id ~ '\S'),
  commitment_id text,
  reason text not null check (reason ~ '\S'),
  decided_by text not null,
  decided_at timestamptz not null,
  primary key (org_id, override_id),
  foreign key (org_id, commitment_id) references ptp.commitment
);
create index payment_override_payment on ptp.payment_override (org_id, payment_id, override_id);

-- what became of each line of a commitments file
create table ptp.feed_line (
  org_id text not null references ptp.org,
  feed text not null,
  file_sha256 text not null,
  line_number int not null,
  outcome text not null check (outcome in ('loaded', 'duplicate', 'refused')),
  commitment_id text not null,
  rule text not null,
  reason text not null,
  primary key (org_id, feed, file_sha256, line_number)
);
select ptp.protect('ptp.feed_line', true);

-- `C-1 ` is not C-1: under it the limits of C-1 would not count. Blanks are those that feeds strip; chr(31) stands between ids in a list.
create function ptp.demand_tidy(what text, id text) returns void language plpgsql immutable set search_path = ptp, pg_temp
as $$
declare
  blank constant text := '[\u0009-\u000d\u001f\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';
begin
  if id = '' or id ~ ('^' || blank) or id ~ (blank || '$') or strpos(id, chr(31)) > 0 then
    perform ptp.refuse('PT001', format('The %s "%s" is empty, or begins or ends with a blank.', what, id), 'Write it as it stands in the files.');
  end if;
end $$;

-- who and when are taken from the transaction, whatever the client wrote --------------------------------------------
-- An author is a person proven in this transaction. Rows of a file need none: they are the pipeline's, and the file must be known.

create function ptp.check_commitment() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  own_names text[];
begin
  new.logged_by := 'pipeline';
  new.logged_at := clock_timestamp();
  perform ptp.demand_tidy(x.what, x.id) from (values ('commitment id', new.commitment_id), ('customer id', new.customer_id)) as x (what, id);
  if new.source <> 'feed' then
    new.logged_by := ptp.author('log commitments');
  elsif session_user <> 'ptp_pipeline' then
    perform ptp.refuse('PT003', 'Rows of files are taken up by runs alone.', 'Log it with ptp log.');
  end if;
  select h.own_names into own_names from ptp.here() as h;
  if own_names is not null then
    if lower(new.owner) <> all (own_names) or new.owner = '' then
      perform ptp.refuse('PT003', format('%s sees the own book only and logs no commitment of %s.', new.logged_by,
                         coalesce(nullif(new.owner, ''), 'nobody')), 'Ask a supervisor.');
    elsif exists (select from ptp.commitment c where c.org_id = new.org_id and c.commitment_id = new.commitment_id) then
      perform ptp.refuse('PT002', format('%s is known already.', new.commitment_id), 'Choose another id.');
    end if;
  end if;
  if new.source = 'feed' and not exists (
    select from ptp.received_file f
    where f.org_id = new.org_id and f.feed = 'commitments' and f.content_sha256 = new.file_sha256 and f.status = 'accepted') then
    perform ptp.refuse('PT003', format('%s names a commitments file that was not accepted here.', new.commitment_id), 'Drop the file into the inbox.');
  end if;
  return new;
end $$;
create trigger check_commitment before insert on ptp.commitment for each row execute function ptp.check_commitment();

create function ptp.check_version() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  blocker record;
begin
  new.logged_by := 'pipeline';
  if new.version > 1 or exists (select from ptp.person())
    or not exists (select from ptp.commitment c where c.org_id = new.org_id and c.commitment_id = new.commitment_id and c.source = 'feed') then
    new.logged_by := ptp.author(case when new.version > 1 then 'renegotiate' else 'log commitments' end);
  end if;
  new.logged_at := clock_timestamp();
  if cardinality(new.invoice_ids) > 0 then
    new.invoice_ids := array(select distinct i collate "C" as id from unnest(new.invoice_ids) as i where i ~ '\S' order by id);
    perform ptp.demand_tidy('invoice id', i) from unnest(new.invoice_ids) as i;
  end if;
  if new.custom_schedule is not null then
    if not coalesce((
      select count(*) = new.installment_count and sum(amount_minor) = new.total_minor - new.discount_minor
             and bool_and(amount_minor > 0 and coalesce(grace_days between 0 and 365, true) and sequence = position and due_date >= new.agreed_on and due_date >= coalesce(earlier, due_date))
             and min(due_date) = new.first_due_date
      from (select x.*, row_number() over (order by sequence) as position, lag(due_date) over (order by sequence) as earlier
            from jsonb_to_recordset(new.custom_schedule) as x (sequence int, due_date date, amount_minor bigint, grace_days int)) as installments), false) then
      perform ptp.refuse('PT001', format('The listed installments of %s do not add up to its total less discount, or are not in order.', new.commitment_id),
                         'Correct the amounts, or sort them by date.');
    end if;
    -- As the ledger writes it, in order: `tomorrow` and 03/04/2026 are dates too, but not the same ones on every day and in every session.
    new.custom_schedule := (
      select jsonb_agg(jsonb_build_object('sequence', x.sequence, 'due_date', x.due_date, 'amount_minor', x.amount_minor, 'grace_days', x.grace_days)
                       order by x.sequence)
      from jsonb_to_recordset(new.custom_schedule) as x (sequence int, due_date date, amount_minor bigint, grace_days int));
  end if;
  if ptp.last_due_date(new) > '2200-01-01' then
    perform ptp.refuse('PT001', format('The last installment of %s would be due after 2200.', new.commitment_id), 'Take fewer installments, or a shorter frequency.');
  end if;
  new.terms_digest := ptp.terms_digest(new);
  if new.version > 1 then
    perform ptp.lock_org();
    if not exists (select from ptp.commitment_version v where v.org_id = new.org_id and v.commitment_id = new.commitment_id and v.version = new.version - 1)
    then
      perform ptp.refuse('PT001', format('Versions of %s are numbered without gaps.', new.commitment_id));
    end if;
    perform ptp.refuse_if_ended(new.commitment_id);
    select v.version, v.agreed_on into blocker from ptp.commitment_version v join ptp.approval a using (org_id, commitment_id, version)
    where v.org_id = new.org_id and v.commitment_id = new.commitment_id and a.decision = 'approve' and v.agreed_on >= new.agreed_on
    order by v.version desc limit 1;
    if found then
      perform ptp.refuse('PT001', format('New terms of %s must be agreed after %s, when version %s was agreed.', new.commitment_id, blocker.agreed_on,
                         blocker.version), 'Give --agreed-on a later day.');
    end if;
  end if;
  return new;
end $$;

create function ptp.refuse_if_ended(id text) returns void language plpgsql set search_path = ptp, pg_temp
as $$
declare
  ended record;
begin
  select kind, effective_on, reason into ended from ptp.commitment_event
  where org_id = ptp.current_org() and commitment_id = id and kind in ('cancel', 'withdraw', 'close');
  if found then
    perform ptp.refuse('PT001', format('%s was %s on %s: %s', id,
                       case ended.kind when 'cancel' then 'cancelled' when 'close' then 'closed' else 'withdrawn' end, ended.effective_on,
                       ended.reason), 'Log a new commitment instead.');
  end if;
end $$;
create trigger check_version before insert on ptp.commitment_version for each row execute function ptp.check_version();

-- policy, in SQL because the gate must hold for any client. domain/policy.py says the same to people beforehand; a test
-- compares the two.

-- Date of the installment k periods after the first, before the business-day rule. Semimonthly ones may be some days off: what counts as
-- the middle and the end of a month is for the schedule, in sql/warehouse/core.
create function ptp.nominal_due_date(v ptp.commitment_version, k int) returns date language sql stable
as $$
  select case v.frequency
    when 'once' then v.first_due_date
    when 'custom' then (v.custom_schedule -> k ->> 'due_date')::date
    when 'weekly' then v.first_due_date + 7 * k
    when 'biweekly' then v.first_due_date + 14 * k
    when 'semimonthly' then (v.first_due_date + make_interval(months => k / 2))::date + 15 * (k % 2)
    when 'monthly' then (v.first_due_date + make_interval(months => k))::date
    else (v.first_due_date + make_interval(months => 3 * k))::date
  end
$$;

create function ptp.last_due_date(v ptp.commitment_version) returns date language sql stable
as $$
  select case v.frequency
    when 'custom' then (select max((x ->> 'due_date')::date) from jsonb_array_elements(v.custom_schedule) as x)
    else ptp.nominal_due_date(v, v.installment_count - 1)
  end
$$;

create function ptp.kind_word(kind text) returns text language sql immutable
as $$ select initcap(split_part(replace(kind, '_', ' '), ' ', 1)) || case kind when 'repeating_promise' then ' promise' else '' end $$;

-- Whether a role's caps depend on where the customer stands, which is read only then (ptp.standings, in 0006).
create function ptp.caps_customer(policy jsonb, by_role text) returns boolean language sql immutable
as $$ select num_nonnulls(c.caps ->> 'balance_percent', c.caps ->> 'exposure') > 0 from (select policy -> 'approval' -> 'caps' -> by_role as caps) as c $$;

-- Major units of policy as minor units of a currency, and in words: `50,000 USD`.
create function ptp.limit_minor(major text, currency text) returns numeric language sql immutable
as $$ select major::numeric * 10::numeric ^ ptp.exponent(currency) $$;

create function ptp.limit_in_words(major text, currency text) returns text language sql immutable
as $$ select regexp_replace(ptp.format_money(ptp.limit_minor(major, currency), currency), '\.0+ ', ' ') $$;

-- The first cap of this role the terms exceed, in words; NULL when the role may approve them. `exposed` is what the customer has open
-- under other commitments, and what of them was submitted earlier and waits.
create function ptp.cap_exceeded(v ptp.commitment_version, policy jsonb, by_role text, balance numeric, exposed numeric) returns text
language plpgsql stable
as $$
declare
  caps jsonb := policy -> 'approval' -> 'caps' -> by_role;
  -- An agreement dated ahead does not make the wait any shorter.
  days int := ptp.last_due_date(v) - least(v.agreed_on, (v.logged_at at time zone 'UTC')::date);
  word text := ptp.kind_word(v.kind);
begin
  if caps is null then
    return format('%s has no approver', word);
  elsif v.total_minor > ptp.limit_minor(caps ->> 'amount', v.currency) then
    return format('%s exceeds %s', word, ptp.limit_in_words(caps ->> 'amount', v.currency));
  elsif days > (caps ->> 'days')::int then
    return format('%s runs longer than %s days', word, caps ->> 'days');
  elsif v.installment_count > (caps ->> 'installments')::int then
    return format('%s has more than %s installments', word, caps ->> 'installments');
  elsif v.discount_minor * 100 > (caps ->> 'discount_percent')::numeric * v.total_minor then
    return format('%s gives a discount of more than %s %%', word, caps ->> 'discount_percent');
  elsif balance is null and caps ->> 'balance_percent' is not null then
    return format('%s cannot be held against the customer''s balance, of which nothing is known', word);
  elsif (exposed + v.total_minor) * 100 > (caps ->> 'balance_percent')::numeric * balance then
    return format('%s covers more than %s %% of the customer''s balance%s', word, caps ->> 'balance_percent',
                  case when v.total_minor::numeric * 100 <= (caps ->> 'balance_percent')::numeric * balance then ' together with what is promised already' else '' end);
  elsif exposed + v.total_minor - v.discount_minor > ptp.limit_minor(caps ->> 'exposure', v.currency) then
    return format('%s takes the customer''s exposure beyond %s', word, ptp.limit_in_words(caps ->> 'exposure', v.currency));
  end if;
  return null;
end $$;

-- The first role whose caps allow the terms; NULL when there is none.
create function ptp.role_for(v ptp.commitment_version, policy jsonb, balance numeric, exposed numeric) returns text language sql stable
as $$
  select r from unnest(array['supervisor', 'controller', 'legal']) with ordinality as roles (r, n)
  where ptp.cap_exceeded(v, policy, r, balance, exposed) is null order by n limit 1
$$;

-- Whether policy itself may approve these terms. Plans and new terms of what is known never: that is not a matter of policy.
create function ptp.policy_grants(v ptp.commitment_version, policy jsonb, exposed numeric) returns boolean language sql stable
as $$
  select v.version = 1
    and v.kind <> 'plan'
    and not (policy -> 'approval' -> 'kinds') ? v.kind
    and v.discount_minor = 0
    and coalesce(v.first_due_date - least(v.agreed_on, (v.logged_at at time zone 'UTC')::date) <= (policy -> 'approval' ->> 'promise_days')::int, true)
    and coalesce(v.grace_days <= (policy -> 'approval' ->> 'promise_days')::int, true)
    and coalesce(v.total_minor <= ptp.limit_minor(policy -> 'approval' ->> 'promise_amount', v.currency), true)
    and coalesce(exposed + v.total_minor - v.discount_minor
                 <= ptp.limit_minor(policy -> 'approval' -> 'caps' -> 'supervisor' ->> 'exposure', v.currency), true)
$$;

-- What policy wants to be told before anybody is asked to approve, in words; NULL when nothing is missing.
create function ptp.rationale_missing(v ptp.commitment_version, note text, policy jsonb) returns text language sql stable
as $$
  select 'A rationale is missing: policy asks why for every ' || asked.what
  from (
    select case
      when v.version > 1 and wanted.situations ? 'new_terms' then 'change of terms'
      when wanted.situations ? v.kind then lower(ptp.kind_word(v.kind))
      when v.discount_minor > 0 and wanted.situations ? 'discount' then 'discount'
      when v.total_minor > ptp.limit_minor(wanted.amount, v.currency) then 'amount beyond ' || ptp.limit_in_words(wanted.amount, v.currency)
    end as what
    from (select policy -> 'approval' -> 'rationale' as situations, policy -> 'approval' ->> 'rationale_amount' as amount) as wanted
  ) as asked
  where asked.what is not null and v.reason !~ '\S' and (v.version > 1 or coalesce(note, '') !~ '\S')
$$;

-- What is wrong with a schedule somebody wants to approve for these terms; NULL when it fits. The schedule itself is built in one place,
-- sql/warehouse/core, and every run holds amounts and nominal dates of the approved one against it; here is what needs no calendar. A due
-- date goes where the business-day rule sends it, and hardly further than closed days reach: 12 in a row are the most in any country.
create function ptp.schedule_problem(v ptp.commitment_version, schedule jsonb, policy jsonb) returns text language plpgsql stable
as $$
declare
  downs int := (v.down_payment_minor > 0)::int;
  share bigint := case v.kind when 'repeating_promise' then v.amount_minor
                  else (v.total_minor - v.discount_minor - v.down_payment_minor) / v.installment_count end;
  s record;
  unreadable constant text := 'has dates that are not written as YYYY-MM-DD, or amounts that are not numbers';
begin
  if jsonb_typeof(schedule) is distinct from 'array' or exists (
    select from jsonb_path_query(schedule, '$[*]') as line
    where (case jsonb_typeof(line) when 'array' then jsonb_array_length(line) end) is distinct from 4) then
    return 'is missing or cannot be read';
  end if;
  select count(*) = v.installment_count + downs and sum(l.amount) = v.total_minor - v.discount_minor and bool_and(l.amount > 0 and case
           when l.k < 0 then l.amount = v.down_payment_minor
           when v.custom_schedule is not null then l.amount = (v.custom_schedule -> l.k ->> 'amount_minor')::bigint
           else l.amount = share or l.k = v.installment_count - 1 end) as has_amounts,
         bool_and(case when l.k < 0 then l.nominal = v.agreed_on
                  else abs(l.nominal - ptp.nominal_due_date(v, l.k)) <= (case v.frequency when 'semimonthly' then 4 else 0 end) end
                  and abs(l.due - l.nominal) <= 14 and l.due >= v.agreed_on
                  and case policy ->> 'business_day_rule'
                        when 'none' then l.due = l.nominal
                        -- otherwise where it would be due before it was agreed
                        when 'preceding' then l.due <= l.nominal or l.nominal - 14 < v.agreed_on
                        when 'modified_following' then date_trunc('month', l.due) = date_trunc('month', l.nominal) or l.nominal - 14 < v.agreed_on
                        else l.due >= l.nominal end) as has_dates,
         bool_and(l.line = jsonb_build_array(l.nominal, l.due, l.amount, l.grace)) as is_plain,
         bool_and(l.grace = coalesce((v.custom_schedule -> l.k ->> 'grace_days')::int, v.grace_days, (policy ->> 'grace_days')::int, 0)) as has_grace
  into s
  from (select x.line, (x.n - 1)::int - downs as k, (x.line ->> 0)::date as nominal, (x.line ->> 1)::date as due, (x.line ->> 2)::bigint as amount,
               (x.line ->> 3)::int as grace
        from jsonb_array_elements(schedule) with ordinality as x (line, n)) as l;
  -- Not `tomorrow`, nor 03/04/2026: what is approved must say the same on any day and to anybody.
  return case when s.is_plain is not true then unreadable
              when s.has_amounts is not true then 'has not the amounts of its terms'
              when s.has_dates is not true then 'has not the dates of its terms'
              when s.has_grace is not true then 'has not the grace of its terms and of policy' end;
exception when data_exception then
  return unreadable;
end $$;

-- the gate ---------------------------------------------------------------------------------------------------------

-- Who decides on a version in no role, and why: neither author nor last editor, which is whoever logged it or one it grew out of since
-- terms were last approved; and of what came from a file not its owner, who is known by name or address.
create function ptp.barred(v ptp.commitment_version) returns table (user_name text, reason text) language sql stable
as $$
  select lower(x.logged_by), format('logged version %s of %s%s', max(x.version), v.commitment_id,
                                    case when max(x.version) < v.version then format(', which version %s grew out of,', v.version) end)
  from ptp.commitment_version x
  where x.org_id = v.org_id and x.commitment_id = v.commitment_id and x.version <= v.version
    and x.version > (select coalesce(max(a.version), 0) from ptp.approval a
                     where a.org_id = v.org_id and a.commitment_id = v.commitment_id and a.decision = 'approve')
  group by lower(x.logged_by)
  union all
  select u.user_name, format('owns %s, which came from a file,', v.commitment_id)
  from ptp.commitment c join ptp.app_user u on u.org_id = c.org_id and lower(c.owner) in (u.user_name, nullif(lower(u.email), ''))
  where c.org_id = v.org_id and c.commitment_id = v.commitment_id and c.source = 'feed'
$$;
grant execute on function ptp.barred to ptp_app, ptp_pipeline, ptp_ops;

create function ptp.check_approval() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  v ptp.commitment_version;
  c ptp.commitment;
  decider ptp.app_user;
  earlier record;
  policy jsonb;
  problem text;
begin
  perform ptp.lock_org();
  select * into v from ptp.commitment_version x
  where x.org_id = new.org_id and x.commitment_id = new.commitment_id and x.version = new.version;
  if v.commitment_id is null then
    perform ptp.refuse('PT001', format('There is no version %s of %s.', new.version, new.commitment_id), 'ptp pending lists what waits.');
  end if;
  select * into c from ptp.commitment x where x.org_id = new.org_id and x.commitment_id = new.commitment_id;
  select * into earlier from ptp.approval a where a.org_id = new.org_id and a.commitment_id = new.commitment_id and a.version = new.version;
  if found then
    perform ptp.refuse('PT003', format('Version %s of %s was already decided: %s by %s (%s).', new.version, new.commitment_id,
      replace(earlier.decision, '_', ' '), earlier.decided_by, earlier.reason), 'Other terms need a new version.');
  end if;
  if exists (select from ptp.commitment_version x where x.org_id = new.org_id and x.commitment_id = new.commitment_id and x.version > new.version) then
    perform ptp.refuse('PT003', format('Version %s of %s is not its latest: newer terms were logged since.', new.version, new.commitment_id),
                       'Decide on the latest version.');
  end if;
  if new.terms_digest is distinct from v.terms_digest then
    perform ptp.refuse('PT003', format('The terms of %s are not the ones this decision was made on.', new.commitment_id), 'Look at the terms again.');
  end if;
  perform ptp.refuse_if_ended(new.commitment_id);
  new.decided_at := clock_timestamp();
  select p.version, p.policy into new.policy_version, policy from ptp.policy_version_on(ptp.org_today()) as p;
  if new.decided_by = 'policy' then
    if not (case new.decision when 'approve' then ptp.policy_grants(v, policy, null)
                             when 'send_back' then ptp.rationale_missing(v, c.note, policy) is not null else false end) then
      perform ptp.refuse('PT003', format('Policy does not grant %s: a person must decide.', new.commitment_id));
    end if;
    new.decided_role := 'policy';
    return new;
  end if;
  select * into decider from ptp.app_user u where u.org_id = new.org_id and u.user_name = new.decided_by;
  if decider.user_name is null or not decider.is_active then
    perform ptp.refuse('PT003', format('%s is not an active user of this org.', new.decided_by), 'ptp user list shows who is.');
  end if;
  if decider.role not in ('supervisor', 'controller', 'legal') then
    perform ptp.refuse('PT003', format('%s is %s %s; only a supervisor, controller or legal decides on terms.', decider.user_name,
                       case when decider.role in ('analyst', 'admin') then 'an' else 'a' end, decider.role), 'Ask one of them.');
  end if;
  select b.reason into earlier from ptp.barred(v) as b where b.user_name = decider.user_name limit 1;
  if found then
    perform ptp.refuse('PT003', format('%s %s and cannot decide on it.', decider.user_name, earlier.reason), 'Another supervisor must decide.');
  end if;
  new.decided_role := decider.role;
  if new.decision <> 'approve' then
    return new;
  end if;
  problem := ptp.schedule_problem(v, new.schedule, policy);
  if problem is not null then
    perform ptp.refuse('PT003', format('The schedule to be approved for %s %s.', v.commitment_id, problem), 'Look at terms and schedule again.');
  end if;
  new.schedule_digest := ptp.schedule_digest(new.terms_digest, new.schedule);
  select x.version, x.agreed_on into earlier from ptp.commitment_version x join ptp.approval a using (org_id, commitment_id, version)
  where x.org_id = new.org_id and x.commitment_id = new.commitment_id and a.decision = 'approve' and x.agreed_on >= v.agreed_on
  order by x.version desc limit 1;
  if found then
    perform ptp.refuse('PT003', format('Version %s of %s was agreed on %s, not after version %s.', v.version, v.commitment_id, v.agreed_on, earlier.version),
                       'Send it back, to be logged with a later day.');
  end if;
  return new;
end $$;
create trigger gate before insert on ptp.approval for each row execute function ptp.check_approval();

-- The caps, once all decisions of a statement stand: of two that only fit alone neither passes, and where a customer stands is added up
-- once for all of them.
create function ptp.keep_within_caps() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  policy jsonb := ptp.policy_on(ptp.org_today());
  decider record;
  over record;
  needed text;
begin
  for decider in
    select d.*, case d.name when 'policy' then policy else ptp.policy_by_others(d.name) end as by_others,
           case d.role when 'policy' then 'supervisor' else d.role end as caps_of
    from (select distinct f.decided_by as name, f.decided_role as role from fresh f where f.decision = 'approve') as d
  loop
    -- materialized, or the planner, which expects few rows, would add up anew for each
    with stood as materialized (
      select t.commitment_id, t.balance_minor, t.used_minor + t.earlier_minor as exposed
      from ptp.standings(case when ptp.caps_customer(policy, decider.caps_of) or ptp.caps_customer(decider.by_others, decider.caps_of) then array(
        select distinct x.customer_id from fresh n join ptp.commitment_version x using (org_id, commitment_id, version)
        where n.decided_by = decider.name and n.decision = 'approve') end) as t
    )
    select v.commitment_id, v as terms, b.* into over
    from fresh f
    join ptp.commitment_version v using (org_id, commitment_id, version)
    left join stood s on s.commitment_id = v.commitment_id
    cross join lateral (
      select case when decider.name <> 'policy' then ptp.cap_exceeded(v, policy, decider.role, s.balance_minor, s.exposed)
                  when not ptp.policy_grants(v, policy, s.exposed) then 'Policy does not grant it' end as beyond,
             case when decider.by_others is distinct from policy
               then ptp.cap_exceeded(v, decider.by_others, decider.role, s.balance_minor, s.exposed) end as beyond_others
    ) as b
    where f.decided_by = decider.name and f.decision = 'approve' and (b.beyond is not null or b.beyond_others is not null)
    order by b.beyond is null, v.logged_at desc, v.commitment_id desc limit 1;
    continue when not found;
    if decider.name = 'policy' then
      perform ptp.refuse('PT003', format('Policy does not grant %s: a person must decide.', over.commitment_id));
    elsif over.beyond is null then
      perform ptp.refuse('PT003', format('%s, and it was %s who changed that limit: somebody else must approve %s.', over.beyond_others, decider.name,
                                         over.commitment_id));
    end if;
    select ptp.role_for(over.terms, policy, t.balance_minor, t.used_minor + t.earlier_minor) into needed
    from ptp.standings(array[(over.terms).customer_id]) as t where t.commitment_id = over.commitment_id;
    if needed is null then
      perform ptp.refuse('PT003', format('%s: nobody may approve %s.', over.beyond, over.commitment_id), 'Change the terms or the policy.');
    end if;
    perform ptp.refuse('PT003', format('%s: %s approval required for %s.', over.beyond, initcap(needed), over.commitment_id));
  end loop;
  return null;
end $$;
create trigger within_caps after insert on ptp.approval referencing new table as fresh for each statement execute function ptp.keep_within_caps();

create function ptp.renew_claims(id text) returns void language plpgsql set search_path = ptp, pg_temp
as $$
begin
  delete from ptp.promise_claim p where p.org_id = ptp.current_org() and p.commitment_id = id;
  insert into ptp.promise_claim (org_id, identity, commitment_id)
  select distinct v.org_id, ptp.promise_identity(v.customer_id, v.currency, v.invoice_ids, v.amount_minor, v.first_due_date), v.commitment_id
  from (
    select x.*, a.decision, max(x.version) over () as newest, max(x.version) filter (where a.decision = 'approve') over () as newest_approved
    from ptp.commitment_version x left join ptp.approval a using (org_id, commitment_id, version)
    where x.org_id = ptp.current_org() and x.commitment_id = id
  ) as v
  where v.version = v.newest_approved or (v.version = v.newest and v.decision is distinct from 'reject')
  on conflict (org_id, identity) do nothing;
end $$;

-- after new versions: claim what they promise, and let policy approve what it grants
create function ptp.settle_versions() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  clash record;
begin
  perform ptp.lock_org();
  perform ptp.renew_claims(f.commitment_id) from fresh f where f.version > 1;
  insert into ptp.promise_claim (org_id, identity, commitment_id)
  select f.org_id, ptp.promise_identity(f.customer_id, f.currency, f.invoice_ids, f.amount_minor, f.first_due_date), f.commitment_id
  from fresh f where f.version = 1
  on conflict (org_id, identity) do nothing;
  select f.*, p.commitment_id as first_id into clash
  from fresh f join ptp.promise_claim p
    on p.org_id = f.org_id and p.identity = ptp.promise_identity(f.customer_id, f.currency, f.invoice_ids, f.amount_minor, f.first_due_date)
  where p.commitment_id <> f.commitment_id order by f.commitment_id limit 1;
  if found then
    perform ptp.refuse('PT002', format('%s is the same as %s: customer %s, %s due %s, %s.', clash.commitment_id, clash.first_id, clash.customer_id,
      ptp.format_money(clash.amount_minor, clash.currency), clash.first_due_date,
      case cardinality(clash.invoice_ids) when 0 then 'no invoice' else 'invoices ' || array_to_string(clash.invoice_ids, ', ') end),
      format('See ptp show %s.', clash.first_id));
  end if;
  -- Policy approves what it grants, and sends back what it wants to be told more about; the rest waits for a person.
  -- materialized, or each of its policies would be looked up anew for every row
  with policies as materialized (
    select a.logged_by, ptp.policy_on(ptp.org_today()) as policy, ptp.policy_by_others(a.logged_by) as by_others
    from (select distinct logged_by from fresh) as a
  ),
  asked as materialized (
    select f.commitment_id, f.version, f.customer_id, p.policy, p.by_others, r.v, ptp.rationale_missing(r.v, c.note, p.policy) as missing,
           ptp.policy_grants(r.v, p.policy, null) and ptp.policy_grants(r.v, p.by_others, null) as is_grantable,
           ptp.caps_customer(p.policy, 'supervisor') or ptp.caps_customer(p.by_others, 'supervisor') as caps_customer
    from fresh f
    join policies p on p.logged_by = f.logged_by
    join ptp.commitment c on c.org_id = f.org_id and c.commitment_id = f.commitment_id
    cross join lateral (select row(f.*)::ptp.commitment_version as v) as r
  ),
  -- Where the customer stands is read only for what depends on it: plans of a file have none of it.
  stood as materialized (
    select t.commitment_id, t.used_minor + t.earlier_minor as exposed
    from ptp.standings(array(select distinct customer_id from asked where is_grantable and caps_customer)) as t
  ),
  answered as (
    select a.*, a.is_grantable and ptp.policy_grants(a.v, a.policy, s.exposed) and ptp.policy_grants(a.v, a.by_others, s.exposed) as is_granted
    from asked a left join stood s using (commitment_id)
  )
  insert into ptp.approval (org_id, commitment_id, version, decision, reason, terms_digest, decided_by, decided_role, auth, channel, policy_version, decided_at)
  select (d.v).org_id, d.commitment_id, d.version, case when d.is_granted then 'approve' else 'send_back' end,
         case when d.is_granted then 'Within the limits policy grants.' else d.missing || '.' end, (d.v).terms_digest, 'policy', 'policy', 'policy',
         (select h.origin from ptp.here() as h), 1, now()
  from answered d
  where d.is_granted or d.missing is not null;
  perform ptp.record('approval.sent_back', 'commitment', a.commitment_id, a.reason, null,
                     jsonb_build_object('by', 'policy', 'version', a.version, 'terms_digest', a.terms_digest))
  from fresh f join ptp.approval a using (org_id, commitment_id, version) where a.decision = 'send_back';
  return null;
end $$;
create trigger settle after insert on ptp.commitment_version referencing new table as fresh
  for each statement execute function ptp.settle_versions();

-- what was logged or changed, in the audit trail whoever wrote it: after `settle`, so that it says what policy made of it
create function ptp.terms_in_audit(v ptp.commitment_version) returns jsonb language sql stable
as $$
  select jsonb_strip_nulls(to_jsonb(v) - array['org_id', 'commitment_id', 'logged_by', 'logged_at', 'reason', 'version', 'terms_digest'])
$$;

create function ptp.tell_versions() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  insert into ptp.audit_event (org_id, action, object_type, object_id, reason, before, after)
  select f.org_id, 'commitment.logged', 'commitment', f.commitment_id, f.reason, null,
         ptp.terms_in_audit(f) || jsonb_build_object('version', f.version, 'source', c.source, 'terms_digest', f.terms_digest,
           'status', case a.decision when 'approve' then 'active' when 'send_back' then 'draft' else 'pending_approval' end)
  from fresh f join ptp.commitment c using (org_id, commitment_id) left join ptp.approval a using (org_id, commitment_id, version)
  where f.version = 1 order by c.line_number, f.commitment_id;
  insert into ptp.audit_event (org_id, action, object_type, object_id, reason, before, after)
  select f.org_id, 'commitment.renegotiated', 'commitment', f.commitment_id, f.reason,
         (select jsonb_object_agg(o.key, o.value) from jsonb_each(ptp.terms_in_audit(v)) as o
          where o.value is distinct from ptp.terms_in_audit(f) -> o.key),
         (select jsonb_object_agg(n.key, n.value) from jsonb_each(ptp.terms_in_audit(f)) as n
          where n.value is distinct from ptp.terms_in_audit(v) -> n.key) || jsonb_build_object('version', f.version)
  from fresh f join ptp.commitment_version v on v.org_id = f.org_id and v.commitment_id = f.commitment_id and v.version = f.version - 1
  order by f.commitment_id;
  return null;
end $$;
create trigger tell after insert on ptp.commitment_version referencing new table as fresh
  for each statement execute function ptp.tell_versions();

-- a commitment ends at most once, and gives its claims back
create function ptp.check_event() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  approved_from date;
  state record;
begin
  perform ptp.lock_org();
  new.recorded_by := case when new.kind in ('cancel', 'close') then ptp.author(new.kind || ' what is in force', array['supervisor', 'controller', 'legal'])
                     else ptp.author(new.kind || ' commitments') end;
  new.recorded_at := clock_timestamp();
  -- Numbered here, as a client may write an identity of its own choice; and one sequence for all would tell an org how much others do.
  select coalesce(max(e.event_id), 0) + 1 into new.event_id from ptp.commitment_event e where e.org_id = new.org_id;
  perform ptp.refuse_if_ended(new.commitment_id);
  select min(v.agreed_on) into approved_from from ptp.commitment_version v join ptp.approval a using (org_id, commitment_id, version)
  where v.org_id = new.org_id and v.commitment_id = new.commitment_id and a.decision = 'approve';
  if new.kind <> 'withdraw' and approved_from is null then
    perform ptp.refuse('PT001', format('%s is not active, so there is nothing to %s.', new.commitment_id, new.kind), 'Withdraw it instead.');
  elsif new.kind = 'withdraw' and approved_from is not null then
    perform ptp.refuse('PT001', format('%s was approved, so it cannot be withdrawn.', new.commitment_id), 'Cancel or close it instead.');
  elsif new.effective_on < approved_from then
    perform ptp.refuse('PT001', format('%s was agreed on %s; it cannot %s before that.', new.commitment_id, approved_from, new.kind), 'Give a day from then on.');
  elsif new.kind in ('cancel', 'withdraw', 'close') and new.effective_on > greatest(ptp.org_today(), approved_from) then
    -- It would free invoices and exposure of what is in force till then.
    perform ptp.refuse('PT001', format('%s is still to come: nobody can %s %s ahead.', new.effective_on, new.kind, new.commitment_id),
                       format('Do it on that day, or as of today, %s.', ptp.org_today()));
  end if;
  if new.kind in ('pause', 'resume') then
    select e.kind, e.effective_on into state from ptp.commitment_event e
    where e.org_id = new.org_id and e.commitment_id = new.commitment_id and e.kind in ('pause', 'resume') and e.effective_on <= new.effective_on
    order by e.effective_on desc, e.event_id desc limit 1;
    if new.kind = coalesce(state.kind, 'resume') then
      perform ptp.refuse('PT001', case new.kind when 'pause' then format('%s is paused already, since %s.', new.commitment_id, state.effective_on)
                                  else format('%s is not paused on %s.', new.commitment_id, new.effective_on) end,
                         format('ptp show %s tells what it is.', new.commitment_id));
    end if;
  end if;
  if new.kind = 'withdraw' and not exists (select from ptp.person() as p where p.role in ('supervisor', 'controller', 'legal'))
    and not exists (select from ptp.commitment c where c.org_id = new.org_id and c.commitment_id = new.commitment_id
                    and new.recorded_by in (c.logged_by, lower(c.owner))) then
    perform ptp.refuse('PT003', format('%s neither logged nor owns %s and may not withdraw it.', new.recorded_by, new.commitment_id),
                       'Ask a supervisor, a controller or legal.');
  end if;
  perform ptp.record('commitment.' || case new.kind when 'cancel' then 'cancelled' when 'withdraw' then 'withdrawn' else rtrim(new.kind, 'e') || 'ed' end,
                     'commitment', new.commitment_id, new.reason, null, jsonb_build_object('effective_on', new.effective_on));
  if new.kind in ('cancel', 'withdraw', 'close') then
    delete from ptp.promise_claim where org_id = new.org_id and commitment_id = new.commitment_id;
  end if;
  return new;
end $$;
create trigger check_event before insert on ptp.commitment_event for each row execute function ptp.check_event();

create function ptp.decision_moves_claims() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  perform ptp.renew_claims(new.commitment_id);
  return null;
end $$;
create trigger move_claims after insert on ptp.approval for each row
  when (new.decision = 'reject' or (new.decision = 'approve' and new.version > 1)) execute function ptp.decision_moves_claims();

-- ways in ----------------------------------------------------------------------------------------------------------

-- Decide on versions: [{"commitment_id": …, "version": …, "schedule": …}]. All or none. Who decides comes from the proof, nothing
-- else; what is approved is the terms by their digest and the schedule that was presented.
create function ptp.decide(proof text, items jsonb, verdict text, why text, via text) returns setof ptp.approval
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  person record;
  outside record;
begin
  perform ptp.lock_org();
  select * into person from ptp.acting(proof);
  if jsonb_typeof(items) is distinct from 'array' or items = '[]' then
    perform ptp.refuse('PT001', 'There is nothing to decide on.', 'Name the commitments.');
  end if;
  if 'approve' = any (ptp.scopes_of(person.role)) then
    perform ptp.demand_scope(array['approve']);
  end if;
  if person.only_items is not null then
    select i.commitment_id, i.version, b.commitment_id is not null as is_named into outside
    from jsonb_array_elements(ptp.items_with_digests((select jsonb_agg(p.item - 'schedule_digest') from jsonb_array_elements(items) as p (item))))
      as x (item)
    cross join lateral jsonb_to_record(x.item) as i (commitment_id text, version int, schedule_digest text)
    left join jsonb_to_recordset(person.only_items) as b (commitment_id text, version int, schedule_digest text)
      on b.commitment_id = i.commitment_id and b.version = i.version
    where b.commitment_id is null or (verdict = 'approve' and b.schedule_digest is distinct from i.schedule_digest) limit 1;
    if found then
      perform ptp.refuse('PT003', format(case when outside.is_named then 'The approval code is for another schedule of version %s of %s.'
                                              else 'The approval code is not for version %s of %s.' end, outside.version, outside.commitment_id),
                         'Look at it again, and ask for a new code: ptp approval-code.');
    end if;
  end if;
  return query
    insert into ptp.approval (org_id, commitment_id, version, decision, reason, terms_digest, schedule, schedule_digest, decided_by, decided_role, auth,
                              channel, policy_version, decided_at)
    select ptp.current_org(), i.commitment_id, i.version, verdict, why,
           coalesce((select v.terms_digest from ptp.commitment_version v
                     where v.org_id = ptp.current_org() and v.commitment_id = i.commitment_id and v.version = i.version), ''),
           case verdict when 'approve' then i.schedule end, null, person.user_name, person.role, person.auth, via, 1, now()
    from jsonb_to_recordset(items) as i (commitment_id text, version int, schedule jsonb)
    returning *;
  perform ptp.record(
    case verdict when 'approve' then 'approval.approved' when 'reject' then 'approval.rejected' else 'approval.sent_back' end,
    'commitment', case jsonb_array_length(items) when 1 then items -> 0 ->> 'commitment_id' else '' end, why, null,
    jsonb_build_object('channel', via, 'items', (
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('commitment_id', a.commitment_id, 'version', a.version, 'terms_digest', a.terms_digest,
                                                            'schedule_digest', a.schedule_digest)) order by a.commitment_id)
      from ptp.approval a join jsonb_to_recordset(items) as i (commitment_id text, version int)
        on a.org_id = ptp.current_org() and a.commitment_id = i.commitment_id and a.version = i.version)));
end $$;

create function ptp.items_with_digests(items jsonb) returns jsonb language sql stable set search_path = ptp, pg_temp
as $$
  select jsonb_agg(jsonb_build_object('commitment_id', i.commitment_id, 'version', i.version, 'terms_digest', v.terms_digest,
                                      'schedule_digest', coalesce(i.schedule_digest, ptp.schedule_digest(v.terms_digest, i.schedule)))
                   order by i.commitment_id collate "C", i.version)
  from jsonb_to_recordset(items) as i (commitment_id text, version int, schedule jsonb, schedule_digest text)
  left join ptp.commitment_version v on v.org_id = ptp.current_org() and v.commitment_id = i.commitment_id and v.version = i.version
$$;

create function ptp.issue_code(proof text, items jsonb, code_hash text, until timestamptz) returns void
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  person record;
  bound jsonb := ptp.items_with_digests(items);
begin
  perform ptp.lock_org();
  select * into person from ptp.acting(proof);
  if person.auth = 'code' then
    perform ptp.refuse('PT003', 'An approval code is for deciding and nothing else.', 'Use --token or PTP_TOKEN.');
  end if;
  if person.role not in ('supervisor', 'controller', 'legal') then
    perform ptp.refuse('PT003', format('%s is %s %s; approval codes are for supervisors, controllers and legal.', person.user_name,
                       case when person.role in ('analyst', 'admin') then 'an' else 'a' end, person.role), 'Ask one of them.');
  end if;
  perform ptp.demand_scope(array['approve']);
  if until > now() + interval '169 hours' then
    perform ptp.refuse('PT001', 'An approval code is good for a week at most.', 'Set approval.code_hours to 168 or less.');
  end if;
  if bound is null or bound @? '$[*] ? (@.terms_digest == null)' then
    perform ptp.refuse('PT001', 'An approval code needs versions that exist.', 'ptp approve lists what is pending.');
  end if;
  insert into ptp.approval_code (org_id, code_sha256, user_name, items, items_digest, expires_at)
  values (ptp.current_org(), code_hash, person.user_name, bound, ptp.sha256_hex(bound::text), until);
  perform ptp.record('code.issued', 'user', person.user_name, '', null, jsonb_build_object('items', bound, 'expires_at', until));
end $$;

-- Present a code: it is used up, whatever comes of it; so nothing here raises, and the caller commits before going on. What it
-- turns into is a sign-in for a minute and for its items only.
create function ptp.redeem_code(name text, code text) returns table (proof text, refusal text, next_step text)
language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  known ptp.approval_code;
  seconds int;
begin
  next_step := 'Ask for a new code after signing in.';
  perform ptp.lock_org();
  seconds := ptp.must_wait(name, 'code');
  select * into known from ptp.approval_code a where a.org_id = ptp.current_org() and a.code_sha256 = ptp.sha256_hex(code);
  update ptp.approval_code a set used_at = now() where a.org_id = known.org_id and a.code_sha256 = known.code_sha256 and a.used_at is null;
  if seconds > 0 then
    refusal := format('Too many wrong approval codes for this person: wait %s seconds.', seconds);
    next_step := format('Or have an admin or the operator end the wait: ptp user unlock %s.', name);
  elsif known.user_name is null or known.user_name is distinct from name
    or not exists (select from ptp.app_user u where u.org_id = ptp.current_org() and u.user_name = name and u.is_active) then
    refusal := 'This approval code is not valid for this person.';
    perform ptp.count_guess(name, 'code', code) from ptp.org;
  elsif known.used_at is not null then
    refusal := 'This approval code was already used.';
  elsif known.expires_at <= now() then
    refusal := 'This approval code has expired.';
  elsif ptp.sha256_hex(ptp.items_with_digests(known.items)::text) <> known.items_digest
    or exists (select from jsonb_to_recordset(known.items) as i (commitment_id text, version int) join ptp.commitment_version v
               on v.org_id = ptp.current_org() and v.commitment_id = i.commitment_id and v.version > i.version) then
    refusal := 'The terms changed after this approval code was issued.';
  else
    proof := ptp.open_sign_in(known.user_name, 'code', now() + interval '1 minute', known.items);
  end if;
  if refusal is not null and (seconds = 0 or known.user_name is not null) then
    perform ptp.record('code.refused', 'user', left(name, 128), refusal, null, null) from ptp.org;
  end if;
  return next;
end $$;

-- After a big import the planner knows nothing of what it will be asked about next; minutes instead of seconds were measured.
create function ptp.refresh_statistics() returns void language plpgsql security definer set search_path = ptp, pg_temp
as $$
begin
  analyze ptp.commitment, ptp.commitment_version, ptp.approval, ptp.feed_line, ptp.promise_claim, ptp.version_invoice;
end $$;
grant execute on function ptp.refresh_statistics to ptp_pipeline;

-- current state ----------------------------------------------------------------------------------------------------

create view ptp.commitment_version_state with (security_invoker = true) as
select
  x.*,
  case
    when x.decision = 'approve' and x.superseded_on <= coalesce(x.cancelled_on, x.superseded_on) then 'superseded'
    when x.decision = 'approve' and x.cancelled_on is not null then case x.ended_by when 'close' then 'closed' else 'cancelled' end
    when x.decision = 'approve' then 'active'
    when x.cancelled_on is not null then 'cancelled'
    when x.decision = 'reject' then 'rejected'
    when x.version < x.newest then 'superseded'
    when x.decision = 'send_back' then 'draft'
    else 'pending_approval'
  end as status
from (
  select
    v.*,
    a.decision,
    a.decided_by,
    a.decided_role,
    a.decided_at,
    a.reason as decision_reason,
    e.kind as ended_by,
    e.effective_on as cancelled_on,
    e.reason as cancel_reason,
    max(v.version) over (partition by v.org_id, v.commitment_id) as newest,
    max(v.version) filter (where a.decision = 'approve') over (partition by v.org_id, v.commitment_id) as newest_approved,
    min(v.agreed_on) filter (where a.decision = 'approve') over (
      partition by v.org_id, v.commitment_id order by v.version rows between 1 following and unbounded following) as superseded_on
  from ptp.commitment_version v
  left join ptp.approval a on a.org_id = v.org_id and a.commitment_id = v.commitment_id and a.version = v.version
  left join ptp.commitment_event e on e.org_id = v.org_id and e.commitment_id = v.commitment_id and e.kind in ('cancel', 'withdraw', 'close')
) as x;

grant select on ptp.commitment, ptp.commitment_version, ptp.commitment_event, ptp.payment_override, ptp.feed_line, ptp.approval, ptp.promise_claim,
  ptp.commitment_version_state to ptp_app, ptp_pipeline, ptp_ops;
grant insert on ptp.commitment, ptp.commitment_version to ptp_app, ptp_pipeline;
grant insert on ptp.commitment_event, ptp.payment_override to ptp_app;
grant insert on ptp.feed_line to ptp_pipeline;
grant execute on function ptp.terms_digest, ptp.schedule_digest, ptp.approval_fits, ptp.last_due_date, ptp.nominal_due_date
  to ptp_app, ptp_pipeline, ptp_ops;
grant execute on function ptp.decide, ptp.issue_code, ptp.redeem_code to ptp_app;
