-- grain: one row per span of outcomes.spans
-- description: Amount and money of the installment itself, as known on the last day of the span.
-- keep: no
-- columns:
--   version_key: the version
--   sequence: the installment
--   place: its place in the order of due dates
--   known_from: first date of the span
--   known_to: first date after the span
--   has_turned: whether its own past came to be seen differently, not only that of earlier ones
--   amount_minor: amount due, chargebacks known included; 0 of an added one that is not there (minor units)
--   paid_minor: allocated to it (minor units)
--   first_on: received date of its first money
--   last_on: received date of its last money
--   full_on: received date of the money that filled it; 0001-01-01 when nothing is due, 9999-12-31 when it is not full
with charged as (
    select s.version_key, s.sequence, s.known_to, sum(c.amount_minor)::bigint as charged_minor
    from outcomes.spans s
    join outcomes.charges c
        on s.version_key = c.version_key
        and s.sequence = c.sequence
        and c.known_from < s.known_to
        and c.known_to >= s.known_to
    group by all
),

received as (
    select
        s.version_key,
        s.sequence,
        s.known_to,
        sum(r.amount_minor)::bigint as paid_minor,
        min(r.received_date) as first_on,
        max(r.received_date) as last_on,
    from outcomes.receipts r
    join outcomes.spans s
        on r.version_key = s.version_key
        and r.sequence = s.sequence
        and r.known_from < s.known_to
        and r.known_to >= s.known_to
    group by all
)

select
    s.version_key,
    s.sequence,
    s.place,
    s.known_from,
    s.known_to,
    l.turned_on is not null as has_turned,
    l.terms_minor + coalesce(c.charged_minor, 0) as amount_minor,
    coalesce(r.paid_minor, 0) as paid_minor,
    r.first_on,
    r.last_on,
    case
        when l.terms_minor + coalesce(c.charged_minor, 0) = 0 then date '0001-01-01'
        when r.paid_minor >= l.terms_minor + coalesce(c.charged_minor, 0) then r.last_on
        else date '9999-12-31'
    end as full_on,
from outcomes.spans s
join outcomes.lines l using (version_key, sequence)
left join charged c on s.version_key = c.version_key and s.sequence = c.sequence and s.known_to = c.known_to
left join received r on s.version_key = r.version_key and s.sequence = r.sequence and s.known_to = r.known_to
