"""A person's decision where a payment belongs. The newest one counts; matching happens in the warehouse."""

from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit
from ptp_pipeline.ledger.connection import Transaction


def set_target(tx: Transaction, payment_id: str, commitment_id: str | None, reason: str) -> None:
    """Send a payment to a commitment; None sets it aside, so that it is matched to nothing."""
    if not reason.strip():
        raise UsageError("This needs a reason.", "Add --reason.")
    audit.sign(tx)
    tx.execute("select ptp.lock_org()")
    known = commitment_id is None or tx.one(
        "select 1 from ptp.commitment where org_id = ptp.current_org() and commitment_id = %s", [commitment_id]
    )
    if not known:
        raise Refused(f"There is no commitment {commitment_id}.", "`ptp status` shows those there are.")
    tx.execute(
        "insert into ptp.payment_override (org_id, payment_id, commitment_id, reason) values (ptp.current_org(), %s, %s, %s)",
        [payment_id, commitment_id, reason],
    )
