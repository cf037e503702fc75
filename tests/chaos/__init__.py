"""Chaos: whole systems of real processes under a seeded schedule of faults, and a checker of the promises.

``python -m tests.chaos --help``; ``make chaos`` runs it. From the inside out:

- ``plan.py``: what goes wrong when, from a seed alone.
- ``faults.py``: what each kind of fault does.
- ``proxy.py``: a TCP proxy that stalls, cuts, delays and half-opens.
- ``arena.py``: the store, the ERP, Redis and the systems under test.
- ``erp.py``, ``traffic.py``: an ERP that takes orders, and asks for invoices, tracking and cancellations.
- ``facts.py``, ``checker.py``: what the three sides say in the end, and what that means for each promise.
"""
