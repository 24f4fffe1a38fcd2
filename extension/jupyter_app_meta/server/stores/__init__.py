"""From a server's options to its store."""

from .opening import COOKIES, ask, opened, secret_file, state_file, store_url

__all__ = ["COOKIES", "ask", "opened", "secret_file", "state_file", "store_url"]
