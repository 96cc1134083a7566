"""Over the air: signed updates (TUF) from a publisher's folder, over a mirror, to a robot that rolls back by itself."""
