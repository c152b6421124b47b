-- The dates, amounts and counts behind a change of state, as JSON text.
case
    when sequence > 0 then to_json({
        'currency': currency,
        'amount': plain(amount),
        'due_date': due_date,
        'deadline': deadline,
        'satisfied_on': satisfied_on,
        'paid_by_deadline': plain(paid_by_deadline),
        'missing_at_deadline': plain(amount - paid_by_deadline),
    })::varchar
    else to_json({
        'installments': installment_count,
        'satisfied': satisfied_count,
        'broken': broken_count,
        'broken_now': broken_now_count,
    })::varchar
end
