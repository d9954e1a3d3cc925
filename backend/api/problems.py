"""What is wrong with a request, as problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

UNKNOWN = "Send a valid token, `Authorization: Bearer …`, or log in to the pages."
FROM_ELSEWHERE = "Send the CSRF token of the session as X-CSRFToken, or a token of your own."
MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "`about:blank`, or what kind of problem it is: `overdraws`."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do, in sentences."},
        "errors": {
            "type": "array",
            "description": "Of a request that makes no sense: where, and what is wrong.",
            "items": {
                "type": "object",
                "required": ["where", "message"],
                "properties": {"where": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "overdraws": {
            "type": "array",
            "description": "What it would overdraw, with the numbers, a sentence each.",
            "items": {"type": "string"},
        },
        "confirmation": {"type": "string", "description": "Sent back, it confirms these very numbers."},
    },
}


def problem(status: int, detail: str, **more: Any) -> JsonResponse:
    """An answer that says what is wrong."""
    said = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return JsonResponse(said, status=status, content_type=MEDIA_TYPE, headers=headers)


def register(api: NinjaAPI) -> None:
    """Have the API tell every problem so."""

    @api.exception_handler(ValidationError)
    def makes_no_sense(_: HttpRequest, error: ValidationError) -> JsonResponse:
        errors = [{"where": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors]
        return problem(422, "The request makes no sense: correct what `errors` says.", errors=errors)

    @api.exception_handler(HttpError)
    def refused(_: HttpRequest, error: HttpError) -> JsonResponse:
        told = {401: UNKNOWN, 403: FROM_ELSEWHERE}
        return problem(error.status_code, told.get(error.status_code, error.message))

    @api.exception_handler(PermissionDenied)
    def forbidden(_: HttpRequest, error: PermissionDenied) -> JsonResponse:  # noqa: ARG001
        return problem(403, "You may not do this: an administrator puts you into a group that may.")

    @api.exception_handler(Http404)
    def not_there(_: HttpRequest, error: Http404) -> JsonResponse:
        return problem(404, f"{error}" or "There is none.")


def document(schema: dict[str, Any], statuses: Mapping[int, str]) -> None:
    """Say of every operation which problems it may answer with: who asks (401, 403), what (404, 422)."""
    schema["components"]["schemas"]["Problem"] = SCHEMA
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            common = {401, 403, 422} | ({404} if "{" in path else set())
            if method == "post":
                common |= {400}  # what is no JSON
            for status in common | {int(each) for each in operation["responses"] if int(each) >= 400}:
                operation["responses"][status] = {
                    "description": statuses.get(status, HTTPStatus(status).phrase),
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
