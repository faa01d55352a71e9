"""An extension for Strawberry; needs strawberry-graphql."""

from __future__ import annotations

from collections.abc import Iterator

try:
    from strawberry.extensions import SchemaExtension
except ImportError:
    raise ImportError("ObservedOperations needs strawberry-graphql: pip install strawberry-graphql.") from None

from divan_obs_asgi.graphql import report


class ObservedOperations(SchemaExtension):
    """
    Record the operation of each request; a request whose resolver failed is an error.

    `strawberry.Schema(query=Query, extensions=[ObservedOperations])`
    """

    def on_operation(self) -> Iterator[None]:
        yield
        context = self.execution_context
        report(context.operation_name, getattr(context.result, "errors", None))


__all__ = ["ObservedOperations"]
