"""The test bench: one facade, scenarios, and what runs inside a guest."""
