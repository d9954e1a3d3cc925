"""What a web server asks: `gunicorn lmanagement.wsgi`."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
application = get_wsgi_application()
# each process would make up its own, and not know the people whom another has let in
if not os.environ.get("SECRET_KEY"):
    raise ImproperlyConfigured("The pages need SECRET_KEY; docs/configuration.md says what it is.")
