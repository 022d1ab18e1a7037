"""Which layer of a model points at the evidence: maps of every layer against boxes.

boxes.py (rows' boxes to shares of a grid's cells), metrics.py (a map against them), measuring.py
(on the belt, in the place of rendering), choosing.py (the best few, chosen on one half and reported
on the other), profile.py (puts it together), report.py (table and CSV), plot.py.
"""
