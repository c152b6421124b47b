-- Decisions on payments: splitting one by hand, and taking a decision back. What there is stays as it was decided.
--
-- One row is one decision, so that a split is written whole or not at all, by any client, without a check that waits for the commit.

alter table ptp.payment_override
  add column kind text not null default 'set' check (kind in ('set', 'split', 'undo')),
  add column part_commitment_ids text[],
  add column part_amounts_minor bigint[];

-- The parts of a split are numbered by their place. Its amounts are below 10^15 (domain.money.MAX_MINOR), so that no sum of them overflows.
alter table ptp.payment_override
  add constraint a_split_has_its_parts check (case when kind = 'split'
    then commitment_id is null and part_commitment_ids is not null and part_amounts_minor is not null
         and array_ndims(part_commitment_ids) = 1 and array_ndims(part_amounts_minor) = 1
         and array_lower(part_commitment_ids, 1) = 1 and array_lower(part_amounts_minor, 1) = 1
         and cardinality(part_commitment_ids) = cardinality(part_amounts_minor) and cardinality(part_amounts_minor) between 2 and 20
    else part_commitment_ids is null and part_amounts_minor is null end),
  add constraint every_part_has_an_amount check (coalesce(array_position(part_amounts_minor, null) is null and 0 < all (part_amounts_minor)
                                                          and 1000000000000000 >= all (part_amounts_minor), part_amounts_minor is null)),
  add constraint an_undone_decision_has_no_target check (kind <> 'undo' or commitment_id is null);

-- In the own book are one's own decisions, and those that send money to one's own commitments; money goes to no others.
select ptp.protect(
  'ptp.payment_override', true,
  'decided_by = (select h.actor from ptp.here() as h) or exists (select from ptp.commitment c where c.org_id = payment_override.org_id
     and c.commitment_id = any (payment_override.commitment_id || payment_override.part_commitment_ids))',
  'not exists (select from unnest(payment_override.commitment_id || payment_override.part_commitment_ids) as p (id) where p.id is not null
     and not exists (select from ptp.commitment c where c.org_id = payment_override.org_id and c.commitment_id = p.id))');

-- What a decision says, for the audit trail; NULL when it took one back.
create function ptp.override_terms(o ptp.payment_override) returns jsonb language sql immutable
as $$
  select case o.kind
    when 'set' then jsonb_build_object('commitment_id', o.commitment_id)
    when 'split' then jsonb_build_object('parts', (
      select jsonb_agg(jsonb_build_object('part', p.part, 'commitment_id', p.commitment_id, 'amount_minor', p.amount_minor) order by p.part)
      from unnest(o.part_commitment_ids, o.part_amounts_minor) with ordinality as p (commitment_id, amount_minor, part)))
  end
$$;

create function ptp.check_override() returns trigger language plpgsql security definer set search_path = ptp, pg_temp
as $$
declare
  earlier ptp.payment_override;
  unknown text;
begin
  perform ptp.lock_org();
  new.decided_by := ptp.author('assign payments');
  new.decided_at := clock_timestamp();
  -- Numbered here: a client may write an identity of its own choice (`overriding system value`), and would be the newest for ever.
  select coalesce(max(o.override_id), 0) + 1 into new.override_id from ptp.payment_override o where o.org_id = new.org_id;
  select * into earlier from ptp.payment_override o
  where o.org_id = new.org_id and o.payment_id = new.payment_id order by o.override_id desc limit 1;
  if new.kind = 'undo' and (earlier.kind is null or earlier.kind = 'undo') then
    perform ptp.refuse('PT001', format('There is no decision on %s to undo.', new.payment_id), 'ptp match list shows those in effect.');
  end if;
  if new.kind = 'split' then
    -- A foreign key cannot look into a list. Commitments are never removed, so looking once is enough.
    select p into unknown from unnest(new.part_commitment_ids) as p
    where p is not null and not exists (select from ptp.commitment c where c.org_id = new.org_id and c.commitment_id = p) limit 1;
    if unknown is not null then
      perform ptp.refuse('PT001', format('There is no commitment %s.', unknown), 'ptp status shows those there are.');
    end if;
    if (select count(distinct (c.customer_id, c.currency)) from ptp.commitment c
        where c.org_id = new.org_id and c.commitment_id = any (new.part_commitment_ids)) > 1 then
      perform ptp.refuse('PT001', format('The parts of %s would go to commitments of several customers or currencies; a payment has one of each.',
                         new.payment_id), 'Set what belongs to others aside, and have it corrected at the source.');
    end if;
  end if;
  perform ptp.record(case new.kind when 'set' then 'override.set' when 'split' then 'override.split' else 'override.undone' end,
                     'payment', new.payment_id, new.reason,
                     ptp.override_terms(earlier) || jsonb_build_object('decided_by', earlier.decided_by), ptp.override_terms(new));
  return new;
end $$;
create trigger check_override before insert on ptp.payment_override for each row execute function ptp.check_override();

-- decisions in effect: the newest of every payment, unless it takes the one before back --------------------------------

create view ptp.payment_override_current with (security_invoker = true) as
select o.org_id, o.override_id, o.payment_id, o.commitment_id, o.reason, o.decided_by, o.decided_at, o.kind, o.part_commitment_ids,
       o.part_amounts_minor
from (select distinct on (org_id, payment_id) * from ptp.payment_override order by org_id, payment_id, override_id desc) as o
where o.kind <> 'undo';

-- The same by part. A whole payment is one part without an amount; a part without a commitment is set aside.
create view ptp.payment_override_part with (security_invoker = true) as
select o.org_id, o.override_id, o.payment_id, p.part::int as part, p.commitment_id, p.amount_minor, o.decided_by, o.decided_at, o.reason
from ptp.payment_override_current o
cross join lateral unnest(
  case o.kind when 'split' then o.part_commitment_ids else array[o.commitment_id] end,
  case o.kind when 'split' then o.part_amounts_minor else array[null::bigint] end
) with ordinality as p (commitment_id, amount_minor, part);

grant select on ptp.payment_override_current, ptp.payment_override_part to ptp_app, ptp_pipeline, ptp_ops;
