-- check: outcomes_verdict_fits_state
-- stage: outcomes
-- message: State, verdict and dates of an installment must fit together, and say what the sentence about it needs.
select commitment_id, version, sequence, status, verdict, first_verdict, kept_on, broken_on, deadline, days_late
from outcomes.installments
where
    not coalesce(
        case status
            when 'kept' then verdict = 'kept' and kept_on is not null and kept_on <= deadline and broken_on is null
            when 'recovered' then
                verdict in ('partially_kept', 'broken') and kept_on is not null and kept_on > deadline and broken_on is not null
            when 'broken' then verdict in ('partially_kept', 'broken') and kept_on is null and broken_on is not null
            when 'cancelled' then verdict is null and first_verdict is null and kept_on is null and broken_on is null
            when 'superseded' then verdict is null and first_verdict is null and kept_on is null and broken_on is null
            else
                status in ('scheduled', 'due_soon', 'due_today', 'in_grace')
                and verdict = 'open' and kept_on is null and broken_on is null
        end,
        false
    )
    or coalesce(first_verdict not in ('kept', 'partially_kept', 'broken'), false)
    or due_date is null
    or currency is null
    or (status in ('cancelled', 'superseded') and effective_to is null)
    or (status in ('kept', 'recovered', 'broken', 'in_grace') and (deadline is null or days_late is null))
