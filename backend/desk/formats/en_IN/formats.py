"""How dates are shown and typed in India: the day first, never the month. ISO is understood too."""

DATE_FORMAT = SHORT_DATE_FORMAT = "d M Y"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "d M Y, H:i"
TIME_FORMAT = "H:i"
FIRST_DAY_OF_WEEK = 1
DATE_INPUT_FORMATS = ["%d/%m/%Y", "%Y-%m-%d", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d-%m-%y", "%d %b %Y", "%d %B %Y"]
