# mypy: disable-error-code="name-defined, call-overload"
"""The two programs of the programmable I/O; `rp2.asm_pio` gives meaning to the names in them.

They fill 21 of its 32 places. Each function is one program. Every instruction takes one cycle.
"""


def capture() -> None:
    """Stamp each change of four pins with a counter that goes down once in seven cycles (56 ns at 125 MHz).

    Y holds the last levels, OSR the counter. A pass without a change is 7 cycles and one count, a pass with a change 14
    cycles and two counts, so that the counter is a clock. A stamp is one word: levels in bits 28 to 31, the counter's
    lower 28 bits below. At the first pass Y must differ from all levels: then it stamps the present ones; a forced
    `mov(y, invert(null))` later on does the same and costs one cycle.
    A full FIFO drops the stamp and sets the block's RXSTALL flag; the program never waits.
    """
    wrap_target()
    mov(isr, null)
    in_(pins, 4)
    mov(x, isr)
    jmp(x_not_y, "changed")
    label("count")
    mov(x, osr)
    jmp(x_dec, "keep")
    label("keep")
    mov(osr, x)
    wrap()
    label("changed")
    mov(y, x)
    in_(osr, 28)
    push(noblock)
    mov(x, osr)
    jmp(x_dec, "second")
    label("second")
    mov(osr, x)
    jmp("count")


def hold() -> None:
    """Hold a pin high for as many rounds of five cycles as the last word says; 0, or no new word in time, is low.

    It is the dead man's switch of the e-stop contact: it opens though the processor may hang or be without a program.
    """
    label("open")
    set(pins, 0)
    pull(block)
    wrap_target()
    mov(x, osr)
    jmp(not_x, "open")
    set(pins, 1)
    jmp(x_dec, "next")
    label("next")
    pull(noblock)
    wrap()
