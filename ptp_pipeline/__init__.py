"""ptp: promise-to-pay and payment-plan tracking for accounts-receivable teams.

Layers, imports point down only: shells (`assets`, `checks`, `sensors`, `cli`) → `ledger`, `feeds`,
`warehouse`, `notify` → `domain`. Nothing is re-exported here, so that importing a part costs that part.
"""

__version__ = "0.1.0"
