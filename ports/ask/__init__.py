"""`python -m ports ask URL`: which rules a running server follows, from what it draws.

client.py      asks over HTTP, within a budget        dialect.py     which fields the server takes
reply.py       what an answer says                    interview.py   asks all that is judged
row.py         what is known of a distribution        weights.py     the same, from a copy of the model
predict.py     what each rule would draw              plan.py        which settings tell the rules apart
statistics.py  an exact test, and its power           rejection.py   when draws reject a prediction
conduct.py     seeds, rows, greedy answers            judge.py       which rules the answers allow
findings.py    what was found                         report.py      says so
"""
