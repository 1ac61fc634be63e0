"""The API's error responses."""

from collections.abc import Mapping
from enum import Enum

from starlette.responses import JSONResponse, Response


class Code(Enum):
    """The codes of google.rpc.Code that the API sends, and their HTTP statuses."""

    CANCELLED = 1, 499
    INVALID_ARGUMENT = 3, 400
    DEADLINE_EXCEEDED = 4, 504
    NOT_FOUND = 5, 404
    PERMISSION_DENIED = 7, 403
    RESOURCE_EXHAUSTED = 8, 429
    ABORTED = 10, 409
    UNIMPLEMENTED = 12, 501
    INTERNAL = 13, 500
    UNAVAILABLE = 14, 503
    UNAUTHENTICATED = 16, 401


class ApiError(Exception):
    """An error response."""

    def __init__(self, code: Code, message: str) -> None:
        """Set up the response with a code and a message."""
        super().__init__(message)
        self.code, self.status = code.value

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response, with additional headers."""
        content = {"code": self.code, "message": str(self), "details": []}
        return JSONResponse(content, self.status, headers)
