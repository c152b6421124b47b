-- Why a state changed.
case
    when sequence > 0 and to_state = 'superseded'
        then concat(money(amount), ' ', currency, ' due ', long_day(due_date), ' was replaced by newer terms.')
    when sequence > 0 and to_state = 'cancelled' then concat(money(amount), ' ', currency, ' due ', long_day(due_date), ' was cancelled.')
    when sequence > 0 and to_state in ('kept', 'recovered')
        then concat('The money for ', money(amount), ' ', currency, ' due ', long_day(due_date), ' had arrived by ', long_day(satisfied_on), '.')
    when sequence > 0 and to_state = 'broken' and turned_by is not null then concat(
        phrase(turned),
        ': ',
        money(amount - paid_by_deadline),
        ' of ',
        money(amount),
        ' ',
        currency,
        ' due ',
        long_day(due_date),
        ' is missing again.'
    )
    when sequence > 0 and to_state = 'broken' then concat(
        money(amount - paid_by_deadline), ' of ', money(amount), ' ', currency, ' due ', long_day(due_date), ' had not arrived by ',
        long_day(deadline), '.'
    )
    when sequence > 0 then concat(
        phrase(turned), ': the money for ', money(amount), ' ', currency, ' due ', long_day(due_date), ' is not complete any more.'
    )
    when to_state = 'completed' then concat('All ', installment_count, ' installments are satisfied.')
    when to_state = 'defaulted' then concat(broken_count, ' installments were broken, as many as the policy allows before default.')
    when to_state = 'superseded' then 'Newer terms came into force.'
    when to_state = 'cancelled' then 'The commitment was cancelled.'
    when to_state = 'closed' then 'The commitment was closed: what remains is not chased any more.'
    when to_state = 'exec' then 'The commitment is in default.'
    when to_state = 'stage_1' then concat(broken_now_count, ' of ', installment_count, ' installments are broken and not recovered.')
    when to_state = 'none' then if(
        broken_now_count > 0 or (from_state = 'exec' and satisfied_count < installment_count),
        'The version has ended.',
        'Nothing is broken any more.'
    )
    else concat(phrase(turned), '; ', satisfied_count, ' of ', installment_count, ' installments are satisfied.')
end
