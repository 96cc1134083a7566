"""The worker: the asyncio process that gives a robot its tasks, deployments, telemetry and memory.

It is never on the path of a stop. While it lives it proves so to the safety daemon, ten times a second; everything
it acknowledges is in the store before.
"""
