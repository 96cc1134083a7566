"""Mutation run of the C++ that people's hands depend on: `python -m scripts.mutation`.

A mutant is the source with one small fault put in: an operator, a constant, a condition or a statement. Tests that
still pass do not look at what was changed. A source is compiled once with all its mutants behind switches; each mutant
then runs in a process of its own, which reports from the mutated place that it was reached. What is not proved to have
run fails the run instead of counting as killed.

    mutants.py   the faults, from the syntax tree
    switched.py  all of them in one source
    build.py     the commands that compile and link it, taken from CMake's own build
    outcome.py   one process per mutant: killed, crashed, timed out, survived, or not proved to have run
    waivers.py   survivors that are explained, each with its reason
    report.py    what is written and shown
"""
