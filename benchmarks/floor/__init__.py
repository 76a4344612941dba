"""The floor of a full cycle: the promises of an approval desk, kept by hand in plain SQL.

An approval is submitted, then decided; a journal tells that its step starts before the effect, and how it ended after
it; the outcome is kept. Each of these changes is an entry of a chained log, in the same transaction. Callers hear of a
change when it is durable, and what several of them want at the same time is committed together by one thread. Other
processes may write to the same database in between.

It was written without a look at the program's own statements, and must stay as direct as one would write it by hand.
"""
