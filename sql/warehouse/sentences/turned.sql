-- What undid a state that was final.
if(
    turned_by = 'charged_back',
    concat('Payment ', coalesce(turned_by_payment_id || ' ', ''), 'was charged back'),
    'A payment was returned'
)
