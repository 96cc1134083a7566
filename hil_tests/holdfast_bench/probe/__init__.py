"""The bench probe: a microcontroller on USB that times edges outside the robot, opens its e-stop and cuts its supply.

`driver` is what a scenario uses, `protocol` the messages on the wire, `firmware` what the probe runs, `simulator` a
probe without a board.
"""
