"""Who asks: a program with a token, or a person who is logged in to the pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.errors import ValidationError
from ninja.security import HttpBearer
from ninja.security.session import SessionAuth as _SessionAuth

from api.models import Token
from license.clock import business_date

View = TypeVar("View", bound=Callable[..., Any])


class TokenAuth(HttpBearer):
    """`Authorization: Bearer lbe_…`, of `manage.py create_token`."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """The person of the token, as whom all of the request is made."""
        found = Token.of(token)
        if found is None:
            return None
        if found.used_on != (today := business_date()):
            Token.objects.filter(pk=found.pk).update(used_on=today)
        request.user = found.user
        return found.user


class SessionAuth(_SessionAuth):
    """A session of the pages. Who has none is asked for no CSRF token either: that would tell him the wrong thing."""

    def __call__(self, request: HttpRequest) -> Any:
        return super().__call__(request) if request.user.is_authenticated else None


AUTH = [TokenAuth(), SessionAuth()]


def may(*permissions: str) -> Callable[[View], View]:
    """For those who have all of these permissions: 403 for others. And 422 for a parameter that the operation has not:
    passed over in silence, `?date=` for `?until=` would be answered with the balances of today."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not request.user.has_perms(permissions):
                raise PermissionDenied
            if unknown := sorted(request.GET.keys() - _parameters(guarded)):
                said = "There is no such parameter"
                raise ValidationError([{"loc": ("query", name), "msg": said} for name in unknown])
            return view(request, *args, **kwargs)

        return guarded  # type: ignore[return-value]

    return decorate


def _parameters(view: Any) -> set[str]:
    """By which an operation may be asked in its address."""
    models = view._ninja_operation.models
    return {name for each in models if each.__ninja_param_source__ == "query" for name in each.__ninja_flatten_map__}
