"""The words and numbers of data entry, in the one way in which the pages have them."""

from django import forms

GONE = "What was chosen is not there, or no longer: choose again."


def speak_plainly(field: forms.Field) -> None:
    """Have a field, and every check that it makes, say what is wrong in words for people. Codes, dates and amounts
    that cannot be read are spoken of by what reads them."""
    name, least = field.label, getattr(field, "min_value", None)
    field.error_messages |= {
        "required": f"{name} is missing.",
        "min_value": f"{name} cannot be {'less than %(limit_value)s' if least else 'negative'}.",
        "max_value": f"{name} cannot be more than %(limit_value)s.",
        "max_digits": f"{name} has more than %(max)s digits.",
        "max_whole_digits": f"{name} is too large; at most %(max)s digits may stand before the point.",
        "max_decimal_places": f"{name} has more than %(max)s decimals; round it.",
        "max_length": f"{name} has %(show_value)d characters; at most %(limit_value)d are kept.",
        "null_characters_not_allowed": f"{name} has a character that cannot be kept; type it again.",
        "invalid_choice": GONE,
        "invalid_pk_value": GONE,
    }
    if isinstance(field, forms.IntegerField) and not isinstance(field, forms.DecimalField):
        field.error_messages["invalid"] = f"{name} is not a whole number."
