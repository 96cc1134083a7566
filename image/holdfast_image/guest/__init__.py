"""What runs inside the image: identity at boot, the broker's configuration, the end of a virtual-time run."""
