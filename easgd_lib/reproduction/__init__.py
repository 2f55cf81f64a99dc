"""The papers' experiments, their figures, the claims judged, and the ledger of all of it."""
