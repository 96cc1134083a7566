"""What the bench runs on the robot itself: scenarios in virtual time, and questions over ssh."""
