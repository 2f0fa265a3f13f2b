"""The demo: a month of real flights through the whole system, and an audit at its end.

Knows the flights; starts the scoring group and the subscriber through the command line, as a user
would, and imports neither.
"""
