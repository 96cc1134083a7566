"""What is looked at after each test on the robot: units, journal, counters, database.

`journal` and `counters` judge what was read, `findings` sets it against what the test declared with `expect_fault`,
`watch` reads it from the robot, `fixture` is the part that pytest sees.
"""
