"""What crosses between the two processes: frames, records, the ledger. Imports nothing of ours."""
