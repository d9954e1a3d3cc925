"""What a web server asks: `gunicorn lmanagement.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
application = get_wsgi_application()
