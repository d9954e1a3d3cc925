"""What Prometheus and load balancers ask. A request without a session is answered without the database, too."""

from secrets import compare_digest

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from monitor import health
from monitor.metrics import REGISTRY


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """For who sends METRICS_TOKEN; without that setting there is nothing here. A token of the API would need the
    database, and might read balances."""
    if not settings.METRICS_TOKEN:
        return HttpResponse("METRICS_TOKEN is not set\n", status=404, content_type="text/plain")
    given = request.headers.get("Authorization", "").encode()
    if not compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse("Send METRICS_TOKEN\n", status=401, content_type="text/plain", headers=headers)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(REGISTRY), content_type=content_type)


@login_not_required
@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """This process answers. It asks nothing of others: to start it again would mend nothing of theirs."""
    return JsonResponse({"process": health.OK})


@login_not_required
@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200: send people here. 503: do not."""
    is_ready, parts = health.ready()
    return JsonResponse(parts, status=200 if is_ready else 503)
