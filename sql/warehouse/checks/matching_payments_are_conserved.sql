-- check: payments_are_conserved
-- stage: matching
-- message: For every payment, amount = allocated + unapplied + reversed, and none of them is negative.
select payment_id, amount_minor, allocated_minor, unapplied_minor, reversed_minor,
from matching.payments
where
    amount_minor::hugeint <> allocated_minor::hugeint + unapplied_minor + reversed_minor
    or least(allocated_minor, unapplied_minor, reversed_minor) < 0
