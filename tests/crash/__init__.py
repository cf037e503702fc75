"""The crash sweep: a process dies at every effect, then the system runs on, and the end is the same.

- ``seams.py``: sees every effect at the seams (HTTP, Redis, SQL), counts them, and ends the process at one.
- ``world.py``: a store, an ERP's database and a Redis for one order after the other.
- ``loop.py``: does what a worker and beat do, in one thread, so that the effects come in the same order each time.
- ``scenarios.py``: what happens to an order, or to its commands, and what is to be compared.
- ``sweep.py``: forks a process for each place to die at. ``python -m tests.crash SCENARIO …`` runs it.

Nothing durable happens between an effect and the next, so dying after one is dying before the next: ``n`` effects
have ``n + 1`` places.
"""
