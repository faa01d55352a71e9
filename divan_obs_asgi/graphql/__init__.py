"""GraphQL: all operations have one route, and failures have status 200. Imports no GraphQL library."""

from __future__ import annotations

from collections.abc import Iterable

from divan_obs_asgi.connection.operations import fail, operation


def report(operation_name: str | None, errors: Iterable[object] | None) -> None:
    """
    Record the operation of the current request, and whether a resolver failed.

    The document, its arguments and the texts of errors are not read. An error without a `path` is a mistake of the
    client (syntax, validation, variables); like a 400 it is not a failure of the service.

    Args:
        operation_name: declared with `observability.operations.declare(...)`; any other name becomes `__unknown__`.
        errors: the errors of the result, like `GraphQLError` of graphql-core.
    """
    operation(operation_name or "")
    if any(getattr(error, "path", None) is not None for error in errors or ()):
        fail("resolver")


__all__ = ["report"]
