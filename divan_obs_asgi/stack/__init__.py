"""The stack of middlewares around an application, and the two functions that install it."""
