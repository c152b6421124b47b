-- grain: one row per payment and id it names or nearly names
-- description: Ids one slip away from a word of the payment: a character too many, two swapped, a wrong digit, a
--   digit missing. The slips are made
--   of the payments' words, which are few, and looked up among the ids, which may be millions.
-- columns:
--   payment_id: payment
--   kind: commitment, invoice or customer
--   commitment_id: the commitment; NULL for a customer
--   version: the version; NULL for a customer
--   customer_id: the customer named; NULL for the others
-- keep: no
with slips as (
    select payment_id, source, folded,
    from matching.suggestion_words
    union all
    select
        payment_id,
        source,
        unnest(
            flatten([
                [folded[: i - 1] || folded[i + 1 :] for i in range(1, len(folded) + 1)],
                [folded[: i - 1] || folded[i + 1] || folded[i] || folded[i + 2 :] for i in range(1, len(folded))],
                flatten([[folded[: i - 1] || digit || folded[i + 1 :] for digit in range(10)] for i in range(1, len(folded) + 1) if folded[i] <= '9']),
                flatten([[folded[: i - 1] || digit || folded[i :] for digit in range(10)] for i in range(2, len(folded) + 2) if folded[i - 1] <= '9'])
            ])
        ),
    from matching.suggestion_words
    -- of a shorter word everything is one slip away
    where not is_known and len(folded) between 4 and 16
),

found as (
    select distinct
        s.payment_id,
        n.kind,
        n.commitment_id,
        n.version,
        if(n.kind = 'customer', n.name, null) as customer_id,
    from slips as s
    inner join matching.suggestion_payments as p on s.payment_id = p.payment_id
    inner join matching.suggestion_names as n
        on s.folded = n.folded
        and p.currency = n.currency
        and (n.kind = 'customer') = (s.source = 'customer_id')
)

select payment_id, kind, commitment_id, version, customer_id,
from found
qualify row_number() over (partition by payment_id, kind order by customer_id, commitment_id, version) <= 20
