"""An extension for Strawberry. Imported only where strawberry-graphql is."""

from __future__ import annotations

from collections.abc import Iterator

try:
    from strawberry.extensions import SchemaExtension
except ImportError:
    raise ImportError("ObservedOperations needs strawberry-graphql: pip install strawberry-graphql.") from None

from divan_obs_asgi.graphql import report


class ObservedOperations(SchemaExtension):
    """
    Name the operation of each request, and count one whose resolver failed as an error.

    `strawberry.Schema(query=Query, extensions=[ObservedOperations])`
    """

    def on_operation(self) -> Iterator[None]:
        yield
        context = self.execution_context
        report(context.operation_name, getattr(context.result, "errors", None))


__all__ = ["ObservedOperations"]
