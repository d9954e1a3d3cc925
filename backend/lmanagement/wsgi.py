"""What a web server asks: `gunicorn lmanagement.wsgi`."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from license import schema

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
application = get_wsgi_application()
# each process would make up its own, and not know the people whom another has let in
if not os.environ.get("SECRET_KEY"):
    raise ImproperlyConfigured("The pages need SECRET_KEY; docs/configuration.md says what it is.")
try:
    schema.check_at_start()
except schema.OutdatedError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(3)  # by which gunicorn knows that there is no use in starting another
