-- Why money went where it went: the rule and its evidence, to follow the word "because". Of payments and of their allocations.
case
    when is_elsewhere then concat(
        'it is exactly the amount of ',
        coalesce(matched_on, 'an installment'),
        ', but nothing more was left to pay there, and what fell due first of the customer''s other commitments is paid first'
    )
    when matched_by = 'override' then concat(matched_on, if(is_split, ' split it by hand', ' assigned it by hand'))
    when matched_by = 'commitment_id' then concat('the payment names ', coalesce(matched_on, concat('commitment ', commitment_id)))
    when matched_by = 'invoice_id' then concat('the payment names ', matched_on)
    when matched_by = 'reference' then concat('its reference names ', matched_on)
    when matched_by = 'exact_amount' then concat('it is exactly the amount of ', matched_on, ', and of no other due near that day')
    when matched_by = 'only_commitment' then 'that was the customer''s only commitment in force on that day'
    when matched_by = 'oldest_due'
        then concat('the customer had ', matched_on, ' commitments in force, and what fell due first is paid first')
end
