"""What a jury is paid, as the ledger's accounts have it."""

from collections import Counter

from node.settlement import accounts
from node.split import JuryPay


def jury_gains(pay: JuryPay) -> Counter[str]:
    """Units by the accounts that gain them, none of them 0."""
    gains = Counter({accounts.validator(address): share for address, share in pay.jurors})
    gains.update({accounts.FEES: pay.fees, accounts.BURN: pay.burn})
    return +gains
