"""A request that is larger than any upload may be brings no files: they would only fill the disk."""

from collections.abc import Callable
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from ledger.uploads import MAX_BYTES

MAX_REQUEST_BYTES = MAX_BYTES + 1024 * 1024
"""With all that stands around the files."""
READ_BYTES = 64 * 1024


class UploadLimit(FileUploadHandler):
    """The first of the handlers. The fields of the request are read all the same, so that its page can say why."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803
        content_length: int,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._is_too_large = content_length > MAX_REQUEST_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if self._is_too_large:
            raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        return None


class ReadToTheEnd:
    """Reads what a page has left of a request, such as one that leads to the login, up to twice what may be uploaded.

    A connection that is closed while something comes in is reset, and the answer lost on its way: the proxy says 502.
    gunicorn reads no more than 64 KiB of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, when nothing comes in any more."""
        response = self._get_response(request)
        left = 2 * MAX_REQUEST_BYTES
        try:
            while left > 0 and (read := request.read(READ_BYTES)):
                left -= len(read)
        except UnreadablePostError:  # whoever asked has gone, and reads no answer
            pass
        return response
