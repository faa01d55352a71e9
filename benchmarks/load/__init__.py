"""
Load tests of the reference backend, with the whole stack and without it: `make load`.

    processor  what processes use of the machine, from /proc
    stage      what runs: PostgreSQL, Redis, an OTLP receiver, the backend
    scripts    the k6 scripts, how they are run, and what their summaries say
    report     the table, and what is judged
"""
