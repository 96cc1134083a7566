"""Over the air: signed updates (TUF) from a publisher to robots that roll back by themselves."""
