-- What customers have promised already: used is what is approved and still open, in process what waits for a decision on top of it.
-- Derived from the rows, so it moves with every submission and every decision, and the gate reads it under the org's lock. What a
-- commitment claims is said by ptp.open_claim alone.

create index commitment_version_customer on ptp.commitment_version (org_id, customer_id);

create view ptp.commitment_exposure with (security_invoker = true) as
select org_id, commitment_id, customer_id, currency, used_minor, greatest(waiting_minor - used_minor, 0) as in_process_minor, logged_at
from (
  select
    o.org_id,
    o.commitment_id,
    o.customer_id,
    o.currency,
    coalesce(max(o.claim_minor) filter (where o.is_approved), 0) as used_minor,
    coalesce(max(o.claim_minor) filter (where not o.is_approved), 0) as waiting_minor,
    max(o.logged_at) as logged_at
  from ptp.open_claim o
  group by o.org_id, o.commitment_id, o.customer_id, o.currency
) as claims;

-- Of everything these customers have open or waiting: what it takes itself, what their other commitments in the same currency do, and
-- what they owe. `earlier` is what was submitted before it and still waits: first come, first served. For many at once, as it costs the
-- same whether one of a customer's commitments is asked about or all.
create function ptp.standings(customers text[]) returns table (
  commitment_id text, own_minor numeric, used_minor numeric, in_process_minor numeric, earlier_minor numeric, balance_minor numeric, logged_on date)
language sql stable
as $$
  select e.commitment_id, e.used_minor, sum(e.used_minor) over everything - e.used_minor,
         sum(e.in_process_minor) over everything - e.in_process_minor,
         sum(e.in_process_minor) over (partition by e.customer_id, e.currency order by e.logged_at, e.commitment_id) - e.in_process_minor,
         b.balance_minor, (e.logged_at at time zone 'UTC')::date
  from ptp.commitment_exposure e
  left join (
    select i.customer_id, i.currency, sum(i.open_minor) as balance_minor from ptp.invoice_position i
    where i.org_id = ptp.current_org() and i.customer_id = any (customers) group by i.customer_id, i.currency
  ) as b on b.customer_id = e.customer_id and b.currency = e.currency
  where e.org_id = ptp.current_org() and e.customer_id = any (customers)
  window everything as (partition by e.customer_id, e.currency)
$$;

grant select on ptp.commitment_exposure to ptp_app, ptp_pipeline, ptp_ops;
grant execute on function ptp.standings to ptp_app, ptp_pipeline, ptp_ops;
