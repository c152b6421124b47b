-- What went where, when and why, in one sentence that can be read to the customer.
concat(
    money(amount),
    ' ',
    currency,
    ' of payment ',
    payment_id,
    ' (received ',
    day(received_date),
    ') went to ',
    case
        when kind = 'promise' then ''
        when is_down_payment then 'the down payment of '
        else concat('installment ', sequence, ' of ')
    end,
    replace(kind, '_', ' '),
    ' ',
    commitment_id,
    if(version > 1, concat(' (version ', version, ')'), ''),
    ', due ',
    day(due_date),
    case
        when received_date = due_date then ' (that very day)'
        when received_date < due_date then ' (in advance)'
        else concat(' (', received_date - due_date, if(received_date - due_date = 1, ' day late)', ' days late)'))
    end,
    ', because ',
    phrase(why),
    case
        when applied_as = 'carried_credit' then concat(', as credit taken over when that version began on ', day(applied_on))
        when applied_as = 'held_credit' then concat(', as credit held until ', day(applied_on))
        when applied_on >= due_date then ''
        when overpayment_rule = 'last' then '; what is not due yet is paid from the final installment backwards'
        when overpayment_rule = 'spread' then '; what is not due yet is paid evenly'
        else ''
    end,
    '.'
)
