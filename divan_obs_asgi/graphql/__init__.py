"""GraphQL, whose operations have one route, and whose failures have status 200. Imports no GraphQL library."""

from __future__ import annotations

from collections.abc import Iterable

from divan_obs_asgi.connection.operations import fail, operation


def report(operation_name: str | None, errors: Iterable[object] | None) -> None:
    """
    Say of the running request which operation it was, and whether a resolver failed.

    Nothing of the document, its arguments or the text of an error is read. An error without a `path` is the client's
    mistake (syntax, validation, variables) and no failure of the service, as a 400 is none.

    Args:
        operation_name: one that `observability.operations.declare(...)` has named, else it is `__unknown__`.
        errors: those of the result, as graphql-core's `GraphQLError`.
    """
    operation(operation_name or "")
    if any(getattr(error, "path", None) is not None for error in errors or ()):
        fail("resolver")


__all__ = ["report"]
