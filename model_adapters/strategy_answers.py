"""From requests to answers for strategies that decide the length while decoding: no bound is predicted, and none can be asked for.

Legend: none.
"""
