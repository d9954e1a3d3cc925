"""Units of quantity, as customs' ledgers and people write them."""

from decimal import ROUND_FLOOR, Decimal

_COUNTED = frozenset((
    "NO", "NOS", "NUMBER", "NUMBERS", "PC", "PCS", "PIECES", "PRS", "PAIR", "PAIRS", "SET", "SETS", "DOZ", "DZN", "GRO",
    "THD", "UNT", "UNIT", "UNITS",
))  # fmt: skip
_WHOLE, _THOUSANDTH = Decimal(1), Decimal("0.001")


def rounded_down(quantity: Decimal, unit: str) -> Decimal:
    """The most that can be written in this unit: whole pieces of what is counted, thousandths of all else."""
    step = _WHOLE if unit.strip(" .").upper() in _COUNTED else _THOUSANDTH
    return quantity.quantize(step, ROUND_FLOOR)
