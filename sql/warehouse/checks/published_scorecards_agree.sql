-- check: published_scorecards_agree
-- stage: published
-- message: Both scorecards and the installments must count the same, per currency.
with cuts as (
    select 'customer' as cut, currency, sum(judged_count) as judged, sum(kept_count) as kept, sum(promised_amount) as promised,
        sum(outstanding_amount) as outstanding
    from published.scorecard_customer
    group by all
    union all
    select 'owner' as cut, currency, sum(judged_count) as judged, sum(kept_count) as kept, sum(promised_amount) as promised,
        sum(outstanding_amount) as outstanding
    from published.scorecard_owner
    group by all
    union all
    select 'installments' as cut, currency, count(*) filter (where verdict <> 'open') as judged, count(*) filter (where verdict = 'kept') as kept,
        coalesce(sum(amount) filter (where verdict <> 'open'), 0) as promised, sum(outstanding_amount) as outstanding
    from published.installments
    group by all
)

select currency, list(cut order by cut) as cuts, list(judged order by cut) as judged, list(kept order by cut) as kept,
    list(promised order by cut) as promised, list(outstanding order by cut) as outstanding
from cuts
group by currency
having count(*) <> 3 or count(distinct judged) > 1 or count(distinct kept) > 1 or count(distinct promised) > 1 or count(distinct outstanding) > 1
