"""`make bench`: how fast eosbench is, as ratios measured in one run, never as absolute times.

    python -m benchmarks                        # everything
    python -m benchmarks --only decoding        # one of them
    python -m benchmarks --output bench.md      # the table as Markdown too

What is compared with is a plain loop in reference.py, written as published evaluation scripts are.
Each file here is one benchmark; __main__.py lists them. docs/speed.md holds a measured table.
"""
