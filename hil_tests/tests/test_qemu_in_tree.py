"""The program that labgrid takes for QEMU: what it makes of the arguments that labgrid writes."""

from pathlib import Path

from holdfast_bench.labgrid.qemu_in_tree import monitor_by_descriptor, socket_folders

# The end of the command line of labgrid's QEMUDriver.
WRITTEN = [
    *("-machine", "q35", "-S", "-qmp", "stdio", "-chardev", "socket,id=serialsocket,path=/run/lg-x/serialrw"),
    *("-serial", "chardev:serialsocket"),
]


def test_the_monitor_is_an_inherited_socket() -> None:
    made = monitor_by_descriptor(WRITTEN, 64)
    assert "stdio" not in made
    assert made[3:7] == ["-chardev", "socket,id=qmp,fd=64", "-mon", "chardev=qmp,mode=control"]
    assert made[:3] + made[7:] == WRITTEN[:3] + WRITTEN[5:]


def test_the_folder_of_the_consoles_socket_is_shown_to_qemu() -> None:
    assert socket_folders(WRITTEN) == [Path("/run/lg-x")]
    assert socket_folders(["-chardev", "socket,id=qmp,fd=64"]) == []
