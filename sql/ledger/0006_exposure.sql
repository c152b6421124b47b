-- What customers have promised already: used is what is approved and still open, in process what waits for a decision on top of it.
-- Derived from the rows, so it moves with every submission and every decision, and the gate reads it under the org's lock.
--
-- What is still open is what the last recorded run found; of terms it did not know as approved, all of them.

create view ptp.commitment_exposure with (security_invoker = true) as
select
  c.org_id,
  c.commitment_id,
  c.customer_id,
  c.currency,
  coalesce(a.open_minor, 0) as used_minor,
  greatest(coalesce(p.payable_minor, 0) - coalesce(a.open_minor, 0), 0) as in_process_minor,
  p.logged_at as submitted_at
from ptp.commitment c
left join lateral (
  select coalesce(found.outstanding_minor, v.total_minor - v.discount_minor) as open_minor
  from ptp.commitment_version v
  join ptp.approval x using (org_id, commitment_id, version)
  left join ptp.commitment_position found
    on found.org_id = v.org_id and found.commitment_id = v.commitment_id and found.version = v.version
      and found.status not in ('draft', 'pending_approval', 'rejected')
  where v.org_id = c.org_id and v.commitment_id = c.commitment_id and x.decision = 'approve' order by v.version desc limit 1
) as a on true
left join lateral (
  select v.total_minor - v.discount_minor as payable_minor, v.logged_at
  from (
    select * from ptp.commitment_version n where n.org_id = c.org_id and n.commitment_id = c.commitment_id order by n.version desc limit 1
  ) as v
  where not exists (
    select from ptp.approval x where x.org_id = v.org_id and x.commitment_id = v.commitment_id and x.version = v.version
  )
) as p on true
where not exists (
  select from ptp.commitment_event e
  where e.org_id = c.org_id and e.commitment_id = c.commitment_id and e.kind in ('cancel', 'withdraw', 'close')
);

grant select on ptp.commitment_exposure to ptp_app, ptp_pipeline, ptp_ops;
