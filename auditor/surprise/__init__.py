"""The surprise miner: items that come together more often than trusted rows explain.

Counts single items, pairs and triples of items within each label (and over all labels) in trusted
and in new rows. The expected count of a pair is the product of its items' trusted rates, shrunk
towards what trusted rows show of the pair itself (a Gamma prior whose spread is what this pair of
columns shows elsewhere; DuMouchel 1999, Bayesian data mining in large frequency tables); the tail
of the observed count is then negative binomial. Real rows also clump: rows of one template, values
that belong together. How often trusted rows do it, and how large such clumps are, gives the second
term: the chance that a natural clump was missed among trusted rows and shows up now. A claim needs
both to be small. Pure: codes in, conjunctions out.
"""

from auditor.surprise.claims import Conjunction, Item, Layout, Mined, Side
from auditor.surprise.search import mine

__all__ = ["Conjunction", "Item", "Layout", "Mined", "Side", "mine"]
