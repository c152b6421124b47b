-- Why a payment stands as it does.
concat(
    case
        when match_status = 'reversed' and refunded_amount = amount then 'Refunded in full.'
        when match_status = 'reversed' and refunded_amount + covered_chargeback_amount > 0
            then 'All of it went back: it counts as if it had never come.'
        when match_status = 'reversed' then 'Reversed in full: it counts as if it had never come.'
        when kind = 'reversal' and problem is null then concat('It takes back money of payment ', reverses_payment_id, '.')
        when kind = 'chargeback' and problem is null then concat(
            'It charges payment ',
            reverses_payment_id,
            ' back: that payment stays where it was, and what unapplied money does not cover has to be paid again.'
        )
        when kind = 'refund' and problem is null
            then concat('It gives back unapplied money of ', coalesce('payment ' || reverses_payment_id, 'the customer'), '.')
        when kind <> 'payment' then concat(
            problem, if(reversed_amount > 0, concat(' Only ', money(reversed_amount), ' ', currency, ' of it took effect.'), '')
        )
        when match_status = 'matched' then concat('Applied in full, because ', phrase(why), '.')
        when match_status = 'partially_matched' and is_split
            then concat('Applied in part, because ', phrase(why), coalesce('. ' || problem, '; the rest was set aside, or found nothing to pay.'))
        when match_status = 'partially_matched' and is_held
            then concat('Applied in part, because ', phrase(why), '; the rest is held as credit until the next installment falls due.')
        when match_status = 'partially_matched'
            then concat('Applied in part, because ', phrase(why), '; the rest is more than was left to pay there.')
        when match_status = 'unmatched' and problem is not null then problem
        when match_status = 'unmatched' and is_held
            then concat('Not applied yet: it was routed because ', phrase(why), ', and is held as credit until the next installment falls due.')
        when match_status = 'unmatched' and matched_by is not null
            then concat('Not applied: it was routed because ', phrase(why), ', but nothing was left to pay there.')
        else problem
    end,
    case
        when
            kind = 'payment' and match_status in ('matched', 'partially_matched') and not is_elsewhere
            and elsewhere_amount > 0
            then concat(
                ' When nothing more was left to pay on ',
                target_commitment_id,
                ', ',
                money(elsewhere_amount),
                ' ',
                currency,
                ' of it went to what fell due first of the customer''s other commitments.'
            )
    end,
    case
        when
            kind = 'payment' and match_status <> 'reversed'
            and reversed_amount > refunded_amount + covered_chargeback_amount
            then concat(' ', money(reversed_amount - refunded_amount - covered_chargeback_amount), ' ', currency, ' of it was reversed.')
    end,
    case
        when kind = 'payment' and match_status <> 'reversed' and refunded_amount > 0
            then concat(' ', money(refunded_amount), ' ', currency, ' of it was refunded.')
    end,
    case
        when kind = 'payment' and match_status <> 'reversed' and covered_chargeback_amount > 0
            then concat(' ', money(covered_chargeback_amount), ' ', currency, ' of it, which was not applied, covered a chargeback.')
    end,
    case
        when kind = 'payment' and charged_back_amount > 0
            then concat(' ', money(charged_back_amount), ' ', currency, ' of it was charged back.')
    end,
    ' ' || note
)
