-- Why an installment is in the state it is in.
concat(
    case
        when status = 'superseded' then concat(
            money(amount), ' ', currency, ' due ', long_day(due_date), ' was replaced by newer terms on ', long_day(effective_to),
            ' before it counted'
        )
        when status = 'cancelled' then concat(
            money(amount), ' ', currency, ' due ', long_day(due_date), ' was cancelled on ', long_day(effective_to), ' before it counted'
        )
        when status = 'kept' and paid_amount < amount then concat(
            money(paid_amount), ' of ', money(amount), ' ', currency, ' due ', long_day(due_date), ' arrived by ', long_day(kept_on),
            '; the missing ', money(amount - paid_amount), ' is within the tolerance'
        )
        when status = 'kept' then concat(
            money(amount), ' ', currency, ' due ', long_day(due_date), ' was paid by ', long_day(kept_on),
            case
                when kept_on <= due_date then ''
                when kept_on <= due_date + grace_days then ', within the days of grace'
                else ', on the day the promise rolled to it'
            end
        )
        when status in ('recovered', 'broken') then concat(
            if(paid_by_deadline > 0, money(paid_by_deadline) || ' of ', 'Nothing of '),
            money(amount), ' ', currency, ' due ', long_day(due_date), ' arrived by ', long_day(deadline),
            case
                when status = 'recovered' then concat(
                    '; the rest came by ', long_day(kept_on), ', ', days_late, if(days_late = 1, ' day late', ' days late'),
                    if(paid_amount < amount, concat(', and the missing ', money(amount - paid_amount), ' is within the tolerance'), '')
                )
                else concat(
                    if(paid_amount > paid_by_deadline, concat('; ', money(paid_amount - paid_by_deadline), ' came later'), ''),
                    if(
                        paid_amount < amount,
                        concat('; ', money(amount - paid_amount), ' is missing'),
                        '; installments before it are not fully paid'
                    ),
                    if(
                        coalesce(first_verdict, '') = 'kept',
                        if(charged_back_amount > 0, '; it had been kept, until a payment was charged back',
                            '; it had been kept, until a payment was returned'),
                        ''
                    )
                )
            end
        )
        -- a repeating promise has no deadline until it rolls to the installment
        when deadline is null then concat(
            money(amount), ' ', currency, ' scheduled for ', long_day(due_date), ' waits for the installment before it to be met'
        )
        else concat(
            money(amount), ' ', currency, ' is due ', long_day(due_date),
            case
                when status <> 'in_grace' then ''
                when deadline <= due_date + grace_days then concat(', in grace until ', long_day(deadline))
                else concat(', and the promise rolled to it on ', long_day(deadline), ', the last day to meet it')
            end,
            if(paid_amount > 0, concat('; ', money(paid_amount), ' has arrived and ', money(amount - paid_amount), ' is missing'), '')
        )
    end,
    if(charged_back_amount > 0, concat('; ', money(charged_back_amount), ' of it was added by a chargeback'), ''),
    '.'
)
