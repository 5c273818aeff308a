"""`make bench`: the speed of eosbench as ratios measured in one run, never as absolute times.

    python -m benchmarks                        # everything
    python -m benchmarks --only decoding        # one of them
    python -m benchmarks --output bench.md      # the table as Markdown too

The other side of a ratio is a plain loop in reference.py, written as published evaluation scripts
are. Each file is one benchmark; __main__.py lists those of the table. docs/speed.md holds a
measured table.
"""
