-- What the org's current build says is open, for the database's own rules: how much of an invoice is left to promise, what a commitment
-- still claims, what a customer owes. Runs write it when they record a build that became current, and nobody else does.
--
-- A cache, not a record: it holds nothing that the archive and the published build do not, and may be emptied at any time. Where the row
-- in ptp.position_source is missing, the next run that records a build writes everything anew.

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

-- Every invoice known at as_of, also those with nothing open, and those a file brought since that a commitment of the next run names: an
-- invoice without a row is one ptp does not know.
create table ptp.invoice_position (
  org_id text not null references ptp.org,
  invoice_id text not null,
  customer_id text not null,
  currency char(3) not null,
  amount_minor bigint not null,
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

-- What a customer owes in a currency, in minor units; NULL when no invoice of theirs in it is known.
create function ptp.customer_balance(customer text, currency text) returns numeric language sql stable
as $$
  select sum(i.open_minor) from ptp.invoice_position i
  where i.org_id = ptp.current_org() and i.customer_id = customer and i.currency = customer_balance.currency
$$;

grant select on ptp.position_source, ptp.invoice_position, ptp.commitment_position to ptp_app, ptp_pipeline, ptp_ops;
grant insert, update, delete on ptp.position_source, ptp.invoice_position, ptp.commitment_position to ptp_pipeline;
grant execute on function ptp.customer_balance to ptp_app, ptp_pipeline, ptp_ops;

-- what may still be promised ---------------------------------------------------------------------------------------
-- How a commitment's money is split over its invoices is nobody's to know beforehand. So no single share is compared, but sums that must
-- hold for any split: for the invoices of any one commitment together, what is promised on them and on no others is at most what is open
-- on them, whoever promises it. An invoice ptp does not know, or in another currency, adds nothing: a commitment is held against those of
-- its invoices that are known, with all it promises, so that a name thrown in lifts no limit. From the day the others are known they count
-- with what is open on them, also for what was promised before. Where none is known there is nothing to hold it against. What was agreed
-- before the day of the last build, and no build has seen in force, may have been paid in part since: it may use up what is paid of the
-- invoices too.

-- Which versions name an invoice: an index that row-level security lets the planner use.
create table ptp.version_invoice (
  org_id text not null,
  invoice_id text not null,
  commitment_id text not null,
  version int not null,
  primary key (org_id, invoice_id, commitment_id, version),
  foreign key (org_id, commitment_id, version) references ptp.commitment_version
);
select ptp.protect('ptp.version_invoice', true);

-- What a commitment claims, for the open amounts of its invoices and for its customer's exposure: by version in force or to come into
-- force, and by its newest version while that waits for a decision. It is what the last build found outstanding, or all it promises where
-- no build has seen it in force. New terms agreed ahead free nothing of the old ones before their day.
create view ptp.open_claim with (security_invoker = true) as
select v.org_id, v.commitment_id, v.version, v.customer_id, v.currency, v.invoice_ids, v.agreed_on, v.logged_at,
       a.decision is not null as is_approved, p.commitment_id is not null as is_seen,
       coalesce(p.outstanding_minor, v.total_minor - v.discount_minor) as claim_minor
from ptp.commitment_version v
left join ptp.approval a on a.org_id = v.org_id and a.commitment_id = v.commitment_id and a.version = v.version
left join ptp.commitment_position p on p.org_id = v.org_id and p.commitment_id = v.commitment_id and p.version = v.version
  and a.decision = 'approve' and p.status in ('active', 'defaulted', 'completed')
where coalesce(a.decision, 'approve') = 'approve'
  and not exists (
    select from ptp.commitment_version x
    left join ptp.approval y on y.org_id = x.org_id and y.commitment_id = x.commitment_id and y.version = x.version
    where x.org_id = v.org_id and x.commitment_id = v.commitment_id and x.version > v.version
      and (a.decision is null or (y.decision = 'approve' and x.agreed_on <= (select ptp.org_today())))
    -- asked by key for each: made a join by a planner that takes the org for a small one, this was cubic in what a customer has
    offset 0)
  and not exists (
    select from ptp.commitment_event e
    where e.org_id = v.org_id and e.commitment_id = v.commitment_id and e.kind in ('cancel', 'withdraw', 'close'));

create function ptp.some_of(things text[]) returns text language sql immutable
as $$
  select array_to_string(things[1:5], ', ') || case when cardinality(things) > 5 then format(' and %s more', cardinality(things) - 5) else '' end
$$;

-- Of commitments about to be logged, in this order, those that no longer fit into what is open, with words; the others fit together.
-- New terms take the place of what their commitment claimed before. `invoices` are the ids of each, with chr(31) between them.
create function ptp.beyond_open(ids text[], currencies text[], invoices text[], amounts bigint[], agreed date[])
returns table (refused_id text, message text, next_step text)
language plpgsql security definer set search_path = ptp, pg_temp set plan_cache_mode = force_custom_plan set enable_nestloop = on
as $$
declare
  c record;
  s int;
  actor text;
  day date := (select p.as_of from ptp.position_source p where p.org_id = ptp.current_org());
  open_left bigint[];  -- of each crowded bundle: what is open and not claimed, but for claims that may have been paid
  left_over bigint[];  -- what was invoiced and is not claimed at all
  holders text[];
  by_invoiced boolean;
  available bigint;
  is_refused boolean;
begin
  select i.actor into actor from ptp.identity() as i;
  -- Who lifted the limit does not promise beyond it: that is for others.
  if day is null or (coalesce(ptp.policy_on(ptp.org_today()) ->> 'over_promising', 'refuse') = 'allow'
                     and coalesce(ptp.policy_by_others(actor) ->> 'over_promising', 'refuse') = 'allow') then
    return;
  end if;
  -- The planner cannot know how many bundles there are. It takes few, which for a file would be quadratic.
  -- Nor may it join by currency, in which all of a file may be: hence `is not distinct from`, which is tested on what the ids brought
  -- together.
  perform set_config('enable_nestloop', case when cardinality(ids) > 100 then 'off' else 'on' end, true);
  for c in
    with stated as materialized (
      select u.position, u.id, u.currency, string_to_array(u.named, chr(31)) as stated, u.amount, u.agreed_on < day as is_earlier
      from unnest(ids, currencies, invoices, amounts, agreed) with ordinality as u (id, currency, named, amount, agreed_on, position)
    ),
    -- held against those of its invoices that are known
    candidate as materialized (
      select a.*, k.named
      from stated a
      join (select x.position, array_agg(i.invoice_id order by i.invoice_id collate "C") as named
            from stated x cross join unnest(x.stated) as n
            join ptp.invoice_position i on i.org_id = ptp.current_org() and i.invoice_id = n
            group by x.position) as k using (position)
    ),
    superset as (
      select distinct o.currency::text as currency, o.invoice_ids as named
      from candidate a
      join ptp.version_invoice l on l.org_id = ptp.current_org() and l.invoice_id = a.named[1]
      join ptp.open_claim o on o.org_id = l.org_id and o.commitment_id = l.commitment_id and o.version = l.version
      where o.currency is not distinct from a.currency and o.invoice_ids @> a.named
    ),
    named_invoice as materialized (
      select b.currency, b.named, n
      from (select currency, named from candidate union select currency, named from superset) as b
      cross join unnest(b.named) as n
    ),
    bundle as materialized (
      select row_number() over (order by cardinality(k.named), k.named) as number, k.*
      from (
        select distinct b.currency, array_agg(i.invoice_id order by i.invoice_id collate "C") as named,
               sum(case when i.currency = b.currency then i.open_minor else 0 end) as open,
               sum(case when i.currency = b.currency then greatest(i.amount_minor, i.open_minor) else 0 end) as invoiced
        from named_invoice b
        join ptp.invoice_position i on i.org_id = ptp.current_org() and i.invoice_id = b.n
        group by b.currency, b.named
      ) as k
    ),
    part as materialized (select b.number, b.currency, n from bundle b cross join unnest(b.named) as n),
    -- A claim is within a bundle when as many of its invoices are in the bundle as are known at all.
    touching as materialized (
      select b.number, o.commitment_id, o.version, o.claim_minor, not o.is_seen and o.agreed_on < day as is_earlier, count(*) as shared
      from part b
      join ptp.version_invoice l on l.org_id = ptp.current_org() and l.invoice_id = b.n
      join ptp.open_claim o on o.org_id = l.org_id and o.commitment_id = l.commitment_id and o.version = l.version
      where o.currency is not distinct from b.currency and o.claim_minor > 0 and not exists (select from stated a where a.id = o.commitment_id)
      group by b.number, o.commitment_id, o.version, o.claim_minor, o.is_seen, o.agreed_on
    ),
    extent as (
      select t.commitment_id, t.version, count(*) as known
      from (select distinct commitment_id, version from touching) as t
      join ptp.commitment_version v on v.org_id = ptp.current_org() and v.commitment_id = t.commitment_id and v.version = t.version
      cross join unnest(v.invoice_ids) as n
      join ptp.invoice_position i on i.org_id = ptp.current_org() and i.invoice_id = n
      group by t.commitment_id, t.version
    ),
    claim as (
      select t.number, t.commitment_id, max(t.claim_minor) as amount, bool_or(t.is_earlier) as is_earlier
      from touching t join extent e using (commitment_id, version)
      where t.shared = e.known group by t.number, t.commitment_id
    ),
    claimed as (
      select number, sum(amount) as amount, coalesce(sum(amount) filter (where not is_earlier), 0) as of_open,
             ptp.some_of(array_agg(commitment_id order by commitment_id)) as holders
      from claim group by number
    ),
    wanted as (
      select p.number, a.position, a.amount, a.is_earlier
      from candidate a
      join part p on p.n = a.named[1] and p.currency is not distinct from a.currency
      join bundle b on b.number = p.number and a.named <@ b.named
    ),
    crowded as (
      select b.*, b.open - coalesce(d.of_open, 0) as open_left, b.invoiced - coalesce(d.amount, 0) as left_over, coalesce(d.holders, '') as holders
      from bundle b
      join (select number, sum(amount) as amount, coalesce(sum(amount) filter (where not is_earlier), 0) as of_open
            from wanted group by number) as w using (number)
      left join claimed d using (number)
      where coalesce(d.of_open, 0) + w.of_open > b.open or coalesce(d.amount, 0) + w.amount > b.invoiced
    )
    select a.position, a.id, a.currency, a.amount, a.stated, a.is_earlier,
           array(select n from unnest(a.stated) as n where n <> all (a.named)) as unknown, array_agg(r.number::int order by r.number) as numbers,
           array_agg(r.open::bigint order by r.number) as opens, array_agg(r.invoiced::bigint order by r.number) as invoiced,
           array_agg(r.open_left::bigint order by r.number) as open_left, array_agg(r.left_over::bigint order by r.number) as left_over,
           array_agg(r.holders order by r.number) as holders, array_agg(ptp.some_of(r.named) order by r.number) as bundles
    from crowded r join wanted w using (number) join candidate a using (position)
    group by a.position, a.id, a.currency, a.amount, a.stated, a.named, a.is_earlier order by a.position
  loop
    is_refused := false;
    for i in 1 .. cardinality(c.numbers) loop
      s := c.numbers[i];
      if open_left[s] is null then
        open_left[s] := c.open_left[i];
        left_over[s] := c.left_over[i];
        holders[s] := c.holders[i];
      end if;
      by_invoiced := c.is_earlier or left_over[s] < open_left[s];
      available := case when by_invoiced then left_over[s] else open_left[s] end;
      if c.amount > available then
        refused_id := c.id;
        message := format('%s would promise %s on %s, but %s is left to promise on %s: %s, %s.', c.id,
          ptp.format_money(c.amount, c.currency), ptp.some_of(c.stated),
          case when available > 0 then ptp.format_money(available, c.currency) else 'nothing' end, c.bundles[i],
          case when by_invoiced then ptp.format_money(c.invoiced[i], c.currency) || ' invoiced'
               else format('%s open on %s', ptp.format_money(c.opens[i], c.currency), day) end,
          case when holders[s] = '' then 'nothing promised' else format('%s promised by %s',
            ptp.format_money(case when by_invoiced then c.invoiced[i] else c.opens[i] end - available, c.currency), holders[s]) end);
        next_step := case when holders[s] = '' then 'Promise what is open' else format('Promise what is left, or renegotiate or cancel %s', holders[s]) end
          || case when cardinality(c.unknown) = 0 then '. If invoices or payments came since, bring them in with ptp run first.'
                  else format('. ptp does not know %s, so nothing can be promised on it beside what it knows: bring in its file with ptp run first.',
                              ptp.some_of(c.unknown)) end;
        is_refused := true;
        return next;
        exit;
      end if;
    end loop;
    if not is_refused then
      foreach s in array c.numbers loop
        left_over[s] := left_over[s] - c.amount;
        if not c.is_earlier then
          open_left[s] := open_left[s] - c.amount;
        end if;
        if length(holders[s]) < 100 then
          holders[s] := concat_ws(', ', nullif(holders[s], ''), c.id);
        elsif holders[s] not like '%and others' then
          holders[s] := holders[s] || ' and others';
        end if;
      end loop;
    end if;
  end loop;
end $$;

-- Sorts behind `settle`: whose promise is there already hears that first.
create function ptp.keep_within_open() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  over record;
begin
  perform ptp.lock_org();
  insert into ptp.version_invoice (org_id, invoice_id, commitment_id, version)
  select f.org_id, i, f.commitment_id, f.version from fresh f cross join unnest(f.invoice_ids) as i;
  select b.* into over from (
    select array_agg(f.commitment_id order by f.commitment_id) as ids, array_agg(f.currency::text order by f.commitment_id) as currencies,
           array_agg(array_to_string(f.invoice_ids, chr(31)) order by f.commitment_id) as invoices,
           array_agg(f.total_minor - f.discount_minor order by f.commitment_id) as amounts, array_agg(f.agreed_on order by f.commitment_id) as agreed
    from fresh f) as g
  cross join lateral ptp.beyond_open(g.ids, g.currencies, g.invoices, g.amounts, g.agreed) as b limit 1;
  if found then
    perform ptp.refuse('PT001', over.message, over.next_step);
  end if;
  return null;
end $$;
create trigger within_open after insert on ptp.commitment_version referencing new table as fresh
  for each statement execute function ptp.keep_within_open();

grant select on ptp.version_invoice, ptp.open_claim to ptp_app, ptp_pipeline, ptp_ops;
grant execute on function ptp.beyond_open to ptp_app, ptp_pipeline;
