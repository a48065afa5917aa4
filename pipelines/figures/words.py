"""Numbers as figures and pages print them."""


def printed(value: float | None, decimals: int) -> str:
    """A number as it is printed: rounded half up, or that it was not reached."""
    from decimal import ROUND_HALF_UP, Decimal

    if value is None:
        return "not reached"
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def signed(value: float, decimals: int = 0) -> str:
    """A change in percent: with its sign, a true minus, and none at zero."""
    text = printed(abs(value), decimals)
    return text if not float(text) else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def counted(n: int, one: str, many: str | None = None) -> str:
    """`1 patient`, `1,200 patients`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def p_value(p: float) -> str:
    """`p = 0.03`, `p = 0.004`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {printed(p, 2 if p >= 0.01 else 3)}"
