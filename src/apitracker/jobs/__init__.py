"""Jobs that need several rooms: count, ingest, publish, reconcile, estimate."""
