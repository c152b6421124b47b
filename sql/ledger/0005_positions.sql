-- What the org's current build says is open, for the database's own rules: how much of an invoice is left to promise, what a commitment
-- still claims, what a customer owes. Runs write it when they record a build that became current, and nobody else does.
--
-- A cache, not a record: it holds nothing that the published build does not, and may be emptied at any time. Where the row in
-- ptp.position_source is missing, the next run that records a build writes everything anew.

-- The build all positions of the org are of. Rows that did not change since an earlier build are not written again.
create table ptp.position_source (
  org_id text not null references ptp.org,
  build_id text not null,
  digest text not null,
  as_of date not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (org_id)
);
select ptp.protect('ptp.position_source', false);

-- Every invoice known at as_of, also those with nothing open: an invoice without a row is one no run has seen.
create table ptp.invoice_position (
  org_id text not null references ptp.org,
  invoice_id text not null,
  customer_id text not null,
  currency char(3) not null,
  open_minor bigint not null,
  primary key (org_id, invoice_id)
);
create index invoice_position_customer on ptp.invoice_position (org_id, customer_id, currency) include (open_minor);
select ptp.protect('ptp.invoice_position', false);

-- Every version of a commitment agreed by as_of. Its status is that of the day, as in the published table `commitments`; only a version in
-- force then has anything outstanding.
create table ptp.commitment_position (
  org_id text not null references ptp.org,
  commitment_id text not null,
  version int not null,
  paid_minor bigint not null,
  outstanding_minor bigint not null,
  status text not null,
  primary key (org_id, commitment_id, version)
);
select ptp.protect('ptp.commitment_position', false);

create trigger only_runs before insert or update or delete or truncate on ptp.position_source
  for each statement execute function ptp.refuse_people();
create trigger only_runs before insert or update or delete or truncate on ptp.invoice_position
  for each statement execute function ptp.refuse_people();
create trigger only_runs before insert or update or delete or truncate on ptp.commitment_position
  for each statement execute function ptp.refuse_people();

-- What a customer owes in a currency, in minor units; NULL when no invoice of theirs in it is known.
create function ptp.customer_balance(customer text, currency text) returns numeric language sql stable
as $$
  select sum(i.open_minor) from ptp.invoice_position i
  where i.org_id = ptp.current_org() and i.customer_id = customer and i.currency = customer_balance.currency
$$;

grant select, insert, update, delete on ptp.position_source, ptp.invoice_position, ptp.commitment_position to ptp_app;
grant execute on function ptp.customer_balance to ptp_app;
