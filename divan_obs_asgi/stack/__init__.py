"""The chain of middlewares around an application, and the two lines that install it."""
