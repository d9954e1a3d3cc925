"""Where the API is. It finds out by itself who asks: none of it leads to the login, but for its page for people."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path

from api import entry  # noqa: F401  registers what it shows
from api.auth import AUTH
from api.problems import UNKNOWN, problem
from api.views import api

FOR_PEOPLE = ("openapi-view", "api-root")


def _for_programs(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Its document: for who has a token, or is logged in."""

    @wraps(view, ("__module__", "__doc__"), ())
    def guarded(request: HttpRequest, **parameters: Any) -> HttpResponseBase:
        return view(request, **parameters) if any(auth(request) for auth in AUTH) else problem(401, UNKNOWN)

    return guarded


def _with_problems(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """What the library answers by itself to a method that there is not."""

    @wraps(view)
    def told(request: HttpRequest, **parameters: Any) -> HttpResponseBase:
        answer = view(request, **parameters)
        if answer.status_code != 405:
            return answer
        refusal = problem(405, f"{request.method} is not answered here: {answer['Allow']} is.")
        refusal["Allow"] = answer["Allow"]
        return refusal

    return told


@login_not_required
def _nothing(_: HttpRequest) -> HttpResponseBase:
    return problem(404, "There is nothing here: openapi.json says what there is.")


patterns, app_name, namespace = api.urls
for pattern in patterns:
    if isinstance(pattern, URLPattern) and pattern.name not in FOR_PEOPLE:
        view = _for_programs(pattern.callback) if pattern.name == "openapi-json" else pattern.callback
        pattern.callback = login_not_required(_with_problems(view))
patterns = [*patterns, re_path("", _nothing, name="nothing")]
